"""The check ``branching`` on networks whose answers are known by hand, alone and inside a whole audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.assemble import Given
from robust.audit.branching import Ball, branch_and_bound
from robust.audit.check import Context, NotApplicableError, Results, Shard
from robust.audit.checks.attacks import AttacksCheck, AttackSettings
from robust.audit.checks.branching import BranchingCheck, BranchingSettings
from robust.audit.checks.certificates import Certificates, CertificatesSettings
from robust.audit.checks.sandwich import Answers
from robust.audit.decided import Sources, Standing
from robust.audit.plan_layers import resolve_plan
from robust.audit.runner import run_audit
from robust.graph import trace
from robust.record import AuditRecord, Decisions, Finding, Outcome, Verdict
from robust.statistics import wilson
from tests.audit.checks.contexts import context, dataset, results
from tests.doubles import ModuleClassifier
from verifiers import Network


class Spike(nn.Module):
    """Class 1 where the first input is within 0.0005 of 0.55, else class 0; constant but there, so no gradient leads
    to it. Distance of 0.5 to it: 0.0495."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.pick = nn.Linear(inputs, 1)
        with torch.no_grad():
            self.pick.weight.zero_()
            self.pick.weight[0, 0] = 1.0
            self.pick.bias.fill_(-0.55)

    def forward(self, x: Tensor) -> Tensor:
        t = self.pick(x)
        bump = torch.relu(1 - (torch.relu(t) + torch.relu(-t)) * 1000)
        return torch.cat([0 * bump + 1, 2 * bump], 1)


class Detour(nn.Module):
    """Class 0 where ``x > y``; two terms that cancel loosen every relaxation."""

    def forward(self, x: Tensor) -> Tensor:
        side = x[:, :1] - x[:, 1:2]
        w = 5 * (x.sum(1, keepdim=True) - 1)
        side = side + torch.relu(w) - torch.relu(w * 1.0)
        return torch.cat([side, -side], 1)


POINTS = np.array([[0.7, 0.3], [0.9, 0.1], [0.3, 0.7], [0.45, 0.55]], dtype=np.float32)
"""L-inf distances to the line: 0.2, 0.4, 0.2, 0.05."""
ATTACKS = AttackSettings(norms=("linf",), linf_epsilons=(0.04, 0.06), steps=5, restarts=1)
CERTIFICATES = CertificatesSettings(linf_epsilons=(0.04, 0.06), l2_epsilons=())
SETTINGS = BranchingSettings(linf_epsilons=(0.04, 0.06), l2_epsilons=())


def spike(inputs: int, directory: Path) -> Context:
    samples = np.full((3, inputs), 0.5, dtype=np.float32)
    samples[1, 0], samples[2, 0] = 0.9, 0.55  # far away, and wrong from the start
    return context(ModuleClassifier(Spike(inputs), (inputs,), 2), dataset(samples, np.array([0, 0, 0])), directory)


def detour(directory: Path) -> Context:
    return context(ModuleClassifier(Detour(), (2,), 2), dataset(POINTS, np.array([0, 0, 1, 1])), directory)


def before(where: Context, attacks: AttackSettings, certificates: CertificatesSettings) -> dict[str, Results]:
    return {
        "attacks": results(AttacksCheck(), attacks, where),
        "certificates": results(Certificates(), certificates, where),
    }


def concluded(
    where: Context, settings: BranchingSettings, earlier: Mapping[str, Results]
) -> tuple[Results, dict[str, Finding]]:
    check = BranchingCheck()
    found = [(shard, check.run(shard, settings, where)) for shard in check.follow(settings, where, earlier)]
    return found, {finding.id: finding for finding in check.conclude(found, settings, where, earlier)}


def decisions(found: Mapping[str, Finding]) -> Decisions:
    return next(e for f in found.values() for e in f.evidence if isinstance(e, Decisions))


@pytest.mark.parametrize("inputs", [2, 30])
def test_a_witness_that_attacks_miss_is_found_and_told(inputs: int, tmp_path: Path) -> None:
    """Two inputs are split themselves; of thirty the neurons are."""
    where = spike(inputs, tmp_path)
    earlier = before(where, ATTACKS, CERTIFICATES)
    assert all(payload["robust"][0] for shard, payload in earlier["attacks"] if not shard.parameters["control"])
    _, found = concluded(where, SETTINGS, earlier)
    far = found["branching/robust_accuracy?epsilon=0.06&norm=linf"]
    near = found["branching/robust_accuracy?epsilon=0.04&norm=linf"]
    assert (near.value, near.n) == (pytest.approx(2 / 3), 3)  # the third is wrong from the start
    assert (far.value, far.n) == (pytest.approx(1 / 3), 3)
    assert far.interval is not None
    assert (far.interval.low, far.interval.high) == (wilson(1, 3).low, wilson(1, 3).high)
    told = found["branching/broken_by_branching?norm=linf"]
    assert (told.value, told.headline) == (1.0, True)
    bars = decisions(found).bars
    assert bars[1].engines[0] == "branch and bound"
    assert bars[1].verdicts == ("broken", "proved", "broken")
    assert bars[0].verdicts == ("proved", "proved", "broken")
    assert bars[0].engines[2] == bars[1].engines[2] == "misclassified"
    with np.load(tmp_path / "witnesses" / "branching-linf.npz") as kept:
        (point,) = kept["adversarials"]
        assert 0.0495 <= kept["distances"][0] <= 0.06
        assert np.abs(point.astype(np.float64) - 0.5).max() <= 0.06
        assert int(Spike(inputs)(torch.from_numpy(point[None])).argmax()) == 1 == kept["answers"][0]


def test_known_distances_close_the_sandwich(tmp_path: Path) -> None:
    where = detour(tmp_path)
    radii = (0.1, 0.19, 0.3)
    earlier = before(
        where,
        AttackSettings(norms=("linf",), linf_epsilons=radii, steps=10),
        CertificatesSettings(linf_epsilons=radii, l2_epsilons=()),
    )
    settings = BranchingSettings(linf_epsilons=radii, l2_epsilons=())
    payloads, found = concluded(where, settings, earlier)
    assert payloads
    wanted = {0.1: 3, 0.19: 3, 0.3: 1}
    for epsilon, count in wanted.items():
        assert found[f"branching/robust_accuracy?epsilon={epsilon}&norm=linf"].value == count / 4
    shown = decisions(found)
    assert shown.samples == ("0", "1", "2", "3")
    assert all(len(bar.seconds) == 4 and min(bar.seconds) >= 0 for bar in shown.bars)
    assert "branch and bound" in {name for bar in shown.bars for name in bar.engines}
    assert "" not in {name for bar in shown.bars for name in bar.engines}
    assert found["branching/newly_decided"].value == found["branching/newly_decided"].n
    assert all(f.outcome is Outcome.PASS for f in found.values() if f.control)
    assert "branching/broken_by_branching?norm=linf" not in found


def test_fewer_balls_than_wanted_are_said(tmp_path: Path) -> None:
    where = detour(tmp_path)
    radii = (0.1, 0.19)
    earlier = {
        "certificates": results(Certificates(), CertificatesSettings(linf_epsilons=radii, l2_epsilons=()), where)
    }
    settings = BranchingSettings(linf_epsilons=radii, l2_epsilons=(), balls=1)
    payloads, found = concluded(where, settings, earlier)
    assert sum(len(e) for shard, _ in payloads for e in shard.parameters["epsilons"]) == 1
    said = found["branching/newly_decided"]
    assert said.headline
    assert f"1 of {said.n} were asked about" in said.reason
    assert said.n is not None
    assert said.n > 1


def test_a_budget_of_work_leaves_out_what_is_too_large(tmp_path: Path) -> None:
    where = detour(tmp_path)
    earlier = {"certificates": results(Certificates(), CERTIFICATES, where)}
    tiny = SETTINGS.model_copy(update={"budget": 1e-9})
    with pytest.raises(NotApplicableError, match="too large"):
        BranchingCheck().follow(tiny, where, earlier)
    free = SETTINGS.model_copy(update={"budget": float("inf")})
    assert BranchingCheck().follow(free, where, earlier) == BranchingCheck().follow(SETTINGS, where, earlier)


def test_seconds_that_strike_decide_nothing_and_are_said(tmp_path: Path) -> None:
    where = spike(30, tmp_path)
    _, found = concluded(where, SETTINGS.model_copy(update={"seconds": 1e-9}), before(where, ATTACKS, CERTIFICATES))
    said = found["branching/newly_decided"]
    assert said.value == 0
    assert "wall clock" in said.reason
    assert found["branching/robust_accuracy?epsilon=0.06&norm=linf"].value is None
    assert "branching/broken_by_branching?norm=linf" not in found


def test_few_domains_leave_undecided_and_never_proved(tmp_path: Path) -> None:
    where = spike(30, tmp_path)
    earlier = before(where, ATTACKS, CERTIFICATES)
    payloads, found = concluded(where, SETTINGS.model_copy(update={"domains": 1}), earlier)
    for shard, payload in payloads:
        for sample, epsilon, verdict in zip(payload["sample"], payload["epsilon"], payload["verdict"], strict=True):
            assert not (verdict == "proved" and epsilon > 0.0495 and sample == 0), shard
    interval = found["branching/robust_accuracy?epsilon=0.06&norm=linf"].interval
    assert interval is not None
    assert interval.low <= 1 / 3


def test_a_proof_where_a_drawn_point_is_wrong_fails_the_control(tmp_path: Path) -> None:
    where = detour(tmp_path)
    earlier = {"certificates": results(Certificates(), CERTIFICATES, where)}
    settings = SETTINGS.model_copy(update={"linf_epsilons": (0.04,)})
    shard = Shard("branching", "forged", {"norm": "linf", "epsilons": [[0.04]]}, (3,))
    payload = BranchingCheck().run(shard, settings, where)
    check = BranchingCheck()
    fine = {f.metric: f for f in check.conclude([(shard, payload)], settings, where, earlier)}
    assert fine["contradictions"].outcome is Outcome.PASS
    forged = {**payload, "seen": np.zeros_like(payload["seen"]), "verdict": ["proved"] * len(payload["verdict"])}
    bad = {f.metric: f for f in check.conclude([(shard, forged)], settings, where, earlier)}
    assert bad["contradictions"].outcome is Outcome.FAIL
    assert bad["contradictions"].value == 1


def test_without_anything_before_it_there_is_no_question(tmp_path: Path) -> None:
    with pytest.raises(NotApplicableError, match="neither"):
        BranchingCheck().follow(SETTINGS, detour(tmp_path), {})
    black = ModuleClassifier(Detour(), (2,), 2, differentiable=False)
    hidden = context(black, dataset(POINTS, np.array([0, 0, 1, 1])), tmp_path)
    with pytest.raises(NotApplicableError, match="black box"):
        BranchingCheck().plan(SETTINGS, hidden)


def test_a_plan_alone_is_the_most_that_can_be_left(tmp_path: Path) -> None:
    shards = BranchingCheck().plan(SETTINGS.model_copy(update={"balls": 5}), detour(tmp_path))
    assert sum(len(epsilons) for shard in shards for epsilons in shard.parameters["epsilons"]) == 5
    assert "72 balls" in BranchingCheck().estimate(SETTINGS, 4, 2)


def test_the_same_domains_give_the_same_answers(tmp_path: Path) -> None:
    where = spike(30, tmp_path)
    graph = trace(Spike(30), (30,), device=torch.device("cpu"))
    balls = [Ball(0, "linf", epsilon, 1e-6) for epsilon in (0.04, 0.0494, 0.0496, 0.06)]
    runs = [branch_and_bound(Network(graph), where, balls, seconds=60, domains=200) for _ in range(2)]
    said = [[(one.verdict, one.reason, one.domains, one.distance) for one in run] for run in runs]
    assert said[0] == said[1]
    assert [one.verdict for one in runs[0]] == [
        Verdict.VERIFIED,
        Verdict.VERIFIED,
        Verdict.FALSIFIED,
        Verdict.FALSIFIED,
    ]


def test_the_exact_solver_decides_whole_balls_only() -> None:
    right = np.ones(2, dtype=bool)

    def answers(free: int | None, verdict: str, epsilon: float) -> Sources:
        shard = Shard("smt", "s", {"epsilon": epsilon, "free_inputs": free}, (1,))
        return Sources(right, none, smt=[(shard, {"verdict": verdict, "seconds": 2.0})])

    none = Answers.collect((), (), 2)
    assert answers(None, "verified", 0.2).standing("linf", 0.1).engines.tolist() == ["", "smt"]
    assert answers(None, "verified", 0.05).standing("linf", 0.1).engines.tolist() == ["", ""]
    assert answers(None, "falsified", 0.05).standing("linf", 0.1).broken.tolist() == [False, True]
    assert answers(3, "verified", 0.2).standing("linf", 0.1).engines.tolist() == ["", ""]
    assert answers(None, "verified", 0.2).standing("l2", 0.1).engines.tolist() == ["", ""]
    assert answers(None, "verified", 0.1).standing("linf", 0.1).seconds.tolist() == [0.0, 2.0]


def test_a_witness_outweighs_a_proof_and_is_a_contradiction() -> None:
    known = Standing.of("linf", 0.1, np.array([True, True, False]))
    known.take("crown", "proved", np.array([True, False, False]))
    known.take("attack", "broken", np.array([True, False, False]))
    known.take("branch and bound", "proved", np.array([True, True, False]))
    assert known.verdicts().tolist() == ["broken", "proved", "broken"]
    assert known.engines.tolist() == ["attack", "branch and bound", "misclassified"]
    assert known.contradicted.tolist() == [True, False, False]


def audited(output: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch) -> AuditRecord:
    def counted(self: BranchingCheck, shard: Shard, settings: BranchingSettings, where: Context) -> Any:
        computed.append(shard.name)
        return run(self, shard, settings, where)

    run = BranchingCheck.run
    off = ("accuracy", "smt", "fooling", "ood", "fairness", "generation")
    overrides: dict[str, Any] = {f"checks.{name}.enabled": False for name in off} | {
        "output": str(output),
        "threads": 1,
        "checks.attacks.norms": ["linf"],
        "checks.attacks.linf_epsilons": [0.1, 0.19, 0.3],
        "checks.branching.shard_samples": 1,
        "checks.branching.l2_epsilons": [],
        "checks.certificates.l2_epsilons": [],
    }
    given = Given(classifier=ModuleClassifier(Detour(), (2,), 2), data=dataset(POINTS, np.array([0, 0, 1, 1])))
    with monkeypatch.context() as patched:
        patched.setattr(BranchingCheck, "run", counted)
        return run_audit(resolve_plan(None, environment={}, overrides=overrides), given=given)


def test_a_whole_audit_is_the_same_twice_and_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []
    first = audited(tmp_path / "a", computed, monkeypatch)
    assert computed
    again = audited(tmp_path / "a", later := [], monkeypatch)
    other = audited(tmp_path / "b", [], monkeypatch)
    assert later == []
    for record in (again, other):
        mine, yours = (
            text.comparable_json().replace(str(tmp_path / "b"), str(tmp_path / "a")) for text in (first, record)
        )
        assert mine == yours
    (check,) = [check for check in first.checks if check.name == "branching"]
    assert check.status == "completed"
    took = [
        second
        for e in check.findings[0].evidence
        if isinstance(e, Decisions)
        for bar in e.bars
        for second in bar.seconds
    ]
    assert max(took) > 0
    assert '"engines"' in first.comparable_json()
    assert '"seconds"' not in first.comparable_json()
