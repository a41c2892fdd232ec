"""From a module to a graph.

The module runs twice, on two and on three random samples, with every operator recorded. Integers and constants that
differ between the two recordings depend on the batch size and become symbolic; everything else must be equal, or the
model does not do the same for every input. The finished graph is then run beside the module on fresh samples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import ControlFlowError, GraphError, RobustError, UnsupportedOperatorError
from robust.graph.escapes import recording
from robust.graph.graph import Argument, BatchConstant, BatchSize, Graph, Inexact, Node, Operand
from robust.graph.operators import REARRANGING, Kind
from robust.graph.passes import simplified
from robust.graph.recorder import Recorder, Step, memory_of
from robust.graph.running import evaluating, watching_places
from robust.graph.windows import windows_of
from robust.properties.input_sets import Box

FEW, MORE = 2, 3
BATCHES = (1, 4, 17)
"""Sizes that the finished graph and the module are compared at; not those of the recordings."""
TOLERANCE = 1e-4
ROUNDING = 2e-6
"""A share of the largest value inside the network that its outputs may be off by."""


def trace(module: nn.Module, input_shape: Sequence[int], *, device: torch.device, box: Box | None = None) -> Graph:
    """The operation graph of ``module`` in evaluation mode.

    The module is left as it was (training mode, hooks, gradients); no global random state is touched.

    Args:
        module: maps ``[n, *input_shape]`` to one tensor ``[n, ...]``, sample by sample.
        input_shape: shape of one sample.
        device: where the module's parameters are.
        box: where inputs will lie: it is tried on such; ``[0, 1]`` by default.

    Raises:
        UnsupportedOperatorError: an operator without a rule; the message says which, and where in the model.
        ControlFlowError: what the module does depends on the values of its input.
        GraphError: it mixes samples of a batch, or does not run at all.
    """
    shape, samples = tuple(input_shape), samples_of(module, input_shape, device, box)
    with evaluating(module), torch.no_grad():
        try:
            return _traced(module, module, samples, shape, device)
        except _BatchMovedError as error:
            return _sample_by_sample(module, samples, shape, device, error)


class _BatchMovedError(UnsupportedOperatorError):
    """The batch axis leaves its place; read one sample at a time, the model may still be followed."""


Samples = Callable[[int], Tensor]
PRECISE = 2.0**-46
"""By which share constants that rewrites make in float64 are off, of what they were added up from: a few roundings."""


def _sample_by_sample(
    module: nn.Module, samples: Samples, shape: tuple[int, ...], device: torch.device, first: _BatchMovedError
) -> Graph:
    """Trace the model as it answers batches of one, mapped over the samples: so the batch axis stays in front.

    The graph is compared with the model on whole batches all the same, so a model that mixes samples is refused.
    """

    def mapped(x: Tensor) -> Tensor:
        result: Tensor = torch.vmap(lambda one: module(one[None])[0])(x)
        return result

    try:
        return _traced(module, mapped, samples, shape, device)
    except _BatchMovedError:
        raise
    except ControlFlowError as error:
        raise first from error
    except UnsupportedOperatorError:
        raise
    except GraphError as error:
        raise first from error


def _traced(
    module: nn.Module, call: Callable[[Tensor], Tensor], samples: Samples, shape: tuple[int, ...], device: torch.device
) -> Graph:
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    few, output = _record(module, call, samples(FEW))
    more, other = _record(module, call, samples(MORE))
    if [step.op for step in few] != [step.op for step in more] or output != other:
        raise ControlFlowError(
            "the model did different operations on two batches",
            wanted="the same operations for every input",
            hint="look for branches on values or on the batch size",
        )
    few, more = _needed(few, output), _needed(more, output)
    pairs = enumerate(zip(few, more, strict=True))
    nodes = tuple(_honest(_node(index, *pair, few, device), pair[0], dtype) for index, pair in pairs)
    graph = simplified(Graph(nodes, len(nodes) - 1, shape, dtype, device))
    largest = _check(module, graph, samples(MORE), samples(1))
    _check_batches(module, graph, samples(max(BATCHES)), largest)
    return graph


def samples_of(module: nn.Module, input_shape: Sequence[int], device: torch.device, box: Box | None) -> Samples:
    """Draws so many inputs to try a module on, from a generator of its own: always the same ones."""
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    generator = torch.Generator().manual_seed(20150302)
    return lambda count: _samples(count, tuple(input_shape), box, dtype, generator).to(device)


def _samples(
    count: int, shape: tuple[int, ...], box: Box | None, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    """Uniform points of the box, every fourth a corner."""
    share = torch.rand(count, *shape, generator=generator, dtype=dtype)
    if box is None:
        return share
    share[3::4] = share[3::4].round()
    lower, upper = box.lower.cpu().to(dtype), box.upper.cpu().to(dtype)
    return torch.minimum(lower + share * (upper - lower), upper)


def _record(module: nn.Module, call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[list[Step], int]:
    own = frozenset(memory_of(part) for part in (*module.parameters(), *module.buffers())) - {0}
    recorder = Recorder(x, own=own)
    try:
        with watching_places(module, recorder.places), recording(recorder):
            result = call(x)
    except RobustError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise GraphError(
            f"the model cannot run on a batch of {len(x)}, at {recorder.place}",
            wanted=f"a model that takes [n, {', '.join(map(str, x.shape[1:]))}] for every n",
            got=f"{type(error).__name__}: {error}",
            hint="export the model with a free batch size, and give the shape of one sample",
        ) from error
    if not isinstance(result, Tensor):
        raise GraphError("the model does not answer with one tensor", wanted="a tensor", got=type(result).__name__)
    step = recorder.step_of(result)
    if step is None or step < 0:
        raise GraphError(
            "the model's output does not depend on its input in a way that can be followed",
            hint="look for a detour over numpy, or a constant output",
        )
    return recorder.steps, step


def _needed(steps: list[Step], output: int) -> list[Step]:
    """The steps that the output depends on, counted anew; the output is the last."""
    alive, reads = {0, output}, {index: list[int]() for index in range(len(steps))}
    for index in range(output, 0, -1):
        if index in alive:
            _operands(list(steps[index].arguments.values()), reads[index])
            alive.update(reads[index])
    places = {old: new for new, old in enumerate(sorted(alive))}
    return [
        dataclasses.replace(
            steps[index], arguments={name: _moved(value, places) for name, value in steps[index].arguments.items()}
        )
        for index in places
    ]


def _moved(value: Argument, places: Mapping[int, int]) -> Argument:
    if isinstance(value, Operand):
        return Operand(places[value.position])
    return [_moved(item, places) for item in value] if isinstance(value, list) else value


def _node(index: int, few: Step, more: Step, steps: list[Step], device: torch.device) -> Node:
    factor, remainder = divmod(few.shape[0], FEW) if few.shape else (0, 0)
    symbolic = factor >= 1 and remainder == 0 and few.shape[1:] == more.shape[1:] and more.shape[0] == factor * MORE
    if not symbolic:
        raise _mixes(few.place, few.op, f"shapes {few.shape} and {more.shape} for batches of {FEW} and {MORE}")
    merged = {name: _merge(value, more.arguments[name], few) for name, value in few.arguments.items()}
    sources: list[int] = []
    arguments = {name: _operands(value, sources) for name, value in merged.items()}
    windows = None
    if few.kind is Kind.MAXIMUM:
        source = steps[sources[0]].shape
        windows = _windows(few, arguments, source[0] // FEW, source[1:]).to(device)
    return Node(
        index, few.op, few.kind, few.target, arguments, tuple(sources), factor, few.shape[1:], few.place, windows
    )


def _honest(node: Node, step: Step, dtype: torch.dtype) -> Node:
    """The node, saying so where its constants were computed on the way and are not the model's own numbers."""
    if not step.made or node.kind is not Kind.AFFINE or node.op in REARRANGING:
        return node
    share, found = 1.01 * torch.finfo(dtype).eps, step.originals
    if not found or not all(_same_shape(node.arguments[name], item.precise) for name, item in found.items()):
        return dataclasses.replace(node, inexact=Inexact(share))
    added = next((item.added for item in found.values()), None)
    precise = {name: item.precise for name, item in found.items()}
    return dataclasses.replace(node, inexact=Inexact(share, added, precise, PRECISE).to(_device_of(node, *found)))


def _device_of(node: Node, *names: str) -> torch.device:
    return next(value.device for name in names if isinstance(value := node.arguments[name], Tensor))


def _same_shape(argument: Argument, value: Tensor) -> bool:
    return isinstance(argument, Tensor) and argument.shape == value.shape


def _windows(step: Step, arguments: dict[str, Argument], factor: int, shape: tuple[int, ...]) -> Tensor:
    """Windows in one sample, which is ``factor`` blocks of one shape."""
    one = windows_of(step.op, arguments, shape, step.place)
    starts = torch.arange(factor)[:, None, None] * math.prod(shape)
    return torch.where(one >= 0, one + starts, -1).reshape(-1, one.shape[1])


def _mixes(place: str, op: str, got: str) -> _BatchMovedError:
    return _BatchMovedError(
        f"operator {op} moves or mixes the batch axis, at {place}",
        wanted="a model that works sample by sample, with the batch axis first",
        got=got,
        hint="keep the batch axis first (batch_first=True), reduce over the other axes only",
    )


def _operands(value: Argument, sources: list[int]) -> Argument:
    """Replace steps by places in ``sources``, which grows."""
    if isinstance(value, Operand):
        sources.append(value.position)
        return Operand(len(sources) - 1)
    if isinstance(value, list):
        return [_operands(item, sources) for item in value]
    return value


def _merge(few: Any, more: Any, step: Step) -> Argument:
    if isinstance(few, Tensor) and isinstance(more, Tensor):
        return _merge_constants(few, more, step)
    if isinstance(few, list) and isinstance(more, list) and len(few) == len(more):
        return [_merge(a, b, step) for a, b in zip(few, more, strict=True)]
    if type(few) is int and type(more) is int:
        factor = more - few
        return few if factor == 0 else BatchSize(factor, few - factor * FEW)
    if type(few) is type(more) and (few == more or few is more):
        return few
    raise _depends(step, f"{few!r} and {more!r}")


def _merge_constants(few: Tensor, more: Tensor, step: Step) -> Argument:
    if few.shape == more.shape:
        if _equal(few, more):
            return (
                few if few.is_floating_point() or step.op not in ("add", "mul") else few.to(torch.get_default_dtype())
            )
        raise _depends(step, "constants of other values")
    factor, remainder = divmod(few.shape[0], FEW)
    if remainder == 0 and few.shape[1:] == more.shape[1:] and more.shape[0] == factor * MORE:
        rows = few[:factor]
        if all(_equal(rows, block) for whole in (few, more) for block in torch.split(whole, factor)):
            return BatchConstant(rows.clone())
    raise _depends(step, f"constants of shapes {tuple(few.shape)} and {tuple(more.shape)}")


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) if a.is_floating_point() else torch.equal(a, b)


def _depends(step: Step, got: str) -> ControlFlowError:
    return ControlFlowError(
        f"an argument of {step.op} is not the same for two inputs, at {step.place}",
        wanted="constants that depend on nothing but the batch size",
        got=got,
        hint="look for a detour over numpy or Python numbers, for randomness, and for in-place writes into buffers",
    )


def _check(module: nn.Module, graph: Graph, x: Tensor, other: Tensor) -> float:
    """The graph answers as the module does, and no sample feels another. Returns the largest value inside."""
    values = graph.values(x)
    changed = torch.cat([other, x[1:]])
    for node, before, after in zip(graph.nodes, values, graph.values(changed), strict=True):
        if not _close(before.reshape(MORE, -1)[1:], after.reshape(MORE, -1)[1:]):
            raise _mixes(node.place, node.op, "a sample's value that changes with its neighbour")
    largest = max(_largest(value) for value in values)
    _check_answer(values[graph.output], module(x), largest)
    return largest


def _check_batches(module: nn.Module, graph: Graph, x: Tensor, largest: float) -> None:
    """The module does the same for one sample and for many, and so does the graph."""
    wanted = graph.forward(x)
    for size in BATCHES:
        _check_answer(wanted[:size], module(x[:size]), largest)
        if size < len(x):
            _check_answer(wanted[:size], graph.forward(x[:size]), largest)


def _check_answer(found: Tensor, wanted: Tensor, largest: float) -> None:
    if found.numel() == wanted.numel():  # a module may squeeze the batch axis off a single sample
        wanted = wanted.reshape(found.shape)
    wanted = wanted.to(found.dtype)  # whole numbers and truth values are followed as floats
    if not _close(found, wanted, floor=ROUNDING / TOLERANCE * largest):
        raise ControlFlowError(
            "the graph does not answer as the model does",
            wanted="the same outputs on fresh inputs, in batches of any size",
            got=f"shapes {tuple(found.shape)} and {tuple(wanted.shape)}"
            if found.shape != wanted.shape
            else f"differences up to {float((found - wanted).abs().max()):.3g}",
            hint="look for branches on values or on the batch size, randomness, and detours over numpy",
        )


def _close(a: Tensor, b: Tensor, floor: float = 0.0) -> bool:
    """Within ``TOLERANCE`` of the largest value, or of ``floor`` where that is larger."""
    if a.shape != b.shape:
        return False
    scale = max(floor, _largest(b))
    return bool(torch.isclose(a, b, rtol=0.0, atol=TOLERANCE * scale, equal_nan=True).all())


def _largest(values: Tensor) -> float:
    return float(values.abs().nan_to_num(posinf=0.0).max()) if values.numel() else 0.0
