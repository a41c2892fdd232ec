"""Every way in, and every way of being refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from safetensors.torch import save_file
from torch import nn

from robust.errors import ModelFileError, ModelShapeError, UntrustedModelError, UsageError
from robust.subjects import OnnxClassifier, TorchClassifier, load_classifier
from tests.graph.onnx_files import graph, write
from tests.subjects.tiny import two_by_two

FACTORY = "tests.subjects.tiny:two_by_two"
X = torch.tensor([[0.25, 0.5]])
STATE = {"weight": torch.tensor([[2.0, 0.0], [0.0, 3.0]]), "bias": torch.tensor([1.0, 0.0])}
WANTED = [[1.5, 1.5]]


def test_factory_alone_and_with_weights(tmp_path: Path) -> None:
    plain = load_classifier(FACTORY, input_shape=(2,))
    assert plain.logits(X).tolist() == [[0.25, 1.0]]
    assert plain.format == "torch factory"
    save_file(STATE, tmp_path / "w.safetensors")
    torch.save({"state_dict": {f"module.{name}": value for name, value in STATE.items()}}, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        for source, options in ((FACTORY, {"weights": tmp_path / name}), (tmp_path / name, {"factory": FACTORY})):
            classifier = load_classifier(source, input_shape=(2,), **options)  # type: ignore[arg-type]
            assert classifier.logits(X).tolist() == WANTED
            assert name in classifier.source


def test_a_factory_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_nets_for_this_test.py").write_text("import torch\ndef make():\n    return torch.nn.Linear(2, 3)\n")
    monkeypatch.chdir(tmp_path)
    path, state = list(sys.path), torch.get_rng_state()
    assert len(load_classifier("my_nets_for_this_test:make", input_shape=(2,)).class_names) == 3
    assert sys.path == path
    assert torch.equal(state, torch.get_rng_state())
    sys.modules.pop("my_nets_for_this_test")


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("tests.subjects.tiny:nothing", "cannot be found"),
        ("no.such.module:make", "cannot be found"),
        ("tests.subjects.tiny:broken", "cupboard"),
        (":x", "wrong form"),
    ],
)
def test_bad_factories(factory: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_classifier(factory, input_shape=(2,))


def test_a_factory_may_return_a_function_but_not_a_number() -> None:
    assert load_classifier("tests.subjects.tiny:black_box", input_shape=(2,)).logits(X).tolist() == X.tolist()
    with pytest.raises(UsageError, match="cannot be audited"):
        load_classifier("tests.subjects.tiny:not_a_module", input_shape=(2,))


def test_weights_without_a_factory_say_what_to_add(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match="also a factory"):
        load_classifier(tmp_path / "w.safetensors", input_shape=(2,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias": None}, "missing: bias"),
        ({"extra": torch.ones(1)}, "not in the module: extra"),
        ({"bias": torch.ones(3)}, r"bias \[3\]"),
    ],
)
def test_weights_that_do_not_fit(change: dict[str, torch.Tensor | None], words: str, tmp_path: Path) -> None:
    state = {name: value for name, value in {**STATE, **change}.items() if value is not None}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelFileError, match=words):
        load_classifier(FACTORY, weights=tmp_path / "w.safetensors", input_shape=(2,))


def test_truncated_weights(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    torch.save(STATE, tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelFileError, match="cannot read"):
            load_classifier(FACTORY, weights=tmp_path / name, input_shape=(2,))


def test_a_pickled_module_is_not_trusted(tmp_path: Path) -> None:
    torch.save(two_by_two(), tmp_path / "whole.pt")
    with pytest.raises(UntrustedModelError, match="more than tensors"):
        load_classifier(tmp_path / "whole.pt", factory=FACTORY, input_shape=(2,))


def test_programs_need_trust(tmp_path: Path) -> None:
    scripted = tmp_path / "m.pt"
    torch.jit.save(torch.jit.script(nn.Sequential(two_by_two(), nn.ReLU())), scripted)
    exported = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(two_by_two(), (torch.zeros(1, 2),)), exported)
    for path, kind in ((scripted, "torchscript"), (exported, "exported program")):
        with pytest.raises(UntrustedModelError, match="run code"):
            load_classifier(path, input_shape=(2,))
        classifier = load_classifier(path, input_shape=(2,), trust=True)
        assert classifier.format == kind
        assert classifier.logits(torch.cat([X, X])).tolist() == [[0.25, 1.0], [0.25, 1.0]]


def test_python_objects() -> None:
    classifier = load_classifier(two_by_two(), input_shape=(2,))
    assert isinstance(classifier, TorchClassifier)
    assert load_classifier(classifier) is classifier


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model file"):
        load_classifier(tmp_path / "nothing.onnx")
    (tmp_path / "m.h5").write_bytes(b"x")
    with pytest.raises(ModelFileError, match="ending"):
        load_classifier(tmp_path / "m.h5")
    with pytest.raises(UsageError, match="no model was named"):
        load_classifier()
    with pytest.raises(UsageError, match="input_shape"):
        load_classifier(FACTORY)


WEIGHTS = np.float32([[1, 0], [0, 2]])


def dense(
    shape: list[int | str | None], tail: str = "", dtype: str = "float32", weights: np.ndarray = WEIGHTS
) -> object:
    """``x @ weights`` and perhaps an activation."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z" if tail else "y"])]
    if tail:
        nodes.append(helper.make_node(tail, ["z"], ["y"]))
    return graph(nodes, {"x": shape}, {"w": weights.astype(dtype)}, dtype=dtype)


@pytest.mark.parametrize("tail", ["", "Softmax", "LogSoftmax", "Sigmoid"])
def test_onnx_heads_are_taken_off_in_both_runtimes(tail: str, tmp_path: Path) -> None:
    classifier = load_classifier(write(dense(["N", 2], tail), tmp_path))  # type: ignore[arg-type]
    assert classifier.logits(X).tolist() == [[0.25, 1.0]]
    assert classifier.replay(X).tolist() == [[0.25, 1.0]]
    assert any(tail in note for note in classifier.notes) == bool(tail)


def test_onnx_binary_heads(tmp_path: Path) -> None:
    column = np.float32([[2], [-1]])
    for tail, output in (("Sigmoid", "auto"), ("Sigmoid", "binary"), ("", "binary")):
        path = write(dense(["N", 2], tail, weights=column), tmp_path)  # type: ignore[arg-type]
        classifier = load_classifier(path, output=output, input_box=(-4, 4))  # type: ignore[arg-type]
        assert classifier.logits(torch.tensor([[1.0, 0.5]])).tolist() == [[0.0, 1.5]]
        assert classifier.replay(torch.tensor([[1.0, 0.5]])).tolist() == [[0.0, 1.5]]


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_onnx_of_other_float_types(dtype: str, tmp_path: Path) -> None:
    classifier = load_classifier(write(dense(["N", 2], dtype=dtype), tmp_path))  # type: ignore[arg-type]
    assert classifier.logits(X).tolist() == classifier.replay(X).tolist() == [[0.25, 1.0]]
    assert classifier.replay(X).dtype == torch.float32
    assert any(dtype in note for note in classifier.notes)


def test_onnx_of_bytes_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=1), helper.make_node("MatMul", ["f", "w"], ["y"])]
    model = graph(nodes, {"x": ["N", 2]}, {"w": WEIGHTS}, dtype="uint8")
    with pytest.raises(ModelShapeError, match="uint8"):
        load_classifier(write(model, tmp_path))


def test_onnx_with_a_fixed_batch_is_replayed_in_its_batches(tmp_path: Path) -> None:
    for batch in (1, 3):
        classifier = load_classifier(write(dense([batch, 2]), tmp_path))  # type: ignore[arg-type]
        x = torch.rand(7, 2, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(classifier.replay(x), classifier.logits(x))
        assert classifier.replay(x).shape == (7, 2)


def test_onnx_of_no_samples_and_of_an_answer_without_batch_axis(tmp_path: Path) -> None:
    classifier = load_classifier(write(dense(["N", 2]), tmp_path))  # type: ignore[arg-type]
    assert classifier.replay(torch.zeros(0, 2)).shape == (0, 2)
    nodes = [helper.make_node("Squeeze", ["x", "a"], ["s"]), helper.make_node("MatMul", ["s", "w"], ["y"])]
    model = graph(nodes, {"x": [1, 2]}, {"w": WEIGHTS, "a": np.array([0])})
    bare = load_classifier(write(model, tmp_path))
    x = torch.rand(4, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(bare.replay(x), bare.logits(x))
    features = bare.features(x)
    assert features is not None
    torch.testing.assert_close(features, x)


def test_onnx_channels_last_is_audited_channels_first(tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    weights = np.zeros((12, 2), np.float32)
    weights[1, 0], weights[3, 1] = 1.0, 1.0  # row 0, column 0, channel 1; row 0, column 1, channel 0
    path = write(graph(nodes, {"x": ["N", 2, 2, 3]}, {"w": weights}), tmp_path)
    classifier = load_classifier(path)
    assert classifier.input_shape == (3, 2, 2)
    x = torch.arange(12.0).reshape(1, 3, 2, 2)
    assert classifier.logits(x).tolist() == classifier.replay(x).tolist() == [[4.0, 1.0]]
    assert load_classifier(path, input_shape=(2, 2, 3)).input_shape == (2, 2, 3)


def test_onnx_input_shape_must_agree(tmp_path: Path) -> None:
    path = write(dense(["N", 1, 2]), tmp_path)  # type: ignore[arg-type]
    assert load_classifier(path, input_shape=(2,), output="logits").input_shape == (2,)
    with pytest.raises(ModelShapeError, match="asked for"):
        load_classifier(path, input_shape=(3,))
    with pytest.raises(UsageError, match="no use for factory"):
        load_classifier(path, factory=FACTORY)


def test_onnx_features_and_digest(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "v"], ["y"]),
    ]
    path = write(graph(nodes, {"x": ["N", 2]}, {"w": WEIGHTS, "v": -WEIGHTS}), tmp_path)
    classifier = load_classifier(path)
    assert isinstance(classifier, OnnxClassifier)
    features = classifier.features(X)
    assert features is not None
    assert features.tolist() == [[0.25, 1.0]]
    assert classifier.digest == load_classifier(path).digest
    assert classifier.digest != load_classifier(path, mean=0.5).digest
