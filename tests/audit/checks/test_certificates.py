from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from robust.audit.check import Context, NotAssessedError, Payload, Shard
from robust.audit.checks.certificates import Certificates, CertificatesSettings
from robust.audit.checks.sandwich import Answers
from robust.data.dataset import Dataset
from robust.properties import Box
from robust.record import CurvePlot, Outcome, Table
from robust.statistics import wilson
from robust.subjects.protocols import Classifier


class Line(nn.Module):
    """One input; logits (x, -x): class 0 right of 0, at distance |x|."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, -x], 1)


class Subject:
    """The least that is a classifier."""

    name = source = "line"
    format = "python object"
    parameters = None
    device = torch.device("cpu")
    notes: tuple[str, ...] = ()
    input_shape = (1,)
    class_names = ("right", "left")
    differentiable = True

    def __init__(self, module: nn.Module | None, digest: str = "0") -> None:
        self._module = module
        self.digest = digest
        self.input_box = Box(torch.tensor([-1.0]), torch.tensor([1.0]))

    def logits(self, x: Tensor) -> Tensor:
        return Line()(x)

    def replay(self, x: Tensor) -> Tensor:
        return Line()(x)

    def module(self) -> nn.Module | None:
        return self._module

    def features(self, x: Tensor) -> Tensor | None:
        return None


POINTS = [0.05, 0.2, -0.3, 0.5, -0.7, 0.9]
LABELS = [0, 0, 1, 0, 1, 1]  # the last is wrong


def context(module: nn.Module | None, points: Sequence[float] = POINTS, labels: Sequence[int] = LABELS) -> Context:
    subject = Subject(module)
    assert isinstance(subject, Classifier)
    samples = np.asarray(points, dtype=np.float32)[:, None]
    data = Dataset("points", "test", samples, np.asarray(labels, dtype=np.int64), ("0", "1"))
    predictions = subject.replay(torch.from_numpy(samples)).argmax(1).numpy()
    return Context(subject, data, None, {}, None, 0, torch.device("cpu"), Path(), predictions)


def attacked(name: str, epsilon: float, robust: Sequence[bool], control: bool = False) -> tuple[Shard, Payload]:
    parameters: dict[str, Any] = {"attack": name, "norm": "linf", "epsilon": epsilon, "control": control}
    return Shard("attacks", name, parameters, tuple(range(len(robust)))), {"robust": np.asarray(robust)}


def audit(check: Certificates, settings: CertificatesSettings, where: Context, attacks: Any = None) -> dict[str, Any]:
    results = [(shard, check.run(shard, settings, where)) for shard in check.plan(settings, where)]
    findings = check.conclude(results, settings, where, {} if attacks is None else {"attacks": attacks})
    assert len({finding.id for finding in findings}) == len(findings)
    return {finding.id: finding for finding in findings}


SETTINGS = CertificatesSettings(linf_epsilons=(0.1, 0.4), l2_epsilons=(0.25,), shard_samples=4)


@pytest.mark.parametrize("method", ["interval", "zonotope", "crown"])
def test_certified_accuracy_is_the_share_farther_away_than_epsilon(method: str) -> None:
    asked = SETTINGS.model_copy(update={"methods": ("interval", "zonotope", "crown")})
    found = audit(Certificates(), asked, context(Line()))
    # Right and |x| > 0.1: 0.2 0.3 0.5 0.7; > 0.25: 0.3 0.5 0.7; > 0.4: 0.5 0.7. The wrong 0.9 never counts.
    for norm, epsilon, count in (("linf", 0.1, 4), ("linf", 0.4, 2), ("l2", 0.25, 3)):
        finding = found[f"certificates/certified_accuracy?epsilon={epsilon}&method={method}&norm={norm}"]
        assert finding.value == pytest.approx(count / 6)
        assert finding.n == 6
        assert finding.interval == wilson(count, 6)
        assert finding.outcome is Outcome.MEASURED


def test_without_attacks_there_is_no_enclosure_and_drawn_points_are_the_control() -> None:
    found = audit(Certificates(), SETTINGS, context(Line()))
    assert {f.metric for f in found.values()} == {"certified_accuracy", "contradictions", "graph_agreement"}
    assert found["certificates/contradictions"].n == 4  # certified at some radius: 0.2, -0.3, 0.5, -0.7
    agreement = found["certificates/graph_agreement"]
    assert (agreement.outcome, agreement.value) == (Outcome.PASS, 0.0)
    assert agreement.n == 6 * 3 * 2 * 7  # samples, balls, methods, points


class Twin(nn.Module):
    """Answers as ``Line`` near 0 and with twice the distance to it far off: robust where ``Line`` is not."""

    def forward(self, x: Tensor) -> Tensor:
        return Line()(x + 0.3 * torch.clamp(x * 10, -1, 1))


def test_a_graph_that_is_not_the_deployed_model_fails_its_control_and_certifies_no_more_than_holds() -> None:
    """``Twin`` keeps answers 0.3 farther away than the deployed ``Line``; twice that gap is just what is taken off."""
    found = audit(Certificates(), SETTINGS, context(Twin()))
    for norm, epsilon, count in (("linf", 0.1, 4), ("linf", 0.4, 2), ("l2", 0.25, 3)):
        for method in ("interval", "crown"):
            finding = found[f"certificates/certified_accuracy?epsilon={epsilon}&method={method}&norm={norm}"]
            assert finding.value is not None
            assert finding.value <= count / 6
    assert found["certificates/graph_agreement"].outcome is Outcome.FAIL
    assert found["certificates/contradictions"].outcome is Outcome.PASS


def test_a_point_drawn_from_a_certified_ball_that_is_wrong_fails_the_control() -> None:
    """A payload that certifies 0.2 within 0.4, whose ball reaches -0.2: some of six random corners show it."""
    check, where = Certificates(), context(Line())
    results = [(shard, check.run(shard, SETTINGS, where)) for shard in check.plan(SETTINGS, where)]
    forged = [(shard, {**payload, "certified": np.ones_like(payload["certified"])}) for shard, payload in results]
    control = next(f for f in check.conclude(forged, SETTINGS, where, {}) if f.metric == "contradictions")
    assert control.outcome is Outcome.FAIL


def test_a_certificate_must_exceed_the_difference_to_the_runtime() -> None:
    """The margin at 0.5 within 0.4 is 2 * 0.1; a slack of 0.19 leaves it, one of 0.21 does not."""
    from robust.graph import trace
    from verifiers import certify

    graph = trace(Line(), (1,), device=torch.device("cpu"))
    box = Box(torch.tensor([-1.0]), torch.tensor([1.0]))
    for slack, wanted in ((0.19, True), (0.21, False), (float("inf"), False)):
        found = certify(
            graph, torch.tensor([[0.5]]), torch.tensor([0]), [0.4], norm="linf", box=box, method="crown", slack=slack
        )
        assert found.tolist() == [[wanted]]


def test_sandwich_with_attacks() -> None:
    attacks = [
        attacked("pgd", 0.4, [False, False, False, True, True, False]),
        attacked("noise", 0.4, [False, True, True, True, True, False], control=True),
    ]
    found = audit(Certificates(), SETTINGS, context(Line()), attacks)
    enclosure = found["certificates/robust_accuracy?epsilon=0.4&norm=linf"]
    assert enclosure.value is None
    assert (enclosure.interval.low, enclosure.interval.high) == (wilson(2, 6).low, wilson(2, 6).high)
    assert enclosure.interval.method == "certificate and attack"
    (shares,) = enclosure.evidence
    assert shares.rows == ((0.4, 6, 2, 0, 4),)
    assert "certificates/robust_accuracy?epsilon=0.1&norm=linf" not in found
    control = found["certificates/contradictions"]
    assert control.control
    assert control.outcome is Outcome.PASS
    assert control.value == 0
    plot = next(item for item in found[next(iter(found))].evidence if isinstance(item, CurvePlot))
    assert [curve.role for curve in plot.curves] == ["certificate", "certificate", "attack", "control"]
    crown, pgd = plot.curves[1], plot.curves[2]
    assert crown.x == (0.0, 0.1, 0.4)
    assert crown.y == pytest.approx((5 / 6, 4 / 6, 2 / 6))
    assert pgd.x == (0.0, 0.4)
    assert pgd.y == pytest.approx((5 / 6, 2 / 6))


def test_the_sanity_control_is_no_part_of_the_sandwich() -> None:
    attacks = [attacked("pgd", 0.4, [False] * 6), attacked("sanity", 0.9, [False] * 6, control=True)]
    found = audit(Certificates(), SETTINGS, context(Line()), attacks)
    plot = next(item for item in found[next(iter(found))].evidence if isinstance(item, CurvePlot))
    assert max(max(curve.x) for curve in plot.curves) == 0.4


def test_undecided_lies_between() -> None:
    attacks = [attacked("pgd", 0.4, [False, True, True, True, True, False])]
    enclosure = audit(Certificates(), SETTINGS, context(Line()), attacks)[
        "certificates/robust_accuracy?epsilon=0.4&norm=linf"
    ]
    assert enclosure.evidence[0].rows == ((0.4, 6, 2, 2, 2),)
    assert enclosure.interval.low == wilson(2, 6).low
    assert enclosure.interval.high == wilson(4, 6).high


@pytest.mark.parametrize("epsilon", [0.4, 0.3])
def test_a_broken_certificate_fails_the_control(epsilon: float) -> None:
    """0.5 is certified at 0.4; an attack that claims to break it within 0.3 or 0.4 cannot be right as well."""
    attacks = [attacked("pgd", epsilon, [True, True, True, False, True, True])]
    control = audit(Certificates(), SETTINGS, context(Line()), attacks)["certificates/contradictions"]
    assert control.outcome is Outcome.FAIL
    assert control.value == 1
    assert isinstance(control.evidence[0], Table)
    assert control.evidence[0].rows == (("linf", 0.4, 3),)


def test_an_attack_from_farther_away_contradicts_nothing() -> None:
    attacks = [attacked("pgd", 0.45, [False] * 6)]
    control = audit(Certificates(), SETTINGS, context(Line()), attacks)["certificates/contradictions"]
    assert control.outcome is Outcome.PASS


def test_samples_are_a_stratified_part() -> None:
    where = context(Line(), [0.5] * 20 + [-0.5] * 20, [0] * 20 + [1] * 20)
    shards = Certificates().plan(CertificatesSettings(samples=10, linf_epsilons=(0.1,), l2_epsilons=()), where)
    chosen = [index for shard in shards if shard.parameters["method"] == "crown" for index in shard.indices]
    assert len(chosen) == 10
    assert sum(index < 20 for index in chosen) == 5


def test_proofs_further_out_hold_further_in() -> None:
    def shard(epsilon: float, certified: Sequence[bool]) -> tuple[Shard, Payload]:
        parameters = {"method": "crown", "norm": "linf", "epsilon": epsilon}
        return Shard("certificates", str(epsilon), parameters, (0, 2)), {"certified": np.asarray(certified)}

    answers = Answers.collect([shard(0.1, [False, True]), shard(0.2, [True, False])], (), 3)
    assert answers.asked.tolist() == [True, False, True]
    assert answers.certified("crown", "linf", 0.1).tolist() == [True, False, True]
    assert answers.certified("crown", "linf", 0.2).tolist() == [True, False, False]


class Unknown(nn.Module):
    """An operator without a rule."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.asinh(x)


def test_black_box_and_unknown_operator_are_not_assessed_by_name() -> None:
    with pytest.raises(NotAssessedError, match="black box"):
        Certificates().plan(SETTINGS, context(None))
    with pytest.raises(NotAssessedError, match="asinh"):
        Certificates().plan(SETTINGS, context(Unknown()))
    nothing = CertificatesSettings(linf_epsilons=(), l2_epsilons=())
    with pytest.raises(NotAssessedError, match="empty"):
        Certificates().plan(nothing, context(Line()))


def test_settings_refuse_nonsense() -> None:
    for bad in ({"linf_epsilons": (-0.1,)}, {"l2_epsilons": (float("nan"),)}, {"methods": ()}, {"epsilon": 1}):
        with pytest.raises(ValidationError):
            CertificatesSettings.model_validate(bad)
    given = CertificatesSettings(linf_epsilons=(0.3, 0.1, 0.1), l2_epsilons=())
    assert given.grid(context(nn.Linear(1, 2)).classifier) == {"linf": (0.1, 0.3)}


def test_what_is_said_is_said() -> None:
    assert Certificates.question.endswith("?")
    assert Certificates.threat_model
    assert len(Certificates.limitations) == 3
    assert "6 samples" in Certificates().estimate(SETTINGS, 6, 2)
