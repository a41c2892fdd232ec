"""Reading whole files: batches, folding, refusals."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.fx.experimental.proxy_tensor import make_fx

from robust.errors import (
    ControlFlowError,
    GraphError,
    ModelFileError,
    ModelShapeError,
    NonFiniteError,
    UnsupportedOperatorError,
)
from robust.graph.onnx_file import read_onnx
from robust.graph.onnx_module import OnnxModule
from tests.graph.onnx_files import graph, runtime, write

SHARED = Path(__file__).parents[2].parent / "shared"
DENSE = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def node(op: str, inputs: str, output: str = "y", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=f"n_{output}", **attributes)


def test_a_dense_layer_by_hand(tmp_path: Path) -> None:
    model = graph(
        [node("Gemm", "x w b")], {"x": ["N", 2]}, {"w": np.float32([[1, 2], [3, 4]]), "b": np.float32([10, 20])}
    )
    module = OnnxModule(write(model, tmp_path))
    assert module(torch.tensor([[1.0, 1.0], [0.0, -1.0]])).tolist() == [[14, 26], [7, 16]]
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert sum(parameter.numel() for parameter in module.parameters()) == 6
    assert not module.training


def test_a_fixed_batch_of_one_serves_any_batch(tmp_path: Path) -> None:
    """Reshape to [1, 12], and a token of shape [1, 1, 4] joined to every sample."""
    nodes = [
        node("Concat", "token x", "c", axis=1),
        node("Reshape", "c shape", "r"),
        node("MatMul", "r w", "y"),
    ]
    weights = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    constants = {"token": np.full((1, 1, 4), 0.5, np.float32), "shape": np.array([1, 12]), "w": weights}
    model = graph(nodes, {"x": [1, 2, 4]}, constants)
    module = OnnxModule(write(model, tmp_path))
    assert module.declared_batch == 1
    assert not module.sample_by_sample
    x = np.random.default_rng(1).normal(size=(7, 2, 4)).astype(np.float32)
    wanted = np.concatenate([runtime(model, x=x[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), wanted, atol=1e-5)


def test_a_fixed_batch_of_three_serves_any_batch(tmp_path: Path) -> None:
    model = graph(
        [node("Reshape", "x s", "r"), node("MatMul", "r w")], {"x": [3, 2, 2]}, {"s": np.array([3, 4]), "w": DENSE}
    )
    x = np.random.default_rng(1).normal(size=(3, 2, 2)).astype(np.float32)
    module = OnnxModule(write(model, tmp_path))
    np.testing.assert_allclose(module(torch.from_numpy(x)).numpy(), runtime(model, x=x), atol=1e-6)
    assert module(torch.from_numpy(x[:1])).shape == (1, 3)


def test_a_graph_without_batch_axis_is_mapped_over_samples(tmp_path: Path) -> None:
    squeezed = graph(
        [node("Squeeze", "x a", "s"), node("MatMul", "s w", "m"), node("Relu", "m")],
        {"x": [1, 4]},
        {"a": np.array([0]), "w": DENSE},
    )
    bare = graph([node("MatMul", "x w", "m"), node("Relu", "m")], {"x": [4]}, {"w": DENSE})
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    for number, model in enumerate((squeezed, bare)):
        module = OnnxModule(write(model, tmp_path, f"{number}.onnx"))
        assert module.sample_by_sample
        assert module.input_shapes == ((4,),)
        torch.testing.assert_close(module(x), torch.relu(x @ torch.from_numpy(DENSE)))


def test_shape_arithmetic_is_folded(tmp_path: Path) -> None:
    """The exporter's flatten: Shape, Gather, Unsqueeze, Concat, Reshape; and a token expanded to the batch."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n"),
        node("Unsqueeze", "n axis", "n1"),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "x target", "flat"),
        node("Concat", "n1 one", "wide", axis=0),
        node("ConstantOfShape", "wide", "zeros"),
        node("Add", "zeros token", "tokens"),
        node("Concat", "tokens flat", "y", axis=1),
    ]
    constants = {
        "zero": np.int64(0),
        "axis": np.array([0]),
        "rest": np.array([-1]),
        "one": np.array([1]),
        "token": np.float32([[7.0]]),
    }
    module = OnnxModule(write(graph(nodes, {"x": ["N", 2, 2]}, constants), tmp_path))
    x = torch.arange(12.0).reshape(3, 2, 2)
    assert module(x)[:, 0].tolist() == [7, 7, 7]
    torch.testing.assert_close(module(x)[:, 1:], x.flatten(1))
    operators = {n.target.__name__ for n in make_fx(module)(x).graph.nodes if n.op == "call_function"}
    assert operators <= {"view.default", "expand.default", "cat.default", "_unsafe_view.default"}


def test_gradients_flow_and_float64_stays_float64(tmp_path: Path) -> None:
    model = graph(
        [node("MatMul", "x w", "m"), node("Cast", "m", "c", to=TensorProto.FLOAT), node("Tanh", "c")],
        {"x": ["N", 4]},
        {"w": DENSE},
    )
    module = OnnxModule(write(model, tmp_path)).double()
    x = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))


def test_unknown_operator_names_itself(tmp_path: Path) -> None:
    model = graph([helper.make_node("Bogus", ["x"], ["y"], name="odd", domain="com.example")], {"x": ["N", 4]})
    with pytest.raises(UnsupportedOperatorError, match=r"com\.example::Bogus .* node 'odd'"):
        OnnxModule(write(model, tmp_path))


def test_shapes_and_control_flow_from_data_are_refused(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "i", to=TensorProto.INT64), node("Reshape", "x i")]
    with pytest.raises(ControlFlowError, match="Reshape"):
        OnnxModule(write(graph(nodes, {"x": ["N", 2]}), tmp_path))
    branch = helper.make_graph([node("Relu", "x", "z")], "b", [], [helper.make_tensor_value_info("z", 1, None)])
    chosen = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch, name="fork")
    nodes = [node("ReduceSum", "x", "s", keepdims=0), node("Cast", "s", "c", to=TensorProto.BOOL), chosen]
    with pytest.raises(ControlFlowError, match="fork"):
        OnnxModule(write(graph(nodes, {"x": ["N", 2]}), tmp_path))


def test_answers_that_depend_on_the_batch_are_refused_or_mapped(tmp_path: Path) -> None:
    """A softmax over the batch: with one sample alone it is a constant; no reading gives both."""
    nodes = [node("ReduceMean", "x", "m", axes=[0], keepdims=1), node("Sub", "x m")]
    module = OnnxModule(write(graph(nodes, {"x": ["N", 2]}), tmp_path))
    assert module.sample_by_sample
    assert module(torch.rand(3, 2)).abs().max() == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "empty"), (b"not a model at all", "text"), (b"\x08\x08" * 40, "noise")],
)
def test_not_a_model(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"broken\.onnx"):
        OnnxModule(path)


def test_every_truncation_is_a_typed_error(tmp_path: Path) -> None:
    whole = graph([node("Gemm", "x w")], {"x": ["N", 4]}, {"w": DENSE}).SerializeToString()
    for length in range(0, len(whole), 7):
        path = tmp_path / "cut.onnx"
        path.write_bytes(whole[:length])
        with pytest.raises((ModelFileError, GraphError, ModelShapeError)):
            OnnxModule(path)


def test_missing_file_and_dangling_value(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot read"):
        read_onnx(tmp_path / "nothing.onnx")
    with pytest.raises(ModelFileError, match="'ghost'"):
        OnnxModule(write(graph([node("Add", "x ghost")], {"x": ["N", 2]}), tmp_path))


def test_a_cycle_is_an_error_that_names_the_value(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    with pytest.raises(ModelFileError, match="node 'first' reads 'b', which nothing makes"):
        OnnxModule(write(graph(nodes, {"x": ["N", 3]}), tmp_path))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(bad: float, tmp_path: Path) -> None:
    weights = DENSE.copy()
    weights[1, 2] = bad
    with pytest.raises(NonFiniteError, match=r"'w'[\s\S]*\[1, 2\]"):
        read_onnx(write(graph([node("MatMul", "x w")], {"x": ["N", 4]}, {"w": weights}), tmp_path))


def test_infinite_masks_are_allowed(tmp_path: Path) -> None:
    mask = np.float32([0, -np.inf])
    module = OnnxModule(
        write(graph([node("Add", "x m", "s"), node("Softmax", "s")], {"x": ["N", 2]}, {"m": mask}), tmp_path)
    )
    assert module(torch.zeros(1, 2)).tolist() == [[1.0, 0.0]]


def test_external_data_stay_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    model = graph([node("MatMul", "x w")], {"x": ["N", 4]}, {"w": DENSE})
    onnx.save(model, folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    x = torch.ones(1, 4)
    torch.testing.assert_close(OnnxModule(folder / "m.onnx")(x), x @ torch.from_numpy(DENSE))
    content = onnx.load(folder / "m.onnx", load_external_data=False)
    for location in ("../secret.bin", str(tmp_path / "secret.bin")):
        content.graph.initializer[0].external_data[0].value = location
        (tmp_path / "secret.bin").write_bytes(DENSE.tobytes())
        path = write(content, folder, "bad.onnx")
        with pytest.raises(ModelFileError, match="outside the model's folder"):
            OnnxModule(path)


def test_open_shapes_must_be_said(tmp_path: Path) -> None:
    path = write(graph([node("Relu", "x")], {"x": ["N", "C", 4]}), tmp_path)
    with pytest.raises(ModelShapeError, match="input_shape"):
        OnnxModule(path)
    assert OnnxModule(path, input_shapes=[(3, 4)])(torch.zeros(2, 3, 4)).shape == (2, 3, 4)
    with pytest.raises(ModelShapeError, match="asked for"):
        OnnxModule(path, input_shapes=[(3, 5)])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared models are not here")
@pytest.mark.parametrize("pattern", ["data/models/*.onnx", "vnncomp/[b-z]*/onnx/*.gz", "vnncomp/acasxu/onnx/*_1_*"])
def test_real_networks_answer_like_onnxruntime(pattern: str) -> None:
    paths = sorted(SHARED.glob(pattern))
    assert paths
    for path in paths:
        file = read_onnx(path)
        module = OnnxModule(file)
        x = torch.rand(3, *module.input_shapes[0], generator=torch.Generator().manual_seed(0))
        answer = module(x).flatten(1).numpy()
        content = path.read_bytes()
        model = onnx.load_model_from_string(gzip.decompress(content) if path.suffix == ".gz" else content)
        rows = [runtime(model, **{file.inputs[0].name: x[i : i + 1].numpy()}).reshape(-1) for i in range(3)]
        wanted = np.stack(rows)
        assert np.abs(answer - wanted).max() <= 1e-5 * max(1.0, np.abs(wanted).max()), path.name
