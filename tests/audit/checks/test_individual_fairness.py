"""The check ``individual_fairness`` on tables whose answers are known by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.audit.check import Context, NotApplicableError, NotAssessedError
from robust.audit.checks.individual_fairness import IndividualFairnessCheck, IndividualFairnessSettings
from robust.errors import MissingColumnError, PlanError, RobustError
from robust.fairness.domain import domain_of, parts_by_data
from robust.fairness.individual import Answer, DataRows, data_steps, part_of, with_data
from robust.properties.counterparts import Counterparts
from robust.record import Finding, Note, Outcome, Table, Verdict
from robust.subjects.range_scaled import RangeScaled
from tests.audit.checks.contexts import context, dataset, findings
from tests.doubles import ModuleClassifier
from verifiers.individual import Part, Survey, same_decision
from verifiers.individual.boxes import Boxes

NAMES = ("age", "income", "sex")
CHECK = IndividualFairnessCheck()


class Credit(nn.Module):
    """Class 1 where ``income - 50 + bonus * sex - penalty * relu(age - 60)`` is above 0."""

    def __init__(self, bonus: float = 0.0, penalty: float = 0.0) -> None:
        super().__init__()
        self.bonus, self.penalty = bonus, penalty

    def forward(self, x: Tensor) -> Tensor:
        score = x[:, 1] - 50.5 + self.bonus * x[:, 2] - self.penalty * torch.relu(x[:, 0] - 60)
        return torch.stack([score * 0, score], 1)


def table(tmp_path: Path, module: nn.Module, *, scaled: bool = False) -> Context:
    """100 people of 20 to 79 years and incomes 0 to 99; the corners of the ranges are among them."""
    rng = np.random.default_rng(0)
    samples = np.stack([rng.integers(20, 80, 100), rng.integers(0, 100, 100), rng.integers(0, 2, 100)], 1).astype(float)
    samples[0], samples[1] = (20, 0, 0), (79, 99, 1)
    inner = ModuleClassifier(module, (3,), 2, lower=torch.tensor([20.0, 0, 0]), upper=torch.tensor([79.0, 99, 1]))
    labels = inner.replay(torch.from_numpy(samples).float()).argmax(1).numpy()
    data = replace(dataset(samples, labels), feature_names=NAMES)
    if not scaled:
        return context(inner, data, tmp_path)
    classifier = RangeScaled(inner)
    return context(classifier, classifier.scale(data), tmp_path)  # type: ignore[arg-type]


def settings(**keys: object) -> IndividualFairnessSettings:
    return IndividualFairnessSettings.model_validate({"protected": ("sex",), "parts": 8, **keys})


def by_metric(found: dict[str, Finding]) -> dict[str, Finding]:
    return {finding.metric: finding for finding in found.values()}


@pytest.mark.parametrize("scaled", [False, True])
def test_a_model_that_ignores_the_column_is_certified_for_everybody(tmp_path: Path, scaled: bool) -> None:
    found = by_metric(findings(CHECK, settings(), table(tmp_path, Credit(), scaled=scaled)))
    alike = found["alike_share"]
    assert alike.value == 1.0
    assert alike.outcome is Outcome.MEASURED
    assert alike.interval is not None
    assert (alike.interval.low, alike.interval.high, alike.interval.method) == (1.0, 1.0, "enclosure")
    assert found["certified_share"].value == pytest.approx(1.0)
    assert found["rows_changed"].value == 0.0
    assert found["contradictions"].outcome is Outcome.PASS
    assert "a domain of 12,000 people" in alike.title


@pytest.mark.parametrize("scaled", [False, True])
def test_exactly_the_unfair_people_are_counted(tmp_path: Path, scaled: bool) -> None:
    """A bonus of 3 changes the decision at the incomes 48, 49 and 50 of 100, at every age."""
    where = table(tmp_path, Credit(bonus=3.0), scaled=scaled)
    alike = by_metric(findings(CHECK, settings(), where))["alike_share"]
    assert alike.value == pytest.approx(0.97)
    assert alike.interval is not None
    assert alike.interval.high == pytest.approx(0.97)


def test_the_pair_is_a_table_with_the_differing_rows_marked(tmp_path: Path) -> None:
    where = table(tmp_path, Credit(bonus=3.0))
    alike = by_metric(findings(CHECK, settings(pairs=1), where))["alike_share"]
    shown = [item for item in alike.evidence if isinstance(item, Table) and item.marked]
    assert len(shown) == 1
    rows = shown[0].rows
    assert [rows[place][0] for place in shown[0].marked] == ["sex", "decision"]
    assert rows[2] == ("sex", 0, 1, "differs")
    assert rows[0][1] == rows[0][2]
    assert rows[1][1] in (48, 49, 50)
    assert any(isinstance(item, Note) and "12,000" in item.text for item in alike.evidence)


def test_a_tolerance_makes_more_people_differ(tmp_path: Path) -> None:
    """Without a bonus, people whose income may differ by 1 are still decided differently at 50 and 51."""
    found = by_metric(findings(CHECK, settings(tolerances={"income": 1.0}), table(tmp_path, Credit())))
    assert found["refuted_share"].value is not None
    assert 0 < found["refuted_share"].value < 1
    assert "at most 1 in income" in found["alike_share"].title
    pair = next(item for item in found["alike_share"].evidence if isinstance(item, Table) and item.marked)
    incomes = pair.rows[1]
    assert {incomes[1], incomes[2]} == {50, 51}


def test_scores_that_rise_and_fall(tmp_path: Path) -> None:
    keys = {"protected": (), "rising": ("income",), "falling": ("age",)}
    found = findings(CHECK, settings(**keys), table(tmp_path, Credit(penalty=0.5)))
    alike = {item.parameters["question"]: item.value for item in found.values() if item.metric == "alike_share"}
    assert alike == {"rising": 1.0, "falling": 1.0}
    wrong = findings(CHECK, settings(protected=(), rising=("age",)), table(tmp_path, Credit(penalty=0.5)))
    share = by_metric(wrong)["alike_share"].value
    assert share == pytest.approx(40 / 59)  # of the 59 steps from 20 to 79 those up to 60 lower nothing


def test_groups_of_the_data_are_the_default_where_the_model_reads_them(tmp_path: Path) -> None:
    where = table(tmp_path, Credit())
    words = np.array(["x"] * len(where.data))
    grouped = replace(where, data=replace(where.data, groups={"sex": words, "creed": words}))
    assert [shard.parameters["column"] for shard in CHECK.plan(settings(protected=()), grouped)] == ["sex"]
    with pytest.raises(NotApplicableError, match="no protected column"):
        CHECK.plan(settings(protected=()), where)
    with pytest.raises(NotAssessedError, match="cannot change"):  # nobody asked for it by name: the audit goes on
        CHECK.plan(settings(protected=(), continuous=("sex",)), grouped)


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        ({"protected": ("sexx",)}, MissingColumnError, "no column 'sexx'"),
        ({"rising": ("incom",)}, MissingColumnError, "no column 'incom'"),
        ({"tolerances": {"ag": 1.0}}, MissingColumnError, "'ag'"),
        ({"ranges": {"ag": (0.0, 1.0)}}, MissingColumnError, "'ag'"),
        ({"ranges": {"age": (30.0, 30.0)}}, PlanError, "'age' has no width"),
        ({"ranges": {"age": (30.0, 40.0)}}, PlanError, "leave the range of column 'age'"),
        ({"one_hot": {"g": ("age", "income")}}, PlanError, "'g' are not one-hot"),
        ({"one_hot": {"g": ("income",)}}, PlanError, "'g' is none"),
        ({"one_hot": {"g": ("income", "sex")}}, PlanError, "'sex' cannot change alone"),
        ({"rising": ("age",), "favourable": "yes"}, PlanError, "is no class"),
        ({"continuous": ("sex",)}, RobustError, "'sex' cannot change"),
    ],
)
def test_bad_input_names_the_column(
    tmp_path: Path, keys: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        findings(CHECK, settings(**keys), table(tmp_path, Credit()))


def test_pictures_and_black_boxes_are_not_applicable(tmp_path: Path) -> None:
    pixels = np.zeros((2, 1, 2, 2))
    classifier = ModuleClassifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), 2)
    with pytest.raises(NotApplicableError, match="tables"):
        CHECK.plan(settings(), context(classifier, dataset(pixels, np.array([0, 1])), tmp_path))
    where = table(tmp_path, Credit())
    where.classifier.differentiable = False  # type: ignore[misc]
    with pytest.raises(NotApplicableError, match="black box"):
        CHECK.plan(settings(), where)


def test_an_undeclared_one_hot_group_is_refused_with_the_line_to_write() -> None:
    rng = np.random.default_rng(0)
    job = np.eye(3)[rng.integers(0, 3, 50)]
    samples = np.concatenate([rng.normal(size=(50, 1)), job], 1)
    names = ("age", "job_cook", "job_clerk", "job_none")
    with pytest.raises(PlanError, match="look one-hot") as caught:
        domain_of(samples, names)
    assert "one_hot = { job = ['job_cook', 'job_clerk', 'job_none'] }" in str(caught.value)
    people = domain_of(samples, names, groups={"job": names[1:]})
    assert [item.name for item in people.attributes] == ["age", "job"]
    assert people.attributes[0].levels is None
    both = np.stack([job[:, 0], 1 - job[:, 0]], 1)
    with pytest.raises(PlanError, match="female, male look one-hot"):
        domain_of(both, ("female", "male"))


def test_parts_cover_the_domain_once() -> None:
    rng = np.random.default_rng(0)
    samples = np.stack([rng.integers(0, 50, 300), rng.integers(0, 4, 300), rng.integers(0, 2, 300)], 1).astype(float)
    people = domain_of(samples, ("a", "b", "s"))
    numbers, _ = people.numbers(torch.from_numpy(samples))
    lower, upper = parts_by_data(people, numbers, 2, 16)
    assert len(lower) == 16
    everyone = torch.cartesian_prod(torch.arange(50), torch.arange(4), torch.tensor([0])).double()
    inside = ((everyone[:, None] >= lower) & (everyone[:, None] <= upper)).all(2).sum(1)
    assert inside.tolist() == [1] * 200
    place = part_of(numbers, lower, upper, 2)
    assert int(torch.bincount(place).max()) <= 3 * 300 // 16


def test_two_runs_leave_the_same_bytes(tmp_path: Path) -> None:
    where = table(tmp_path, Credit(bonus=3.0))
    runs = [[item.model_dump_json() for item in findings(CHECK, settings(), where).values()] for _ in range(2)]
    assert runs[0] == runs[1]


def test_people_of_the_data_are_shown_first(tmp_path: Path) -> None:
    where = table(tmp_path, Credit(bonus=3.0))
    incomes = where.data.samples[:, 1]
    between = np.flatnonzero((incomes >= 48) & (incomes <= 50))
    assert len(between)
    found = by_metric(findings(CHECK, settings(boxes=1, refine=0, seconds=0.0, smt_seconds=0.0), where))
    assert found["rows_changed"].value == pytest.approx(len(between) / 100)
    pair = next(item for item in found["alike_share"].evidence if isinstance(item, Table) and item.marked)
    row = int(pair.caption.split("row ")[1].split(" ")[0])
    assert row in between
    assert (pair.rows[0][1], pair.rows[1][1]) == tuple(where.data.samples[row, :2].astype(int).tolist())


def test_a_person_of_the_data_refutes_what_is_unknown_and_contradicts_what_is_certified() -> None:
    people = domain_of(np.array([[0.0, 0], [9, 1]]), ("income", "sex"))
    counterparts = Counterparts(people, 1)

    class Bonus(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 0] * 0, x[:, 0] + x[:, 1] - 4.5], 1)

    classifier = ModuleClassifier(Bonus(), (2,), 2)
    numbers = torch.tensor([[3.0, 0.0], [4.0, 1.0]], dtype=torch.float64)
    steps = data_steps(classifier, counterparts, same_decision(2), numbers)
    assert steps.tolist() == [-1, 0]
    rows = DataRows(numbers, torch.zeros(2, dtype=torch.int64), steps)
    empty, none = torch.zeros(0, 2, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
    nothing = Boxes(empty, empty, none, none, none.double(), none)
    for verdict, wanted, contradicted in (
        (Verdict.UNKNOWN, Verdict.FALSIFIED, 0),
        (Verdict.VERIFIED, Verdict.VERIFIED, 1),
    ):
        before = Answer(Survey([Part(verdict)], 0.0, 0.0, 0, nothing), 0.0, 0, 0)
        after = with_data(classifier, counterparts, same_decision(2), before, rows)
        assert after.survey.parts[0].verdict is wanted
        assert after.contradicted == contradicted
        if wanted is Verdict.FALSIFIED:
            assert after.survey.parts[0].pair is not None
            assert after.survey.parts[0].pair.row == 1
