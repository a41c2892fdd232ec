"""Every operator of the tables against onnxruntime, and the tables against a list of what is promised."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from robust.errors import GraphError, UnsupportedOperatorError
from robust.graph import trace
from robust.graph.onnx_file import read_onnx
from robust.graph.onnx_module import OnnxModule
from robust.graph.onnx_operators import OPERATORS
from robust.graph.onnx_plan import run_nodes
from tests.graph.onnx_files import graph, runtime, write


def arr(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + len(shape)).normal(size=shape).astype(np.float32)


def i64(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@dataclass
class Case:
    """One operator on ``x [N, *shape]``, constants by place (None: left out), attributes."""

    op: str
    shape: tuple[int, ...] = (4, 5)
    constants: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    positive: bool = False

    def __str__(self) -> str:
        shown = ",".join(f"{key}={value}" for key, value in self.attributes.items() if isinstance(value, int | str))
        return f"{self.op}{self.opset}-{shown}"


IMAGE, SERIES, CUBE = (3, 8, 7), (2, 9), (2, 5, 6, 4)
F0 = np.array([], dtype=np.float32)
CASES = [
    *[
        Case(op)
        for op in [
            "Relu",
            "Elu",
            "Celu",
            "Selu",
            "Sigmoid",
            "Tanh",
            "Exp",
            "Abs",
            "Neg",
            "Sin",
            "Cos",
            "Tan",
            "Atan",
            "Sinh",
            "Cosh",
            "Erf",
            "Floor",
            "Ceil",
            "Round",
            "Sign",
            "Softplus",
            "Softsign",
            "LeakyRelu",
            "HardSigmoid",
            "HardSwish",
            "ThresholdedRelu",
            "Softmax",
            "LogSoftmax",
            "Identity",
            "Shrink",
        ]
    ],
    Case("Mish", opset=18),
    *[Case(op, (3,), positive=True) for op in ("Log", "Sqrt", "Reciprocal")],
    *[
        Case(op, attributes={"axes": [2, 1], "keepdims": keep}, opset=13)
        for keep in (0, 1)
        for op in [
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceLogSumExp",
            "ReduceProd",
        ]
    ],
    Case("ReduceLogSum", attributes={"axes": [1]}, opset=13, positive=True),
    Case("ReduceSum", constants=(i64(-1),), attributes={"keepdims": 0}),
    Case("ReduceMean", constants=(i64(1),), opset=18),
    Case("ReduceSum", attributes={"axes": [1]}, opset=11),
    Case("Elu", attributes={"alpha": 0.3}),
    Case("Celu", attributes={"alpha": 2.0}),
    Case("Selu", attributes={"alpha": 1.2, "gamma": 0.7}),
    Case("LeakyRelu", attributes={"alpha": 0.3}),
    Case("HardSigmoid", attributes={"alpha": 0.5, "beta": 0.1}),
    Case("ThresholdedRelu", attributes={"alpha": 0.4}),
    Case("Shrink", attributes={"bias": 0.1, "lambd": 0.3}),
    Case("Gelu", opset=20),
    Case("Gelu", attributes={"approximate": "tanh"}, opset=20),
    Case("PRelu", IMAGE, (arr(3, 1, 1),)),
    Case("PRelu", (4,), (np.float32([0.2]),)),
    Case("Softmax", (3, 4), attributes={"axis": 1}, opset=11),
    Case("Softmax", (3, 4), attributes={"axis": 1}),
    Case("LogSoftmax", (3, 4), attributes={"axis": 2}, opset=9),
    *[Case(op, constants=(arr(5),)) for op in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "Mean")],
    Case("Mod", constants=(np.float32([0.7]),), attributes={"fmod": 1}),
    Case("Pow", constants=(np.float32(2.0),)),
    Case("Pow", (5,), (np.float32([0.5, 1, 2, 3, 1.5]),), positive=True),
    Case("Clip", constants=(np.float32(-0.3), np.float32(0.4))),
    Case("Clip", constants=(None, np.float32(0.4))),
    Case("Clip", attributes={"min": 0.0, "max": 1.0}, opset=9),
    Case("Clip", constants=(np.float32(0.0),)),
    Case("Gemm", (4,), (arr(4, 3), arr(3))),
    Case("Gemm", (4,), (arr(3, 4), arr(1, 3)), {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Gemm", (4,), (arr(4, 3),)),
    Case("Gemm", (4,), (arr(4, 3), np.float32([2.0]))),
    Case("MatMul", (3, 4), (arr(4, 2),)),
    Case("MatMul", (4,), (arr(4),)),
    Case("Einsum", (3, 4), (arr(4, 2),), {"equation": "nij,jk->nik"}, opset=12),
    Case("Conv", IMAGE, (arr(4, 3, 3, 2), arr(4)), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    Case("Conv", (4, 6, 6), (arr(6, 2, 3, 3),), {"group": 2, "dilations": [2, 1]}),
    *[
        Case("Conv", IMAGE, (arr(4, 3, 3, 4), arr(4)), {"auto_pad": pad, "strides": [2, 3]})
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ],
    Case("Conv", SERIES, (arr(3, 2, 3),), {"pads": [1, 1]}),
    Case("Conv", CUBE, (arr(3, 2, 2, 3, 2),)),
    Case(
        "ConvTranspose",
        IMAGE,
        (arr(3, 4, 3, 3), arr(4)),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    Case("ConvTranspose", IMAGE, (arr(3, 2, 4, 3),), {"strides": [2, 1], "pads": [0, 1, 2, 0]}),
    Case("ConvTranspose", (4, 5, 5), (arr(4, 1, 3, 3),), {"group": 4, "dilations": [2, 2]}),
    Case("ConvTranspose", IMAGE, (arr(3, 2, 4, 4),), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("ConvTranspose", SERIES, (arr(2, 3, 3),), {"strides": [2]}),
    Case("MaxPool", IMAGE, attributes={"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    Case("MaxPool", IMAGE, attributes={"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 2, 1]}),
    Case("MaxPool", IMAGE, attributes={"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    Case("MaxPool", SERIES, attributes={"kernel_shape": [2], "dilations": [2]}),
    Case("MaxPool", IMAGE, attributes={"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    Case("AveragePool", IMAGE, attributes={"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("AveragePool", IMAGE, attributes={"kernel_shape": [3, 3], "pads": [0, 1, 1, 0], "count_include_pad": 1}),
    Case("AveragePool", IMAGE, attributes={"kernel_shape": [3, 3], "pads": [0, 1, 1, 0]}),
    Case("AveragePool", CUBE, attributes={"kernel_shape": [2, 2, 2]}),
    Case("GlobalAveragePool", IMAGE),
    Case("GlobalMaxPool", IMAGE),
    Case("BatchNormalization", IMAGE, (arr(3), arr(3) + 1, arr(3), np.abs(arr(3)) + 0.1), {"epsilon": 1e-3}),
    Case("BatchNormalization", (3,), (arr(3), arr(3) + 1, arr(3), np.abs(arr(3)) + 0.1), opset=9),
    Case("InstanceNormalization", IMAGE, (arr(3), arr(3))),
    Case("LayerNormalization", (3, 4), (arr(4), arr(4))),
    Case("LayerNormalization", (3, 4), (arr(3, 4),), {"axis": 1}),
    Case("GroupNormalization", (4, 3, 3), (arr(4), arr(4)), {"num_groups": 2}, opset=21),
    Case("LRN", IMAGE, attributes={"size": 3, "alpha": 0.1}),
    Case("LpNormalization", (6,), attributes={"axis": 1, "p": 1}),
    Case("Reshape", (3, 4), (i64(0, -1),)),
    Case("Reshape", (3, 4), (i64(-1, 2, 6),)),
    Case("Flatten", IMAGE),
    Case("Transpose", IMAGE, attributes={"perm": [0, 2, 3, 1]}),
    Case("Squeeze", (1, 4), (i64(1),)),
    Case("Squeeze", (1, 4), attributes={"axes": [1]}, opset=11),
    Case("Unsqueeze", (4,), (i64(1, -1),)),
    Case("Unsqueeze", (4,), attributes={"axes": [2]}, opset=11),
    Case("Slice", (6, 7), (i64(1, -3), i64(5, 2**62), i64(1, 2), i64(2, 1))),
    Case("Slice", (6,), (i64(-1), i64(-99), i64(1), i64(-2))),
    Case("Slice", (6,), attributes={"starts": [1], "ends": [-1], "axes": [1]}, opset=9),
    Case("Gather", (6,), (i64(0, 2, -1),), {"axis": 1}),
    Case("Gather", (6, 2), (np.int64(-2),), {"axis": 1}),
    Case("Gather", (6, 2), (np.array([[0, 1], [3, 5]]),), {"axis": 1}),
    Case("Gather", (6,), (i64(2, 3, 4),), {"axis": 1}),
    Case("Tile", (4,), (i64(1, 3),)),
    Case("Expand", (1, 4), (i64(1, 3, 4),)),
    Case("Pad", IMAGE, (i64(0, 0, 1, 2, 0, 0, 0, 1), np.float32(0.7))),
    Case("Pad", IMAGE, (i64(0, 0, 1, 2, 0, 0, 3, 1),), {"mode": "reflect"}),
    Case("Pad", IMAGE, (i64(0, 0, 1, 2, 0, 0, 3, 1),), {"mode": "edge"}),
    Case("Pad", IMAGE, (i64(0, 0, 1, 2, 0, 0, 3, 1),), {"mode": "wrap"}, opset=19),
    Case("Pad", (5,), attributes={"pads": [0, 1, 0, 2], "value": 2.0}, opset=9),
    Case("Pad", (5,), (i64(1, 2), None, i64(1)), opset=18),
    Case("Pad", (6,), (i64(0, -1, 0, -2),)),
    Case("DepthToSpace", (8, 2, 3), attributes={"blocksize": 2}),
    Case("DepthToSpace", (8, 2, 3), attributes={"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", (2, 4, 6), attributes={"blocksize": 2}),
    Case("Dropout", (4,)),
    Case("Trilu", (4, 4), attributes={"upper": 0}),
    Case("CumSum", (5,), (np.int64(1),), {"exclusive": 1, "reverse": 1}),
    Case("Upsample", IMAGE, (np.float32([1, 1, 2, 3]),), {"mode": "nearest"}, opset=9),
    Case("Upsample", IMAGE, attributes={"mode": "nearest", "scales": [1.0, 1.0, 2.0, 2.0]}, opset=7),
    Case("Resize", IMAGE, (np.float32([1, 1, 2, 1.5]),), {"mode": "nearest"}, opset=10),
    *[
        Case("Resize", IMAGE, (F0, np.float32([1, 1, 1.5, 0.6])), {"mode": mode, "coordinate_transformation_mode": how})
        for mode in ("nearest", "linear", "cubic")
        for how in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
    ],
    *[
        Case("Resize", IMAGE, (F0, np.float32([1, 1, 1.7, 2])), {"mode": "nearest", "nearest_mode": mode})
        for mode in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    ],
]


def build(case: Case, batch: str | int = "N") -> Any:
    names, constants = ["x"], {}
    for place, array in enumerate(case.constants):
        names.append("" if array is None else f"c{place}")
        if array is not None:
            constants[f"c{place}"] = array
    node = helper.make_node(case.op, names, ["y"], name="the_node", **case.attributes)
    return graph([node], {"x": [batch, *case.shape]}, constants, opset=case.opset)


def sample(case: Case, count: int = 3) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(count, *case.shape)).astype(np.float32) * 1.5
    return np.abs(x) + 0.2 if case.positive else x


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operator_answers_like_onnxruntime(case: Case, tmp_path: Path) -> None:
    model = build(case)
    x = sample(case)
    wanted = runtime(model, x=x)
    module = OnnxModule(write(model, tmp_path))
    answer = module(torch.from_numpy(x)).numpy()
    assert answer.shape == wanted.shape
    np.testing.assert_allclose(answer, wanted, rtol=2e-5, atol=2e-5)


def test_operators_with_two_inputs_that_vary(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Greater", ["a", "b"], ["g"]),
        helper.make_node("Not", ["g"], ["h"]),
        helper.make_node("Where", ["h", "a", "b"], ["w"]),
        helper.make_node("Cast", ["g"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["w", "f", "a"], ["c"], axis=-1),
        helper.make_node("ArgMax", ["c"], ["i"], axis=1, keepdims=0),
        helper.make_node("OneHot", ["i", "depth", "values"], ["o"]),
        helper.make_node("TopK", ["c", "k"], ["t", "ti"]),
        helper.make_node("Concat", ["c", "o", "t"], ["y"], axis=1),
    ]
    constants = {"depth": i64(9), "values": np.float32([-1, 2]), "k": i64(2)}
    model = graph(nodes, {"x": ["N", 6]}, constants, opset=18)
    x = sample(Case("", (6,)))
    module = OnnxModule(write(model, tmp_path))
    np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), runtime(model, x=x), atol=1e-6)


@pytest.mark.parametrize("to", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_a_cast_to_fewer_digits_rounds_and_cannot_be_proved_about(to: int, tmp_path: Path) -> None:
    """1 / 3 has 0.33325195 as its nearest half and 0.33398438 as its nearest bfloat16: a certificate would miss it."""
    nodes = [
        helper.make_node("Cast", ["x"], ["s"], to=to),
        helper.make_node("Cast", ["s"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    model = graph(nodes, {"x": ["N", 1]}, {})
    module = OnnxModule(write(model, tmp_path))
    answer = float(module(torch.tensor([[1 / 3]]))[0, 0])
    assert answer == pytest.approx({TensorProto.FLOAT16: 0.333251953125, TensorProto.BFLOAT16: 0.333984375}[to], abs=0)
    assert answer == float(runtime(model, x=np.float32([[1 / 3]]))[0, 0])
    with pytest.raises(UnsupportedOperatorError, match="_to_copy"):
        trace(module, (1,), device=torch.device("cpu"))


def test_tables_hold_what_the_readme_promises() -> None:
    promised = [
        "Gemm",
        "MatMul",
        "Conv",
        "ConvTranspose",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
        "Sigmoid",
        "Tanh",
        "Exp",
        "Log",
        "Sqrt",
        "Pow",
        "Abs",
        "Neg",
        "Clip",
        "Min",
        "Max",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Sin",
        "Cos",
        "Softmax",
        "LogSoftmax",
        "BatchNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "GlobalAveragePool",
        "AveragePool",
        "MaxPool",
        "Pad",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Concat",
        "Split",
        "Slice",
        "Gather",
        "Expand",
        "ReduceSum",
        "ReduceMean",
        "Resize",
        "Upsample",
        "DepthToSpace",
        "Dropout",
        "Identity",
        "Constant",
        "ConstantOfShape",
        "Shape",
        "Cast",
        "Where",
        "Equal",
        "OneHot",
        "ArgMax",
    ]
    assert not set(promised) - set(OPERATORS)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from(["Conv", "ConvTranspose"]),
    st.integers(1, 2),
)
def test_convolutions_of_every_geometry(kernel, strides, pads, dilations, op, group) -> None:  # type: ignore[no-untyped-def]
    weight = arr(4, 4 // group, *kernel)
    attributes = {"strides": list(strides), "pads": pads, "dilations": list(dilations), "group": group}
    case = Case(op, (4, 6, 7), (weight,), attributes)
    model = build(case)
    x = sample(case)
    try:
        wanted = runtime(model, x=x)
    except Exception:  # a geometry without output is refused by both
        return
    with tempfile.TemporaryDirectory() as folder:
        file = read_onnx(write(model, Path(folder)))
    if 0 in wanted.shape:
        return
    answer = run_nodes(file, ["x"], [torch.from_numpy(x)], "y").numpy()
    np.testing.assert_allclose(answer, wanted, rtol=2e-5, atol=2e-5)


def test_a_failing_node_is_named(tmp_path: Path) -> None:
    model = graph([helper.make_node("MatMul", ["x", "w"], ["y"], name="bad")], {"x": ["N", 4]}, {"w": arr(3, 2)})
    with pytest.raises(GraphError, match="MatMul at node 'bad'"):
        OnnxModule(write(model, tmp_path))
