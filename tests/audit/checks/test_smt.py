"""The check ``smt`` on networks whose answers are known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.check import Context, NotApplicableError, NotAssessedError, Results, Shard
from robust.audit.checks.smt import SmtCheck, SmtSettings
from robust.record import Images, Outcome, Table
from tests.audit.checks.contexts import context, dataset, findings, results
from tests.doubles import ModuleClassifier, linear


def two_numbers(tmp_path: Path, **options: float) -> Context:
    """Class 0 where x0 - x1 > 0: the samples lie 0.2, 0.6 and -0.4 inside class 0; an L-inf step e moves 2 e."""
    samples = np.array([[0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])
    classifier = linear(torch.tensor([[1.0, -1.0], [0.0, 0.0]]), **options)
    return context(classifier, dataset(samples, np.array([0, 0, 1])), tmp_path)


def settings(**keys: object) -> SmtSettings:
    return SmtSettings.model_validate(keys)


def test_verdicts_of_a_linear_classifier_are_those_of_its_margins(tmp_path: Path) -> None:
    where = two_numbers(tmp_path)
    for epsilon, verified, falsified in ((0.09, 3, 0), (0.11, 2, 1), (0.21, 1, 2), (0.31, 0, 3)):
        found = findings(SmtCheck(), settings(epsilon=epsilon), where)
        share = found[f"smt/verified_share?epsilon={epsilon}&norm=linf"]
        assert share.value == pytest.approx(verified / 3)
        assert found[f"smt/falsified_share?epsilon={epsilon}&norm=linf"].value == pytest.approx(falsified / 3)
        assert found[f"smt/unknown_share?epsilon={epsilon}&norm=linf"].value == 0
        assert share.outcome is Outcome.MEASURED
        assert share.interval is not None
        assert share.interval.method == "clopper-pearson"
        assert found["smt/contradictions"].outcome is Outcome.PASS


def test_the_witness_is_the_rivals_and_lies_in_the_ball(tmp_path: Path) -> None:
    where = two_numbers(tmp_path)
    for shard, payload in results(SmtCheck(), settings(epsilon=0.31), where):
        sample = where.data.samples[shard.indices[0]]
        assert payload["verdict"] == "falsified"
        assert float(np.abs(payload["witness"] - sample).max()) <= 0.31 + 1e-6
        logits = where.classifier.replay(torch.from_numpy(payload["witness"])[None])[0]
        assert payload["rival"] == int(logits.argmax()) or float(logits[0] - logits[1]) == 0.0


def test_the_default_radius_is_a_share_of_the_box(tmp_path: Path) -> None:
    shards = SmtCheck().plan(settings(), two_numbers(tmp_path, lower=-1.0, upper=3.0))
    assert {shard.parameters["epsilon"] for shard in shards} == {0.12}


def test_few_free_inputs_leave_the_others_alone(tmp_path: Path) -> None:
    """With one free input the answer falls only for epsilon above the whole margin: 0.2, not 0.1."""
    where = two_numbers(tmp_path)
    for epsilon, verdict in ((0.19, "verified"), (0.21, "falsified")):
        shard, payload = results(SmtCheck(), settings(epsilon=epsilon, free_inputs=1, samples=3), where)[0]
        assert shard.indices == (0,)
        assert payload["free"] == 1
        assert payload["verdict"] == verdict
        if verdict == "falsified":
            assert int((payload["witness"] != where.data.samples[0]).sum()) == 1


def test_a_smaller_question_says_so_in_its_title_and_id(tmp_path: Path) -> None:
    found = findings(SmtCheck(), settings(epsilon=0.19, free_inputs=1), two_numbers(tmp_path))
    share = found["smt/verified_share?epsilon=0.19&free_inputs=1&norm=linf"]
    assert share.title.endswith("within L-inf 0.19, where only the 1 most influential inputs may change")
    assert share.protocol["free inputs"] == 1


def test_only_rightly_answered_samples_are_asked_about(tmp_path: Path) -> None:
    where = two_numbers(tmp_path)
    wrong = context(where.classifier, dataset(where.data.samples, np.array([1, 0, 1])), tmp_path)
    assert {shard.indices[0] for shard in SmtCheck().plan(settings(samples=9), wrong)} == {1, 2}
    none = context(where.classifier, dataset(where.data.samples, np.array([1, 1, 0])), tmp_path)
    with pytest.raises(NotAssessedError, match="no evaluation sample"):
        SmtCheck().plan(settings(), none)


class Triangle(nn.Module):
    """Logit 0 is ``|x| + |x + y| - |y| + 0.01``, logit 1 is 0: class 0 everywhere, and no linear bound shows it."""

    def forward(self, z: Tensor) -> Tensor:
        x, y = z[:, :1] - 0.5, z[:, 1:] - 0.5
        first = torch.relu(x) + torch.relu(-x) + torch.relu(x + y) + torch.relu(-x - y) - torch.relu(y) - torch.relu(-y)
        return torch.cat([first + 0.01, first * 0.0], 1)


def test_an_undecided_sample_is_inconclusive_never_safe(tmp_path: Path) -> None:
    where = context(
        ModuleClassifier(Triangle(), (2,), 2), dataset(np.full((1, 2), 0.5), np.zeros(1, np.int64)), tmp_path
    )
    decided = findings(SmtCheck(), settings(epsilon=0.5), where)["smt/verified_share?epsilon=0.5&norm=linf"]
    assert decided.value == 1.0
    stopped = findings(SmtCheck(), settings(epsilon=0.5, steps=1), where)
    share = stopped["smt/verified_share?epsilon=0.5&norm=linf"]
    assert share.value == 0.0
    assert share.outcome is Outcome.INCONCLUSIVE
    assert "used up its steps" in share.reason
    assert stopped["smt/unknown_share?epsilon=0.5&norm=linf"].value == 1.0


@pytest.mark.parametrize(
    ("module", "keys", "words"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()), {}, "sigmoid is not piecewise linear"),
        (nn.Sequential(nn.Linear(2, 9), nn.ReLU(), nn.Linear(9, 2)), {"neurons": 8}, "9 nonlinear neurons"),
        (nn.Sequential(nn.Linear(2, 2), nn.Softplus()), {}, "cannot be asked about this network"),
    ],
)
def test_networks_out_of_reach_are_not_applicable(
    module: nn.Module, keys: dict[str, int], words: str, tmp_path: Path
) -> None:
    where = context(ModuleClassifier(module, (2,), 2), dataset(np.full((1, 2), 0.5), np.zeros(1, np.int64)), tmp_path)
    with pytest.raises(NotApplicableError, match=words):
        SmtCheck().plan(settings(**keys), where)


def test_a_black_box_is_not_applicable(tmp_path: Path) -> None:
    where = two_numbers(tmp_path, differentiable=False)
    with pytest.raises(NotApplicableError, match="black box"):
        SmtCheck().plan(settings(), where)


def test_too_many_open_neurons_everywhere_are_not_applicable(tmp_path: Path) -> None:
    where = context(
        ModuleClassifier(Triangle(), (2,), 2), dataset(np.full((1, 2), 0.5), np.zeros(1, np.int64)), tmp_path
    )
    with pytest.raises(NotApplicableError, match="6 unstable neurons, more than 5"):
        findings(SmtCheck(), settings(epsilon=0.5, unstable_neurons=5), where)


def earlier(name: str, key: str, value: bool, epsilon: float) -> dict[str, Results]:
    """One shard of another check that speaks of all three samples."""
    parameters = {"method": "crown", "attack": "pgd", "norm": "linf", "epsilon": epsilon, "control": False}
    return {name: [(Shard(name, "x", parameters, (0, 1, 2)), {key: np.full(3, value)})]}


@pytest.mark.parametrize(
    ("epsilon", "before", "outcome"),
    [
        # At 0.31 everything is falsified: a certificate further out contradicts it, one further in does not.
        (0.31, earlier("certificates", "certified", True, 0.4), Outcome.FAIL),
        (0.31, earlier("certificates", "certified", True, 0.3), Outcome.PASS),
        (0.31, earlier("certificates", "certified", False, 0.4), Outcome.PASS),
        # At 0.09 everything is verified: an attack that succeeds within it contradicts, one further out does not.
        (0.09, earlier("attacks", "robust", False, 0.05), Outcome.FAIL),
        (0.09, earlier("attacks", "robust", False, 0.1), Outcome.PASS),
        (0.09, earlier("attacks", "robust", True, 0.05), Outcome.PASS),
    ],
)
def test_contradictions_with_other_engines_fail_the_control(
    epsilon: float, before: dict[str, Results], outcome: Outcome, tmp_path: Path
) -> None:
    control = findings(SmtCheck(), settings(epsilon=epsilon), two_numbers(tmp_path), before)["smt/contradictions"]
    assert control.control
    assert control.outcome is outcome
    assert control.value == (3 if outcome is Outcome.FAIL else 0)


def test_the_table_has_a_row_per_sample_and_pictures_only_for_pictures(tmp_path: Path) -> None:
    share = findings(SmtCheck(), settings(epsilon=0.31), two_numbers(tmp_path))[
        "smt/verified_share?epsilon=0.31&norm=linf"
    ]
    tables = [item for item in share.evidence if isinstance(item, Table)]
    assert [len(table.rows) for table in tables] == [3]
    assert not any(isinstance(item, Images) for item in share.evidence)

    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([[1.0, 1, -1, -1], [0, 0, 0, 0]]))
        module[1].bias.zero_()
    pixels = np.array([[[[0.6, 0.6], [0.4, 0.4]]]])
    where = context(ModuleClassifier(module, (1, 2, 2), 2), dataset(pixels, np.zeros(1, np.int64)), tmp_path)
    share = findings(SmtCheck(), settings(epsilon=0.2), where)["smt/verified_share?epsilon=0.2&norm=linf"]
    pictures = [item for item in share.evidence if isinstance(item, Images)]
    assert [len(row) for item in pictures for row in item.rows] == [3]


def test_two_runs_leave_the_same_bytes(tmp_path: Path) -> None:
    runs = []
    for _ in range(2):
        made = findings(SmtCheck(), settings(epsilon=0.31), two_numbers(tmp_path))
        runs.append([item.model_dump_json() for item in made.values()])
    assert runs[0] == runs[1]
