"""The checker's bounds against exact values: rational numbers, longer floats, and a second runtime."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from torch import nn

from robust.checker.bounds import bound, minimum
from robust.checker.functions import lines_of, planes_of, value_bounds
from robust.checker.model import read_model
from robust.checker.program import Step
from robust.checker.verdict import NotEstablishedError
from tests.checker.files import dense_model
from tests.graph.onnx_files import graph, runtime, write


def exact_output(layers: list[nn.Linear], point: list[float]) -> list[Fraction]:
    values = [Fraction(v) for v in point]
    for place, layer in enumerate(layers):
        rows = [[Fraction(w) for w in row] for row in layer.weight.tolist()]
        biases = [Fraction(b) for b in layer.bias.tolist()]
        values = [
            sum((w * v for w, v in zip(row, values, strict=True)), b) for row, b in zip(rows, biases, strict=True)
        ]
        if place < len(layers) - 1:
            values = [max(v, Fraction(0)) for v in values]
    return values


@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e8]),
    radius=st.sampled_from([0.0, 1e-9, 1e-3, 1.0]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_no_rational_value_leaves_the_bounds(
    seed: int, scale: float, radius: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    generator = torch.Generator().manual_seed(seed)
    layers = [nn.Linear(3, 6), nn.Linear(6, 5), nn.Linear(5, 2)]
    for layer in layers:
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
        layer.bias.data = scale * torch.randn(layer.bias.shape, generator=generator)
    program, _ = read_model(dense_model(layers, tmp_path_factory.mktemp("m") / "m.onnx"))
    random = np.random.default_rng(seed)
    middle = scale * random.standard_normal((1, 3))
    lower, upper = middle - radius * scale, middle + radius * scale
    rows = np.array([[[1.0, -1.0], [-1.0, 1.0], [0.0, 1.0]]])
    least = minimum(bound(program, lower, upper), program.output, rows)[0]
    for share in (0.0, 1.0, *random.random((3, 3))):
        point = np.clip(lower + share * (upper - lower), lower, upper)[0]
        outputs = exact_output(layers, point.tolist())
        for row, low in zip(rows[0], least, strict=True):
            exact = sum(Fraction(float(a)) * y for a, y in zip(row, outputs, strict=True))
            assert Fraction(float(low)) <= exact
            if radius == 0:
                assert float(exact - Fraction(float(low))) < 1e-12 * max(1.0, scale) * 100


@pytest.mark.parametrize("kind", ["sigmoid", "tanh", "relu", "abs", "softplus", "exp"])
@given(low=st.floats(-30, 30), width=st.sampled_from([0.0, 1e-9, 1e-3, 0.7, 8.0, 40.0]), slope=st.floats(0, 1))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_lines_lie_below_and_above(kind: str, low: float, width: float, slope: float) -> None:
    step = Step(kind, 1, (0,), slope=slope)
    lower, upper = np.array([[low]]), np.array([[low + width]])
    lines = lines_of(step, lower, upper)
    x = np.linspace(np.longdouble(low), np.longdouble(low + width), 401)
    x = np.clip(x, np.longdouble(lower[0, 0]), np.longdouble(upper[0, 0]))
    value = {
        "tanh": np.tanh(x),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "relu": np.where(x < 0, slope * x, x),
        "abs": np.abs(x),
        "softplus": np.log1p(np.exp(x)),
        "exp": np.exp(x),
    }[kind]
    below = lines.lower_slope[0, 0] * x + lines.lower_shift[0, 0]
    above = lines.upper_slope[0, 0] * x + lines.upper_shift[0, 0]
    assert (below <= value).all()
    assert (above >= value).all()
    least, most = value_bounds(step, lower, upper)
    assert least[0, 0] <= value.min() <= value.max() <= most[0, 0]
    if kind in ("sigmoid", "tanh", "softplus") and width <= 1e-3:
        assert (above - below).max() < 1e-5


@given(seed=st.integers(0, 100_000), width=st.sampled_from([0.0, 1e-9, 0.1, 3.0]))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_planes_lie_below_and_above_the_largest(seed: int, width: float) -> None:
    random = np.random.default_rng(seed)
    lower = random.standard_normal((3, 6))
    upper = lower + width * random.random((3, 6))
    windows = np.array([[0, 1, 2], [3, 3, 3], [5, 4, 5], [2, 4, 0]])
    step = Step("max", 4, (0,), windows=windows)
    planes, rows = planes_of(step, lower, upper), np.arange(3)[:, None]
    least, most = value_bounds(step, lower, upper)
    for share in (0.0, 1.0, *random.random((40, 3, 6)), *random.integers(0, 2, (40, 3, 6))):
        x = np.clip(lower + share * (upper - lower), lower, upper)
        value = x[:, windows].max(2)
        assert (x[rows, planes.lower_at] <= value).all()
        above = planes.upper_slope.astype(np.longdouble) * x[rows, planes.upper_at] + planes.upper_shift
        assert (above >= value).all()
        assert ((least <= value) & (value <= most)).all()


RANDOM = np.random.default_rng(0)


def constant(*shape: int) -> NDArray[np.float32]:
    return RANDOM.standard_normal(shape).astype(np.float32)


def node(op: str, inputs: str, output: str = "y", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], **attributes)


PICTURE = [1, 4, 6, 7]
NORMAL = {"s": constant(4), "b": constant(4), "m": constant(4), "v": np.abs(constant(4)) + 0.1}
CASES = {
    "conv": (
        [node("Conv", "x w b", strides=[2, 1], pads=[1, 0, 2, 1])],
        PICTURE,
        {"w": constant(3, 4, 3, 2), "b": constant(3)},
    ),
    "grouped": ([node("Conv", "x w", group=2, dilations=[2, 1])], PICTURE, {"w": constant(6, 2, 2, 3)}),
    "normalised": ([node("BatchNormalization", "x s b m v", epsilon=1e-3)], PICTURE, NORMAL),
    "average": ([node("AveragePool", "x", kernel_shape=[2, 3], strides=[2, 2], pads=[1, 1, 0, 1])], PICTURE, {}),
    "global": ([node("GlobalAveragePool", "x")], PICTURE, {}),
    "mean": ([node("ReduceMean", "x", axes=[1, 3], keepdims=0)], PICTURE, {}),
    "sum": ([node("ReduceSum", "x a", keepdims=1)], PICTURE, {"a": np.array([2])}),
    "moved": (
        [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Reshape", "t n", "r"), node("Slice", "r a e d c")],
        PICTURE,
        {
            "n": np.array([0, -1]),
            "a": np.array([-1, 20]),
            "e": np.array([-100, 2]),
            "d": np.array([0, 1]),
            "c": np.array([-1, -3]),
        },
    ),
    "joined": ([node("Neg", "x", "n"), node("Concat", "x k n", axis=1)], PICTURE, {"k": constant(1, 2, 6, 7)}),
    "padded": ([node("Pad", "x p")], PICTURE, {"p": np.array([0, 0, 1, 0, 0, 1, 0, 2])}),
    "scaled": (
        [node("Sub", "x k", "s"), node("Div", "s d", "q"), node("Mul", "d q")],
        PICTURE,
        {"k": constant(4, 1, 1), "d": constant(6, 1)},
    ),
    "left": ([node("MatMul", "w x")], [5], {"w": constant(3, 5)}),
    "right": ([node("MatMul", "x w", "m"), node("Add", "m x")], [1, 3, 5], {"w": constant(5, 5)}),
    "gemm": ([node("Gemm", "x w b", transA=1)], [5, 1], {"w": constant(5, 4), "b": constant(4)}),
    "picked": (
        [
            node("Gather", "x i", axis=2),
        ],
        PICTURE,
        {"i": np.array([[0, 5], [3, 3]])},
    ),
    "functions": (
        [node("LeakyRelu", "x", "l", alpha=0.2), node("Tanh", "l", "t"), node("Sigmoid", "t", "g"), node("Relu", "g")],
        PICTURE,
        {},
    ),
    "pooled": (
        [node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])],
        PICTURE,
        {},
    ),
    "transposed": (
        [node("ConvTranspose", "x w b", strides=[2, 3], pads=[1, 0, 2, 1], output_padding=[1, 0], dilations=[1, 2])],
        PICTURE,
        {"w": constant(4, 3, 3, 2), "b": constant(3)},
    ),
    "transposed in groups": ([node("ConvTranspose", "x w", group=2)], PICTURE, {"w": constant(4, 3, 2, 2)}),
    "cut": (
        [node("Clip", "x low high", "c"), node("Abs", "c", "a"), node("Softplus", "a", "s"), node("Exp", "s")],
        PICTURE,
        {"low": np.array(-0.5, np.float32), "high": np.array(0.75, np.float32)},
    ),
    "axes": (
        [node("Unsqueeze", "x a", "u"), node("Squeeze", "u a", "s"), node("Flatten", "s", axis=2)],
        PICTURE,
        {"a": np.array([1])},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_program_answers_as_the_runtime_does(name: str, tmp_path: Path) -> None:
    nodes, shape, constants = CASES[name]
    model = graph(nodes, {"x": shape}, constants, opset=13)
    x = constant(*shape)
    wanted = runtime(model, x=x)
    program, _ = read_model(write(model, tmp_path))
    flat = x.astype(np.float64).reshape(1, -1)
    found = bound(program, flat, flat)
    low, high = found.lower[program.output][0], found.upper[program.output][0]
    assert np.abs(low - wanted.reshape(-1)).max() < 1e-5
    assert (low <= high).all()
    assert (high - low).max() < 1e-11


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ([node("Softmax", "x")], [1, 4]),
        ([node("Mul", "x x")], [1, 4]),
        ([node("Conv", "x w", auto_pad="SAME_UPPER")], PICTURE),
        ([node("Gemm", "x v", alpha=2.0)], [1, 4]),
    ],
)
def test_what_the_checker_does_not_know_is_said(nodes: list[onnx.NodeProto], shape: list[int], tmp_path: Path) -> None:
    model = graph(nodes, {"x": shape}, {"w": constant(2, 4, 2, 2), "v": constant(4, 2)})
    with pytest.raises(NotEstablishedError, match=nodes[0].op_type):
        read_model(write(model, tmp_path))
