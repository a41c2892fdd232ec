"""The operators that the checker knows: from an ONNX node to steps of a ``Program``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from robust.checker.program import Places, Program, gathering

Array = NDArray[Any]


@dataclass(frozen=True)
class Varying:
    """A tensor that depends on the input: a step, and its shape with a batch of one."""

    step: int
    shape: tuple[int, ...]

    @property
    def places(self) -> Places:
        """Flat places, in its shape."""
        return np.arange(math.prod(self.shape)).reshape(self.shape)


Value = Varying | Array


Known = Sequence[Value | None]
Attributes = Mapping[str, Any]
Rule = Callable[[Program, Known, Attributes], list[Value]]


def _rearranging(change: Callable[[Array, Known, Attributes], Array]) -> Rule:
    """A rule of an operator that only moves elements of its first operand."""

    def rule(program: Program, known: Known, attributes: Attributes) -> list[Value]:
        first = known[0]
        if not isinstance(first, Varying):
            return [change(np.asarray(first), known, attributes)]
        places = change(first.places, known, attributes)
        return [Varying(program.moved(first.step, places), places.shape)]

    return rule


def _numbers(value: Value | None, otherwise: Sequence[int] = ()) -> list[int]:
    if isinstance(value, Varying):
        raise ValueError("a shape that depends on the input")
    return list(otherwise) if value is None else [int(each) for each in np.asarray(value).reshape(-1)]


def _second(known: Known, attributes: Attributes, name: str) -> list[int]:
    """What newer operator sets take as an operand and older ones as an attribute."""
    if len(known) > 1 and known[1] is not None:
        return _numbers(known[1])
    return [int(each) for each in attributes.get(name, ())]


def _reshape(x: Array, known: Known, attributes: Attributes) -> Array:
    shape = _second(known, attributes, "shape")
    if not attributes.get("allowzero"):
        shape = [x.shape[place] if size == 0 else size for place, size in enumerate(shape)]
    return x.reshape(shape)


def _flatten(x: Array, known: Known, attributes: Attributes) -> Array:
    axis = int(attributes.get("axis", 1))
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _squeeze(x: Array, known: Known, attributes: Attributes) -> Array:
    axes = _second(known, attributes, "axes")
    return np.squeeze(x, tuple(axes)) if axes else np.squeeze(x)


def _unsqueeze(x: Array, known: Known, attributes: Attributes) -> Array:
    return np.expand_dims(x, tuple(_second(known, attributes, "axes")))


def _slice(x: Array, known: Known, attributes: Attributes) -> Array:
    if len(known) > 1:
        starts, ends = _numbers(known[1]), _numbers(known[2])
        axes = _numbers(known[3] if len(known) > 3 else None, range(len(starts)))
        steps = _numbers(known[4] if len(known) > 4 else None, [1] * len(starts))
    else:
        starts, ends = list(attributes["starts"]), list(attributes["ends"])
        axes, steps = list(attributes.get("axes", range(len(starts)))), [1] * len(starts)
    index: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        low = None if step < 0 and end < -x.shape[axis] else end
        index[axis] = slice(start, low, step)
    return x[tuple(index)]


def _gather(x: Array, known: Known, attributes: Attributes) -> Array:
    if isinstance(known[1], Varying):
        raise ValueError("an index that depends on the input")
    return np.take(x, np.asarray(known[1]), axis=int(attributes.get("axis", 0)))


def _pad(x: Array, known: Known, attributes: Attributes) -> Array:
    pads = _second(known, attributes, "pads")
    value = known[2] if len(known) > 2 and known[2] is not None else np.array(attributes.get("value", 0.0))
    if attributes.get("mode", b"constant") != b"constant" or isinstance(value, Varying) or float(value) != 0:
        raise ValueError("padding with anything but zeros")
    width = [(pads[place], pads[place + x.ndim]) for place in range(x.ndim)]
    return np.pad(x, width, constant_values=-1 if x.dtype == np.int64 else 0)


def _same(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    return [_needed(known[0])]


def _needed(value: Value | None) -> Value:
    if value is None:
        raise ValueError("an operand is missing")
    return value


def _of(constant: Value | None) -> Array:
    """A constant operand, in float64."""
    if constant is None or isinstance(constant, Varying):
        raise ValueError("an operand depends on the input, or is missing")
    return np.asarray(constant, np.float64)


def _constant(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in attributes:
            kind = np.float32 if "float" in name else np.int64
            return [attributes[name] if name == "value" else np.array(attributes[name], kind)]
    raise ValueError("no value")


def _shape(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = _needed(known[0])
    return [np.array(first.shape, np.int64)]


def _filled(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    value = np.asarray(attributes.get("value", np.zeros(1, np.float32))).reshape(-1)[0]
    return [np.full(_numbers(known[0]), value)]


def _concat(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    parts, axis = [_needed(each) for each in known], int(attributes["axis"])
    if not any(isinstance(part, Varying) for part in parts):
        return [np.concatenate([np.asarray(part) for part in parts], axis)]
    owners = [np.full(part.shape, place) for place, part in enumerate(parts)]
    owner = np.concatenate(owners, axis)
    places = np.concatenate([np.arange(math.prod(part.shape)).reshape(part.shape) for part in parts], axis)
    bias, matrices = np.zeros(owner.size), []
    for place, part in enumerate(parts):
        rows, columns = np.flatnonzero(owner.reshape(-1) == place), places.reshape(-1)[owner.reshape(-1) == place]
        if isinstance(part, Varying):
            size = program.steps[part.step].size
            matrix = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(owner.size, size))
            matrices.append((part.step, matrix))
        else:
            bias[rows] = np.asarray(part, np.float64).reshape(-1)[columns]
    return [Varying(program.affine(matrices, bias), owner.shape)]


def _sum(sign: float) -> Rule:
    """Addition, or subtraction."""

    def rule(program: Program, known: Known, attributes: Attributes) -> list[Value]:
        first, second = _needed(known[0]), _needed(known[1])
        if not isinstance(first, Varying) and not isinstance(second, Varying):
            if first.dtype.kind != "i" or second.dtype.kind != "i":
                raise ValueError("arithmetic of constants that are no whole numbers")
            return [np.asarray(first + int(sign) * second)]
        shape = np.broadcast_shapes(first.shape, second.shape)
        parts, bias = [], np.zeros(math.prod(shape))
        for value, factor in ((first, 1.0), (second, sign)):
            if isinstance(value, Varying):
                parts.append((value.step, factor * _spread(program, value, shape)))
            else:
                bias += factor * np.broadcast_to(np.asarray(value, np.float64), shape).reshape(-1)
        return [Varying(program.affine(parts, bias), shape)]

    return rule


def _spread(program: Program, value: Varying, shape: tuple[int, ...]) -> sparse.csr_array:
    return gathering(np.broadcast_to(value.places, shape).reshape(-1), program.steps[value.step].size)


def _scaled(program: Program, value: Varying, factors: Array, *, units: int) -> Value:
    shape = np.broadcast_shapes(value.shape, factors.shape)
    diagonal = sparse.csr_array(sparse.diags_array(np.broadcast_to(factors, shape).reshape(-1)))
    matrix = sparse.csr_array(diagonal @ _spread(program, value, shape))
    return Varying(program.affine([(value.step, matrix)], units=units), shape)


def _mul(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first, second = _needed(known[0]), _needed(known[1])
    if isinstance(first, Varying) and isinstance(second, Varying):
        raise ValueError("a product of two values that depend on the input")
    if isinstance(first, Varying):
        return [_scaled(program, first, _of(second), units=0)]
    if isinstance(second, Varying):
        return [_scaled(program, second, _of(first), units=0)]
    if first.dtype.kind != "i" or second.dtype.kind != "i":
        raise ValueError("arithmetic of constants that are no whole numbers")
    return [np.asarray(first * second)]


def _div(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = known[0]
    if not isinstance(first, Varying):
        raise ValueError("a quotient whose numerator is constant")
    return [_scaled(program, first, 1.0 / _of(known[1]), units=1)]


def _neg(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = known[0]
    if not isinstance(first, Varying):
        return [-np.asarray(first)]
    return [_scaled(program, first, np.array(-1.0), units=0)]


def _matmul(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first, second = _needed(known[0]), _needed(known[1])
    if isinstance(first, Varying) and not isinstance(second, Varying):
        weight = _of(second)
        if weight.ndim != 2 or len(first.shape) < 1:
            raise ValueError("a product with a stack of matrices")
        rows = math.prod(first.shape[:-1])
        matrix = sparse.kron(sparse.eye_array(rows), sparse.csr_array(weight.T), format="csr")
        shape = (*first.shape[:-1], weight.shape[1])
        return [Varying(program.affine([(first.step, sparse.csr_array(matrix))]), shape)]
    if isinstance(second, Varying) and not isinstance(first, Varying):
        weight = _of(first)
        if weight.ndim != 2 or len(second.shape) not in (1, 2):
            raise ValueError("a product with a stack of matrices")
        columns = second.shape[1] if len(second.shape) == 2 else 1
        matrix = sparse.kron(sparse.csr_array(weight), sparse.eye_array(columns), format="csr")
        shape = (weight.shape[0], *second.shape[1:])
        return [Varying(program.affine([(second.step, sparse.csr_array(matrix))]), shape)]
    raise ValueError("a product of two values that depend on the input, or of none")


def _gemm(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = known[0]
    alpha, beta = float(attributes.get("alpha", 1.0)), float(attributes.get("beta", 1.0))
    if not isinstance(first, Varying) or len(first.shape) != 2 or alpha != 1.0 or beta not in (0.0, 1.0):
        raise ValueError("a general matrix product with factors, or without a varying first operand")
    if attributes.get("transA"):
        places = first.places.T
        first = Varying(program.moved(first.step, places), places.shape)
    weight = _of(known[1])
    weight = weight if attributes.get("transB") else weight.T
    rows = first.shape[0]
    matrix = sparse.kron(sparse.eye_array(rows), sparse.csr_array(weight), format="csr")
    shape = (rows, weight.shape[0])
    bias = np.zeros(shape)
    if len(known) > 2 and known[2] is not None and beta:
        bias = bias + _of(known[2])
    return [Varying(program.affine([(first.step, sparse.csr_array(matrix))], bias), shape)]


def _conv(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first, weight = known[0], _of(known[1])
    if not isinstance(first, Varying) or first.shape[0] != 1:
        raise ValueError("a convolution of a constant, or of a batch")
    rank, groups = weight.ndim - 2, int(attributes.get("group", 1))
    windows = _windows(first.places[0], weight.shape[2:], attributes)
    out = windows.shape[1 + rank :]
    positions = math.prod(out)
    each, taken = weight.shape[0] // groups, weight.shape[1]
    rows, columns, entries = [], [], []
    for channel in range(weight.shape[0]):
        start = channel // each * taken
        part = windows[start : start + taken].reshape(-1, positions)
        value = np.repeat(weight[channel].reshape(-1), positions)
        row = np.tile(np.arange(positions) + channel * positions, part.shape[0])
        used = (part.reshape(-1) >= 0) & (value != 0)
        rows.append(row[used])
        columns.append(part.reshape(-1)[used])
        entries.append(value[used])
    size = program.steps[first.step].size
    shape = (weight.shape[0] * positions, size)
    matrix = sparse.csr_array((np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    bias = None if len(known) < 3 or known[2] is None else np.repeat(_of(known[2]).reshape(-1), positions)
    return [Varying(program.affine([(first.step, matrix)], bias), (1, weight.shape[0], *out))]


def _windows(places: Places, kernel: Sequence[int], attributes: Attributes) -> Places:
    """Places ``[channels, *kernel, *out]`` under each tap; -1 where there is padding."""
    rank = len(kernel)
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or attributes.get("ceil_mode"):
        raise ValueError("padding that the file does not state")
    strides = list(attributes.get("strides", [1] * rank))
    dilations = list(attributes.get("dilations", [1] * rank))
    pads = list(attributes.get("pads", [0] * (2 * rank)))
    padded = np.pad(places, [(0, 0), *((pads[i], pads[i + rank]) for i in range(rank))], constant_values=-1)
    out = [(padded.shape[i + 1] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(rank)]
    found = np.empty((places.shape[0], *kernel, *out), np.int64)
    for tap in itertools.product(*(range(size) for size in kernel)):
        index: list[slice] = [slice(None)]
        for i in range(rank):
            start = tap[i] * dilations[i]
            index.append(slice(start, start + (out[i] - 1) * strides[i] + 1, strides[i]))
        taps: tuple[int | slice, ...] = (slice(None), *tap)
        found[taps] = padded[tuple(index)]
    return found


def _average_pool(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = known[0]
    if not isinstance(first, Varying) or first.shape[0] != 1:
        raise ValueError("pooling of a constant, or of a batch")
    kernel = list(attributes["kernel_shape"])
    windows = _windows(first.places[0], kernel, attributes)
    out, taps = windows.shape[1 + len(kernel) :], math.prod(kernel)
    flat = windows.reshape(windows.shape[0], taps, -1).transpose(0, 2, 1).reshape(-1, taps)
    if (flat < 0).any() and not attributes.get("count_include_pad"):
        counts = (flat >= 0).sum(1)
    else:
        counts = np.full(len(flat), taps)
    return [_averaged(program, first, flat, counts, (1, windows.shape[0], *out))]


def _max_pool(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = known[0]
    if not isinstance(first, Varying) or first.shape[0] != 1:
        raise ValueError("pooling of a constant, or of a batch")
    kernel = list(attributes["kernel_shape"])
    windows = _windows(first.places[0], kernel, attributes)
    flat = windows.reshape(windows.shape[0], math.prod(kernel), -1).transpose(0, 2, 1).reshape(-1, math.prod(kernel))
    step = program.maximum(first.step, flat)
    return [Varying(step, (1, windows.shape[0], *windows.shape[1 + len(kernel) :]))]


def _conv_transpose(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    """The adjoint of a convolution: tap ``t`` of place ``i`` adds to output place ``stride i + dilation t - pad``."""
    first, weight = known[0], _of(known[1])
    if not isinstance(first, Varying) or first.shape[0] != 1 or "output_shape" in attributes:
        raise ValueError("a transposed convolution of a constant, of a batch, or to a stated shape")
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise ValueError("padding that the file does not state")
    rank, groups = weight.ndim - 2, int(attributes.get("group", 1))
    sizes, kernel = first.shape[2:], weight.shape[2:]
    strides, dilations = (list(attributes.get(name, [1] * rank)) for name in ("strides", "dilations"))
    pads, more = list(attributes.get("pads", [0] * (2 * rank))), list(attributes.get("output_padding", [0] * rank))
    out = [
        (sizes[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - pads[i] - pads[i + rank] + more[i]
        for i in range(rank)
    ]
    taken, made = weight.shape[0] // groups, weight.shape[1]
    rows, columns, entries = [], [], []
    inside = np.stack(np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij"), -1).reshape(-1, rank)
    for tap in itertools.product(*(range(size) for size in kernel)):
        to = inside * np.array(strides) + np.array(tap) * np.array(dilations) - np.array(pads[:rank])
        kept = np.flatnonzero(((to >= 0) & (to < np.array(out))).all(1))
        target, source = np.ravel_multi_index(tuple(to[kept].T), out), kept
        for channel in range(weight.shape[0]):
            group = channel // taken
            for each in range(made):
                rows.append(target + (group * made + each) * math.prod(out))
                columns.append(source + channel * math.prod(sizes))
                entries.append(np.full(len(kept), weight[(channel, each, *tap)]))
    shape = (groups * made * math.prod(out), program.steps[first.step].size)
    triple = (np.concatenate(rows), np.concatenate(columns))
    matrix = sparse.csr_array(sparse.coo_array((np.concatenate(entries), triple), shape=shape))
    bias = None if len(known) < 3 or known[2] is None else np.repeat(_of(known[2]).reshape(-1), math.prod(out))
    return [Varying(program.affine([(first.step, matrix)], bias, units=1), (1, groups * made, *out))]


def _clip(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    """``low + relu(x - low)``, and the same turned round for the upper end."""
    first = known[0]
    if not isinstance(first, Varying):
        raise ValueError("a cut constant")
    ends = [known[place] if len(known) > place else attributes.get(name) for place, name in ((1, "min"), (2, "max"))]
    step, size = first.step, program.steps[first.step].size
    for end, sign in zip(ends, (1.0, -1.0), strict=True):
        if end is None:
            continue
        level = np.full(size, float(_of(np.asarray(end)).reshape(())))
        scaled = sparse.csr_array(sparse.diags_array(np.full(size, sign)))
        cut = program.function("relu", program.affine([(step, scaled)], -sign * level))
        step = program.affine([(cut, scaled)], level)
    return [Varying(step, first.shape)]


def _averaged(program: Program, value: Varying, flat: Places, counts: Places, shape: tuple[int, ...]) -> Varying:
    rows = np.repeat(np.arange(len(flat)), flat.shape[1])
    used = flat.reshape(-1) >= 0
    entries = np.repeat(1.0 / counts, flat.shape[1])[used]
    size = program.steps[value.step].size
    matrix = sparse.csr_array((entries, (rows[used], flat.reshape(-1)[used])), shape=(len(flat), size))
    return Varying(program.affine([(value.step, matrix)], units=1), shape)


def _reduced(mean: bool) -> Rule:
    def rule(program: Program, known: Known, attributes: Attributes) -> list[Value]:
        first = known[0]
        if not isinstance(first, Varying):
            raise ValueError("a reduction of a constant")
        axes = [axis % len(first.shape) for axis in _second(known, attributes, "axes")] or list(range(len(first.shape)))
        kept = [axis for axis in range(len(first.shape)) if axis not in axes]
        flat = first.places.transpose(*kept, *axes).reshape(math.prod(first.shape[axis] for axis in kept), -1)
        whole = attributes.get("keepdims", 1)
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(first.shape) if whole or axis in kept)
        counts = np.full(len(flat), flat.shape[1] if mean else 1)
        return [_averaged(program, first, flat, counts, shape)]

    return rule


def _global_average(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = _needed(known[0])
    return _reduced(True)(program, known, {"axes": list(range(2, len(first.shape)))})


def _batch_normalisation(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = known[0]
    if not isinstance(first, Varying) or attributes.get("training_mode"):
        raise ValueError("a normalisation of a constant, or in training")
    scale, shift, mean, variance = (_of(each).reshape(-1, *[1] * (len(first.shape) - 2)) for each in known[1:5])
    epsilon = float(np.float32(attributes.get("epsilon", 1e-5)))
    factor = scale / np.sqrt(variance + epsilon)
    spread = np.broadcast_to(factor, first.shape)
    matrix = sparse.csr_array(sparse.diags_array(spread.reshape(-1)))
    bias = np.broadcast_to(shift - mean * factor, first.shape)
    unit = 8 * np.finfo(np.float64).eps
    error = np.broadcast_to(unit * (np.abs(shift) + np.abs(mean * factor)), first.shape)
    step = program.affine([(first.step, matrix)], bias, units=8, bias_error=np.array(error))
    return [Varying(step, first.shape)]


def _function(kind: str) -> Rule:
    def rule(program: Program, known: Known, attributes: Attributes) -> list[Value]:
        first = known[0]
        if not isinstance(first, Varying):
            raise ValueError("a function of a constant")
        slope = float(np.float32(attributes.get("alpha", 0.01))) if kind == "leaky" else 0.0
        if not 0 <= slope <= 1:
            raise ValueError("a slope below zero that is not in 0..1")
        return [Varying(program.function("relu" if kind == "leaky" else kind, first.step, slope), first.shape)]

    return rule


def _cast(program: Program, known: Known, attributes: Attributes) -> list[Value]:
    first = _needed(known[0])
    if isinstance(first, Varying):
        if attributes.get("to") not in (1, 11):
            raise ValueError("a cast to other than float32 or float64")
        return [first]
    return [np.asarray(first).astype(np.int64 if attributes.get("to") in (6, 7) else np.float32)]


OPERATORS: Mapping[str, Rule] = {
    "Identity": _same, "Dropout": _same, "Cast": _cast, "Constant": _constant, "Shape": _shape,
    "ConstantOfShape": _filled, "Reshape": _rearranging(_reshape), "Flatten": _rearranging(_flatten),
    "Transpose": _rearranging(lambda x, _, a: x.transpose(a["perm"]) if "perm" in a else x.T),
    "Squeeze": _rearranging(_squeeze), "Unsqueeze": _rearranging(_unsqueeze), "Slice": _rearranging(_slice),
    "Gather": _rearranging(_gather), "Pad": _rearranging(_pad), "Concat": _concat,
    "Add": _sum(1.0), "Sub": _sum(-1.0), "Mul": _mul, "Div": _div, "Neg": _neg, "MatMul": _matmul, "Gemm": _gemm,
    "Conv": _conv, "AveragePool": _average_pool, "GlobalAveragePool": _global_average,
    "ReduceMean": _reduced(True), "ReduceSum": _reduced(False), "BatchNormalization": _batch_normalisation,
    "Relu": _function("relu"), "LeakyRelu": _function("leaky"), "Sigmoid": _function("sigmoid"),
    "Tanh": _function("tanh"), "Abs": _function("abs"), "Softplus": _function("softplus"), "Exp": _function("exp"),
    "MaxPool": _max_pool, "ConvTranspose": _conv_transpose, "Clip": _clip,
}  # fmt: skip
