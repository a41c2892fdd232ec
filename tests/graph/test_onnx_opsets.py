"""Operators whose meaning or form changed with the operator set, each in its forms, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robust.graph import trace
from robust.graph.onnx_module import OnnxModule
from tests.graph.onnx_files import graph, runtime, write
from tests.graph.test_onnx_operators import F0, IMAGE, Case, arr, build, i64, sample

FORMS = [
    Case("Softmax", (3, 4, 2), attributes={"axis": 2}, opset=9),
    Case("Softmax", (3, 4, 2), opset=11),
    Case("Softmax", (3, 4, 2), opset=13),
    Case("LogSoftmax", (3, 4, 2), attributes={"axis": -2}, opset=11),
    Case("LogSoftmax", (3, 4, 2), attributes={"axis": -2}, opset=13),
    Case("Clip", attributes={"min": -0.5, "max": 0.25}, opset=9),
    Case("Clip", attributes={"max": 0.25}, opset=6),
    Case("Clip", constants=(np.float32(-0.5), np.float32(0.25)), opset=11),
    Case("Clip", constants=(None, np.float32(0.25)), opset=13),
    Case("Pad", IMAGE, attributes={"pads": [0, 0, 1, 2, 0, 0, 0, 1], "mode": "reflect"}, opset=9),
    Case("Pad", IMAGE, attributes={"pads": [0, 0, 1, 2, 0, 0, 0, 1], "mode": "edge"}, opset=2),
    Case("Pad", IMAGE, (i64(0, 0, 1, 2, 0, 0, 0, 1), np.float32(-1)), opset=11),
    Case("Pad", IMAGE, (i64(1, 2, 0, 1), np.float32(-1), i64(2, 3)), opset=18),
    Case("Slice", IMAGE, attributes={"starts": [1, -4], "ends": [99, -1], "axes": [2, 3]}, opset=9),
    Case("Slice", IMAGE, attributes={"starts": [0, 1], "ends": [9, 3]}, opset=1),
    Case("Slice", IMAGE, (i64(-1, 1), i64(-99, 6), i64(2, 3), i64(-2, 2)), opset=10),
    Case("Squeeze", (1, 4, 1), attributes={"axes": [1, 3]}, opset=1),
    Case("Squeeze", (1, 4, 1), attributes={"axes": [-1, 1]}, opset=11),
    Case("Squeeze", (1, 4, 1), (i64(-1, 1),), opset=13),
    Case("Unsqueeze", (4,), attributes={"axes": [1, 3]}, opset=1),
    Case("Unsqueeze", (4,), (i64(3, 1),), opset=13),
    Case("ReduceSum", (3, 4), attributes={"axes": [-1], "keepdims": 0}, opset=11),
    Case("ReduceSum", (3, 4), (i64(-1, 1),), opset=13),
    Case("ReduceSum", (3, 4), attributes={"noop_with_empty_axes": 1}, opset=13),
    Case("ReduceMean", (3, 4), attributes={"axes": [1, 2]}, opset=9),
    Case("ReduceMax", (3, 4), (i64(2),), opset=18),
    Case("ReduceL2", (3, 4), (i64(2),), {"keepdims": 0}, opset=18),
    Case("Upsample", IMAGE, attributes={"mode": "linear", "scales": [1.0, 1.0, 2.0, 2.0]}, opset=7),
    Case("Upsample", IMAGE, (np.float32([1, 1, 2, 3]),), {"mode": "linear"}, opset=9),
    Case("Resize", IMAGE, (np.float32([1, 1, 2, 2]),), {"mode": "linear"}, opset=10),
    Case("Resize", IMAGE, (np.float32([1, 1, 0.5, 0.6]),), {"mode": "nearest"}, opset=10),
    Case("Resize", IMAGE, (F0, np.float32([1, 1, 2, 2])), {"mode": "linear"}, opset=11),
    Case("Resize", IMAGE, (None, np.float32([1, 1, 2, 2])), {"mode": "nearest"}, opset=13),
    Case("Resize", IMAGE, (None, np.float32([2, 2])), {"mode": "linear", "axes": [2, 3]}, opset=18),
    Case("Dropout", (4,), attributes={"ratio": 0.7}, opset=7),
    Case("Dropout", (4,), attributes={"ratio": 0.7}, opset=10),
    Case("Dropout", (4,), (np.float32(0.7),), opset=12),
    Case("Dropout", (4,), (np.float32(0.7), np.bool_(False)), opset=13),
    Case("BatchNormalization", IMAGE, (arr(3), arr(3), arr(3), arr(3) ** 2 + 0.1), opset=7),
    Case("BatchNormalization", IMAGE, (arr(3), arr(3), arr(3), arr(3) ** 2 + 0.1), {"momentum": 0.5}, opset=14),
    Case("BatchNormalization", IMAGE, (arr(3), arr(3), arr(3), arr(3) ** 2 + 0.1), {"training_mode": 0}, opset=15),
    Case("Gemm", (4,), (arr(4, 3), arr(3)), opset=9),
    Case("Gemm", (4,), (arr(4, 3),), opset=11),
    Case("Flatten", IMAGE, attributes={"axis": -3}, opset=11),
    Case("Flatten", IMAGE, opset=1),
    Case("PRelu", IMAGE, (arr(3, 1, 1),), opset=9),
    Case("Cast", (4,), attributes={"to": TensorProto.FLOAT}, opset=9),
    Case("Gather", (6, 2), (i64(-1, 0),), {"axis": 1}, opset=11),
    Case("DepthToSpace", (8, 2, 3), attributes={"blocksize": 2}, opset=9),
    Case("DepthToSpace", (8, 2, 3), attributes={"blocksize": 2, "mode": "CRD"}, opset=11),
    Case("MaxPool", IMAGE, attributes={"kernel_shape": [2, 2]}, opset=8),
    Case("AveragePool", IMAGE, attributes={"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}, opset=7),
    Case("Elu", opset=6),
    Case("HardSwish", opset=14),
    Case("LayerNormalization", (3, 4), (arr(4), arr(4)), opset=17),
    Case("Sum", constants=(arr(5), arr(5)), opset=8),
]


@pytest.mark.parametrize("case", FORMS, ids=str)
def test_old_and_new_forms_answer_alike(case: Case, tmp_path: Path) -> None:
    model = build(case)
    x = sample(case)
    wanted = runtime(model, x=x)
    answer = OnnxModule(write(model, tmp_path))(torch.from_numpy(x)).numpy()
    assert answer.shape == wanted.shape
    np.testing.assert_allclose(answer, wanted, rtol=2e-5, atol=2e-5)


SPLITS = [
    (11, {"split": [1, 2, 2]}, {}),
    (7, {"split": [2, 1, 2]}, {}),
    (13, {}, {"s": i64(2, 2, 1)}),
    (18, {"num_outputs": 3}, {}),
]


@pytest.mark.parametrize(("opset", "attributes", "constants"), SPLITS)
def test_split(opset: int, attributes: dict, constants: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    attributes = {"axis": 1, **attributes}
    nodes = [
        helper.make_node("Split", ["x", *constants], ["a", "b", "c"], **attributes),
        helper.make_node("Concat", ["c", "b", "a"], ["y"], axis=1),
    ]
    model = graph(nodes, {"x": ["N", 5]}, constants, opset=opset)
    x = sample(Case("", (5,)))
    np.testing.assert_array_equal(OnnxModule(write(model, tmp_path))(torch.from_numpy(x)).numpy(), runtime(model, x=x))


@pytest.mark.parametrize(("opset", "attributes", "constants"), [(9, {"k": 2}, {}), (11, {"largest": 0}, {"k": i64(2)})])
def test_top_k(opset: int, attributes: dict, constants: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    model = graph(
        [helper.make_node("TopK", ["x", *constants], ["y", "i"], axis=1, **attributes)],
        {"x": ["N", 5]},
        constants,
        opset=opset,
    )
    x = sample(Case("", (5,)))
    np.testing.assert_array_equal(OnnxModule(write(model, tmp_path))(torch.from_numpy(x)).numpy(), runtime(model, x=x))


@pytest.mark.parametrize(("opset", "attributes"), [(9, {}), (15, {"start": 1}), (15, {"start": 0, "end": 1})])
def test_shapes_constants_of_shape_and_choices(opset: int, attributes: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    value = numpy_helper.from_array(np.float32([2.5]), "v")
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], **attributes),
        helper.make_node("ConstantOfShape", ["whole"], ["c"], value=value),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["f"], ["n"], keepdims=0) if opset < 13 else None,
        helper.make_node("ReduceSum", ["f"], ["n"], keepdims=0) if opset >= 13 else None,
        helper.make_node("Where", ["mask", "x", "c"], ["w"]),
        helper.make_node("Mul", ["w", "small"], ["y"]),
    ]
    constants = {"whole": i64(4), "mask": np.array([True, False, True, False]), "small": np.float32(0.5)}
    model = graph([node for node in nodes if node is not None], {"x": ["N", 4]}, constants, opset=opset)
    x = sample(Case("", (4,)))
    np.testing.assert_allclose(OnnxModule(write(model, tmp_path))(torch.from_numpy(x)).numpy(), runtime(model, x=x))


RECURRENT = [
    ("LSTM", 4, {}),
    ("LSTM", 4, {"direction": "bidirectional"}),
    ("GRU", 3, {}),
    ("GRU", 3, {"linear_before_reset": 1, "direction": "reverse"}),
    ("RNN", 1, {}),
    ("RNN", 1, {"activations": ["Relu"]}),
]


@pytest.mark.parametrize(("op", "gates", "attributes"), RECURRENT)
@pytest.mark.parametrize("opset", [7, 14])
def test_recurrent_layers(op: str, gates: int, attributes: dict, opset: int, tmp_path: Path) -> None:  # type: ignore[type-arg]
    """Samples first, as models are exported: a transposition, the layer, its last output."""
    both = 2 if attributes.get("direction") == "bidirectional" else 1
    constants = {
        "w": arr(both, gates * 3, 2),
        "r": arr(both, gates * 3, 3),
        "b": arr(both, 2 * gates * 3),
        "last": np.int64(-1),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(op, ["t", "w", "r", "b"], ["all"], hidden_size=3, **attributes),
        helper.make_node("Gather", ["all", "last"], ["z"], axis=0),
        helper.make_node("ReduceMean", ["z"], ["y"], axes=[0], keepdims=0),
    ]
    model = graph(nodes, {"x": ["N", 4, 2]}, constants, opset=opset)
    x = sample(Case("", (4, 2)))
    wanted = runtime(model, x=x)
    module = OnnxModule(write(model, tmp_path))
    np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), wanted, atol=2e-6)
    traced = trace(module, (4, 2), device=torch.device("cpu"))
    np.testing.assert_allclose(traced.forward(torch.from_numpy(x)).numpy(), wanted, atol=2e-6)
