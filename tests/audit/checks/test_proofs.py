"""The check ``proofs``: files beside the record, what the checker says of them, and what makes it speak up."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from robust.audit import proving
from robust.audit.check import Context, NotApplicableError
from robust.audit.checks.proofs import ProofsCheck, ProofsSettings
from robust.checker.check import check_proof
from robust.cli.app import app
from robust.data.dataset import Dataset
from robust.record import Finding, Outcome, ProofFile, Proofs
from robust.subjects.onnx_classifier import OnnxClassifier
from tests.audit.checks.contexts import context as double_context
from tests.audit.checks.contexts import dataset, findings
from tests.doubles import ModuleClassifier

SAMPLES = np.array([[0.9, 0.1], [0.1, 0.9], [0.52, 0.48], [0.3, 0.7]], dtype=np.float32)
LABELS = np.array([0, 1, 0, 1])


def save(path: Path, *, scale: float = 1.0, op: str = "Relu") -> Path:
    """Scores ``(x - y, y - x)`` by a hidden layer: the third sample is right within 0.02, the first within 0.4."""
    first = scale * np.array([[1.0, -1.0], [-1.0, 1.0]], dtype=np.float32)
    second = np.array([[1.0, -1.0], [-1.0, 1.0]], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node(op, ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(first, "a"), numpy_helper.from_array(second, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def made(tmp_path: Path, model: Path, **options: object) -> Context:
    classifier = OnnxClassifier(model, **options)  # type: ignore[arg-type]
    data: Dataset = dataset(SAMPLES, LABELS)
    predictions = classifier.replay(torch.from_numpy(data.samples)).argmax(1).numpy().astype(np.int64)
    return Context(classifier, data, None, {}, None, 0, torch.device("cpu"), tmp_path / "run", predictions)


def files_of(found: Finding) -> tuple[ProofFile, ...]:
    (evidence,) = found.evidence
    assert isinstance(evidence, Proofs)
    return evidence.files


def test_balls_are_proved_written_checked_and_named_in_the_record(tmp_path: Path) -> None:
    model = save(tmp_path / "model.onnx")
    ctx = made(tmp_path, model)
    found = findings(ProofsCheck(), ProofsSettings(epsilon=0.05), ctx)
    share = found["proofs/checked_share"]
    assert (share.value, share.n) == (1.0, 3)  # a change of 0.02 to both inputs breaks the third sample
    assert found["proofs/proved_share?meaning=real"].value == 0.75
    assert found["proofs/proved_share?meaning=deployed"].value == 0.75
    assert found["proofs/refuted_proofs"].outcome is Outcome.PASS
    kept = files_of(share)
    assert [item.real for item in kept] == [item.deployed for item in kept] == ["verified"] * 3
    for item in kept:
        proof, query = ctx.directory / item.path, ctx.directory / item.query
        assert hashlib.sha256(proof.read_bytes()).hexdigest() == item.sha256
        assert hashlib.sha256(query.read_bytes()).hexdigest() == item.query_sha256
        assert proof.stat().st_size == item.size
        assert check_proof(proof, model, query).smallest > 0
        assert item.checked_by.startswith("robust check: valid")
    assert share.evidence[0].model_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()  # type: ignore[union-attr]


def test_a_proof_that_does_not_hold_is_never_called_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that proves everything is caught: the third sample's ball holds inputs of the other class."""
    from robust.record.answer import Meanings, Verdict
    from verifiers.branching.input_tree import InputTree
    from verifiers.decision import CaseProof, Decision

    def blind(network: object, cases: object, **_: object) -> Decision:
        both = Meanings(Verdict.VERIFIED, Verdict.VERIFIED)
        proof = CaseProof("crown", InputTree.whole("crown", 1.0))
        return Decision(Verdict.VERIFIED, "blind", "crown", meanings=both, proofs=(proof,))

    monkeypatch.setattr(proving, "decide", blind)
    found = findings(ProofsCheck(), ProofsSettings(epsilon=0.05), made(tmp_path, save(tmp_path / "model.onnx")))
    share = found["proofs/checked_share"]
    assert (share.value, share.n) == (0.75, 4)
    third = files_of(share)[2]
    assert third.checked_by.startswith("robust check: beyond it; the search is trusted (case 0, the whole set")
    assert found["proofs/refuted_proofs"].outcome is Outcome.PASS


def test_one_invalid_proof_fails_the_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "checker_says", lambda *_: (proving.INVALID, "the leaves leave a gap"))
    found = findings(ProofsCheck(), ProofsSettings(epsilon=0.05), made(tmp_path, save(tmp_path / "model.onnx")))
    refuted = found["proofs/refuted_proofs"]
    assert (refuted.outcome, refuted.value) == (Outcome.FAIL, 3.0)
    assert found["proofs/checked_share"].value == 0.0
    assert all("the leaves leave a gap" in item.checked_by for item in files_of(found["proofs/checked_share"]))


def test_what_the_checker_does_not_know_is_said(tmp_path: Path) -> None:
    found = findings(ProofsCheck(), ProofsSettings(epsilon=0.05), made(tmp_path, save(tmp_path / "m.onnx", op="Elu")))
    share = found["proofs/checked_share"]
    assert share.value == 0.0
    assert all("beyond it; the search is trusted" in item.checked_by for item in files_of(share))
    assert "Elu" in files_of(share)[0].checked_by


@pytest.mark.parametrize("options", [{"mean": 0.5}, {"scale": 2.0}])
def test_a_file_that_reads_something_else_is_not_asked(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(NotApplicableError, match="read the samples as they are"):
        ProofsCheck().plan(ProofsSettings(), made(tmp_path, save(tmp_path / "model.onnx"), **options))


def test_other_models_are_not_asked(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    ctx = double_context(ModuleClassifier(module, (2,), 2), dataset(SAMPLES, LABELS), tmp_path)
    with pytest.raises(NotApplicableError, match="ONNX"):
        ProofsCheck().plan(ProofsSettings(), ctx)


def test_nothing_proved_is_not_assessed(tmp_path: Path) -> None:
    found = findings(ProofsCheck(), ProofsSettings(epsilon=0.6), made(tmp_path, save(tmp_path / "model.onnx")))
    assert found["proofs/checked_share"].outcome is Outcome.NOT_ASSESSED
    assert found["proofs/refuted_proofs"].outcome is Outcome.INCONCLUSIVE


def test_robust_check_of_a_folder(tmp_path: Path) -> None:
    model, other = save(tmp_path / "model.onnx"), save(tmp_path / "other.onnx", scale=2.0)
    ctx = made(tmp_path, model)
    findings(ProofsCheck(), ProofsSettings(epsilon=0.05), ctx)
    folder, run = str(ctx.directory / "proofs"), CliRunner()
    good = run.invoke(app, ["check", folder, str(model)])
    assert (good.exit_code, good.output.splitlines()[-1]) == (0, "3 of 3 valid")
    changed = run.invoke(app, ["check", folder, str(other)])
    assert (changed.exit_code, changed.output.splitlines()[-1]) == (1, "0 of 3 valid; 3 invalid")
    next((ctx.directory / "proofs").glob("*.vnnlib")).unlink()
    torn = run.invoke(app, ["check", folder, str(model)])
    assert torn.exit_code == 2
    assert torn.output.splitlines()[-1] == "2 of 3 valid; 1 refused"
