from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from torch import nn

from reports.sandwich import is_sandwich
from robust.audit.check import Context, NotAssessedError, Results, Shard
from robust.audit.checks.fairness import FairnessCheck, FairnessSettings, attack_questions, permutations
from robust.errors import MissingColumnError, PlanError
from robust.record import CurvePlot, Finding, Outcome
from tests.doubles import DoubleClassifier, Table, context, dataset, results_of


def where(answers: np.ndarray, labels: np.ndarray, groups: Mapping[str, np.ndarray], classes: int = 2) -> Context:
    classifier = DoubleClassifier(Table(classes), nn.Identity(), (classes,), classes)
    return context(classifier, dataset(np.eye(classes)[answers], labels, groups))


def audited(here: Context, earlier: Mapping[str, Results] | None = None, **settings: object) -> dict[str, Finding]:
    check = FairnessCheck()
    chosen = FairnessSettings(**{"resamples": 1999, "shuffles": 60, **settings})
    findings = check.conclude(results_of(check, chosen, here), chosen, here, earlier or {})
    assert len({finding.id for finding in findings}) == len(findings)
    return {finding.id: finding for finding in findings}


def planted(n: int = 400, gap: float = 0.35) -> Context:
    rng = np.random.default_rng(0)
    sex = np.repeat(["f", "m"], n // 2)
    labels = rng.integers(0, 2, n)
    wrong = rng.random(n) < np.where(sex == "f", 0.1 + gap, 0.1)
    return where(np.where(wrong, 1 - labels, labels), labels, {"sex": sex, "coin": rng.choice(["h", "t"], n)})


def test_a_planted_gap_is_found_and_a_coin_is_not() -> None:
    found = audited(planted(), under_attack=False)
    sex, coin = found["fairness/accuracy_gap?column=sex"], found["fairness/accuracy_gap?column=coin"]
    assert sex.interval is not None
    assert sex.interval.low > 0.15
    assert "the groups differ" in sex.reason
    assert sex.title.endswith("sex m above f")
    assert coin.interval is not None
    assert coin.interval.low == 0
    assert "no difference is established" in coin.reason
    assert found["fairness/shuffled_group_alarms"].outcome is Outcome.PASS
    assert found["fairness/worst_group_accuracy?column=sex"].title.endswith(": f")
    assert sex.protocol["tests_in_family"] == 8


def test_rates_of_a_contingency_table_by_hand() -> None:
    # f: 20 positives of which 15 called so, 10 negatives of which 2 called so; m: 12 of 12 and 8 of 16
    blocks = [("f", 1, 1, 15), ("f", 1, 0, 5), ("f", 0, 1, 2), ("f", 0, 0, 8), ("m", 1, 1, 12), ("m", 0, 1, 8)]
    blocks.append(("m", 0, 0, 8))
    sex = np.array([s for s, _, _, k in blocks for _ in range(k)])
    labels = np.array([y for _, y, _, k in blocks for _ in range(k)])
    answers = np.array([a for _, _, a, k in blocks for _ in range(k)])
    found = audited(where(answers, labels, {"sex": sex}), under_attack=False)
    expected = {
        "selection_rate": (17 / 30, 20 / 28),
        "true_positive_rate": (15 / 20, 1.0),
        "false_positive_rate": (2 / 10, 8 / 16),
        "accuracy": (23 / 30, 20 / 28),
    }
    for metric, (f, m) in expected.items():
        assert found[f"fairness/group_{metric}?column=sex&group=f"].value == pytest.approx(f)
        assert found[f"fairness/group_{metric}?column=sex&group=m"].value == pytest.approx(m)
        assert found[f"fairness/{metric}_gap?column=sex"].value == pytest.approx(abs(f - m))
    # class c0 as the favourable one swaps the roles
    swapped = audited(where(answers, labels, {"sex": sex}), under_attack=False, positive="c0")
    assert swapped["fairness/group_true_positive_rate?column=sex&group=f"].value == pytest.approx(8 / 10)


def test_small_groups_are_shown_as_inconclusive_and_not_compared() -> None:
    rng = np.random.default_rng(0)
    group = np.array(["a"] * 40 + ["b"] * 40 + ["rare"] * 3)
    labels = rng.integers(0, 2, 83)
    found = audited(where(labels, labels, {"g": group}), under_attack=False)
    rare = found["fairness/group_accuracy?column=g&group=rare"]
    assert rare.outcome is Outcome.INCONCLUSIVE
    assert rare.n == 3
    assert "rare (n=3)" in found["fairness/accuracy_gap?column=g"].reason
    only = audited(where(labels, labels, {"g": group}), under_attack=False, minimum_group_size=60)
    assert only["fairness/accuracy_gap?column=g"].outcome is Outcome.NOT_ASSESSED
    assert only["fairness/shuffled_group_alarms"].outcome is Outcome.NOT_ASSESSED


def attack(name: str, epsilon: float, indices: range, robust: np.ndarray, *, control: bool = False) -> object:
    parameters = {"attack": name, "norm": "linf", "epsilon": epsilon, "control": control}
    return Shard("attacks", f"{name} {epsilon}", parameters, tuple(indices)), {"robust": robust}


def test_who_bears_the_attacks() -> None:
    n = 200
    sex, labels = np.repeat(["f", "m"], n // 2), np.arange(n) % 2
    here = where(labels, labels, {"sex": sex})
    pgd = np.where(np.arange(n) < 100, np.arange(n) % 5 == 0, True)  # 20 of 100 women stay right, all men
    attacks = [
        attack("fgsm", 0.1, range(n), np.ones(n, dtype=bool)),
        attack("pgd", 0.1, range(100), pgd[:100]),
        attack("pgd", 0.1, range(100, n), pgd[100:]),
        attack("noise", 0.1, range(n), np.zeros(n, dtype=bool), control=True),
        attack("pgd", 0.0, range(n), np.zeros(n, dtype=bool)),
    ]
    proof = Shard("certificates", "c", {"method": "crown", "norm": "linf", "epsilon": 0.1}, tuple(range(50, 150)))
    certified = np.arange(50, 150) >= 100
    found = audited(here, {"attacks": attacks, "certificates": [(proof, {"certified": certified})]})  # type: ignore[list-item]
    gap = found["fairness/robust_accuracy_gap?column=sex&epsilon=0.1&norm=linf"]
    assert gap.value == pytest.approx(0.8)
    assert found["fairness/certified_accuracy_gap?column=sex&epsilon=0.1&norm=linf"].value == pytest.approx(1.0)
    assert found["fairness/certified_accuracy_gap?column=sex&epsilon=0.1&norm=linf"].n == 100
    bearer = found["fairness/attack_burden_gap?column=sex"]
    assert bearer.value == pytest.approx(0.8)
    assert "fall harder on f than on m" in bearer.reason
    assert not any("epsilon=0.0" in name for name in found)
    # 0.2 of the women stand under attack and all men are certified: consistent, but not in one figure
    figures = [item for item in bearer.evidence if isinstance(item, CurvePlot)]
    assert [[(curve.label, curve.role, curve.y) for curve in figure.curves] for figure in figures] == [
        [("f", "attack", (pytest.approx(0.2),)), ("m", "attack", (1.0,))],
        [("f", "certificate", (0.0,)), ("m", "certificate", (1.0,))],
    ]
    assert not any(is_sandwich(figure) for figure in figures)


def test_questions_skip_controls_and_missing_results_are_said() -> None:
    assert attack_questions({}, np.ones(3, dtype=bool)) == []
    found = audited(planted(100))
    for metric in ("robust_accuracy_gap", "certified_accuracy_gap"):
        assert found[f"fairness/{metric}"].outcome is Outcome.NOT_ASSESSED


def test_many_classes_compare_accuracy_alone_unless_one_is_named() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    here = where(labels, labels, {"g": rng.choice(["a", "b"], 200)}, classes=5)
    assert not any("true_positive" in name for name in audited(here, under_attack=False))
    assert any("true_positive" in name for name in audited(here, under_attack=False, positive="c3"))


def test_bad_plans_get_typed_errors() -> None:
    check, here = FairnessCheck(), planted(40)
    with pytest.raises(MissingColumnError, match="colour"):
        check.plan(FairnessSettings(columns=("colour",)), here)
    with pytest.raises(PlanError, match="c0, c1"):
        check.plan(FairnessSettings(positive="c7"), here)
    with pytest.raises(NotAssessedError, match="name one"):
        check.plan(FairnessSettings(), where(np.zeros(4, int), np.zeros(4, int), {}))


def test_many_tests_get_permutations_enough_to_find_something() -> None:
    settings = FairnessSettings(resamples=999)
    assert permutations(settings, 4) == 999
    assert 400 * 1 / (1 + permutations(settings, 400)) < settings.alpha / 2


def test_a_column_of_many_small_groups_is_judged_in_little_memory() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1200)
    place = np.array([f"village {k}" for k in rng.integers(0, 60, 1200)])
    found = audited(where(labels, labels, {"place": place}), under_attack=False, shuffles=50)
    gap = found["fairness/accuracy_gap?column=place"]
    assert gap.value == 0.0
    assert gap.interval is not None
    assert gap.interval.low == 0.0
    assert gap.interval.high > 0.2  # sixty small groups leave a large gap possible
