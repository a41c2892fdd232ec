"""Do the groups of a sensitive column fare alike: in accuracy, in decisions, and under attack?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.audit.check import Check, CheckSettings, Context, Need, NotAssessedError, Payload, Results, Shard
from robust.errors import MissingColumnError, PlanError
from robust.fairness import (
    accuracy,
    attack_success,
    best_proof,
    certified_share,
    false_alarms,
    false_positive_rate,
    group_frame,
    robust_share,
    selection_rate,
    true_positive_rate,
    worst_case,
)
from robust.fairness.assessment import Assessment, Question, assess, corrected
from robust.fairness.evidence import gap_table, group_plot, group_table
from robust.fairness.findings import (
    BURDEN,
    Scope,
    bearer_finding,
    gap_finding,
    group_findings,
    worst_group_finding,
)
from robust.record import Evidence, Finding, Note, Outcome
from robust.statistics import clopper_pearson

CLEAN = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")
WITH_WORST = ("accuracy", "robust_accuracy", "certified_accuracy")
CONTROL_LEVEL = 0.999


class FairnessSettings(CheckSettings):
    """Keys of ``[checks.fairness]``."""

    columns: tuple[str, ...] = Field(default=(), description="sensitive columns to compare; empty: all of the data")
    positive: str | None = Field(
        default=None,
        description="name of the class that counts as the favourable decision; default: the last of two classes, and "
        "accuracy alone where classes are more than two",
    )
    minimum_group_size: int = Field(default=10, ge=2, description="smaller groups are shown but not compared")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="level of the corrected permutation tests")
    resamples: int = Field(default=9999, ge=999, description="permutations per test, at least; more if tests are many")
    shuffles: int = Field(default=200, ge=50, description="shuffled data sets of the control")
    under_attack: bool = Field(default=True, description="also compare robust and certified accuracy of the groups")


class FairnessCheck(Check):
    """Rates per group, their gaps with intervals and corrected tests, and who bears the attacks."""

    name = "fairness"
    title = "Group fairness"
    question = "Do the groups of each sensitive column fare alike, in accuracy, in decisions and under attack?"
    limitations: ClassVar[tuple[str, ...]] = (
        "A gap is a fact about this model on these samples, not its cause; groups may differ in what they bring.",
        "No gap found is not no gap: the interval says how large a gap the samples leave possible.",
        "Each column is compared for itself; intersections of columns are not.",
    )
    Settings = FairnessSettings
    needs: ClassVar[tuple[Need, ...]] = ("groups",)

    def plan(self, settings: FairnessSettings, context: Context) -> list[Shard]:
        """One shard per column.

        Raises:
            NotAssessedError: the data have no group column.
            MissingColumnError: a named column is not there.
            PlanError: ``positive`` is not a class.
        """
        positive = _positive(settings, context)
        names = context.classifier.class_names
        every = tuple(range(len(context.data)))
        return [
            Shard(
                self.name,
                f"column {column}",
                {"column": column, "positive": "" if positive is None else names[positive]},
                every,
            )
            for column in _columns(settings, context)
        ]

    def run(self, shard: Shard, settings: FairnessSettings, context: Context) -> Payload:
        """The column as codes; answers and truths beside it."""
        frame = group_frame(shard.parameters["column"], context.data.groups[shard.parameters["column"]])
        return {
            "groups": list(frame.names),
            "codes": frame.codes,
            "predictions": np.asarray(context.predictions),
            "labels": np.asarray(context.data.labels),
        }

    def conclude(
        self, results: Results, settings: FairnessSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Per column: groups, gaps, worst groups, who bears the attacks; at the end what is missing and the control."""
        first = results[0][1]
        predictions, labels = np.asarray(first["predictions"]), np.asarray(first["labels"])
        questions = self._questions(predictions, labels, settings, context, earlier)
        resamples = permutations(settings, len(results) * len(questions))
        items: list[Assessment] = []
        for shard, payload in results:
            column = shard.parameters["column"]
            values = np.asarray(payload["groups"])[np.asarray(payload["codes"])]
            frame = group_frame(column, values)
            for question in questions:
                rng = context.rng(self.name, column, question.label)
                items.append(
                    assess(
                        frame,
                        question,
                        rng,
                        minimum_size=settings.minimum_group_size,
                        resamples=resamples,
                    )
                )
        items = corrected(items)
        findings: list[Finding] = []
        for shard, _ in results:
            of_column = [item for item in items if item.frame.column == shard.parameters["column"]]
            findings += self._column(of_column, settings, context, resamples)
        return [*findings, *self._missing(settings, earlier), self._control(items, settings, context)]

    def estimate(self, settings: FairnessSettings, samples: int, classes: int) -> str:
        """No passes of the model."""
        return f"{settings.resamples:,} permutations per gap, no forward pass"

    def _questions(
        self,
        predictions: NDArray[np.int64],
        labels: NDArray[np.int64],
        settings: FairnessSettings,
        context: Context,
        earlier: Mapping[str, Results],
    ) -> list[Question]:
        questions = [Question(accuracy(predictions, labels), "accuracy", "higher")]
        positive = _positive(settings, context)
        if positive is not None:
            name = context.classifier.class_names[positive]
            questions += [
                Question(selection_rate(predictions, labels, positive), f"share called {name}", "neither"),
                Question(
                    true_positive_rate(predictions, labels, positive),
                    f"share called {name} of those that are",
                    "higher",
                ),
                Question(
                    false_positive_rate(predictions, labels, positive), f"share called {name} of those not", "lower"
                ),
            ]
        if settings.under_attack:
            questions += attack_questions(earlier, predictions == labels)
        return questions

    def _column(
        self, items: Sequence[Assessment], settings: FairnessSettings, context: Context, resamples: int
    ) -> list[Finding]:
        clean = [item for item in items if item.question.rate.name in CLEAN]
        positive = _positive(settings, context)
        scope = Scope(
            check=self.name,
            alpha=settings.alpha,
            minimum_size=settings.minimum_group_size,
            resamples=resamples,
            positive="" if positive is None else context.classifier.class_names[positive],
        )
        evidence: tuple[Evidence, ...] = (*map(group_plot, clean), group_table(items), gap_table(items))
        if len(clean) == 1:
            text = "More than two classes and no `positive` named: decisions were not compared, accuracy was."
            evidence = (*evidence, Note(text=text))
        findings = [finding for item in clean for finding in group_findings(item, scope)]
        findings.append(gap_finding(items[0], scope, evidence=evidence, headline=True))
        findings += [gap_finding(item, scope) for item in items[1:]]
        findings += [worst_group_finding(item, scope) for item in items if item.question.rate.name in WITH_WORST]
        if any(item.question.rate.name == BURDEN for item in items):
            findings.append(bearer_finding(items, scope))
        return findings

    def _missing(self, settings: FairnessSettings, earlier: Mapping[str, Results]) -> list[Finding]:
        findings = []
        wanted = (("attacks", "robust_accuracy_gap", "robust"), ("certificates", "certified_accuracy_gap", "certified"))
        for check, metric, word in wanted:
            if settings.under_attack and not _grid(earlier.get(check, ()), word):
                findings.append(
                    Finding(
                        check=self.name,
                        metric=metric,
                        title=f"{word.capitalize()} accuracy per group",
                        outcome=Outcome.NOT_ASSESSED,
                        reason=f"the check {check} left no results to compare groups by; enable it, or set "
                        "under_attack = false to do without",
                    )
                )
        return findings

    def _control(self, items: Sequence[Assessment], settings: FairnessSettings, context: Context) -> Finding:
        common: dict[str, Any] = {
            "check": self.name,
            "metric": "shuffled_group_alarms",
            "title": "Share of data sets with shuffled groups in which a gap is called significant",
            "unit": "share",
            "protocol": {"alpha": settings.alpha, "level_of_failing": CONTROL_LEVEL, "interval": "clopper-pearson"},
            "control": True,
        }
        if all(item.null is None for item in items):
            reason = "no gap was tested, so there is nothing to control"
            return Finding(**common, outcome=Outcome.NOT_ASSESSED, reason=reason)
        columns = {item.frame.column: item.frame for item in items}
        per_column = [[item for item in items if item.frame.column == column] for column in columns]
        alarms = false_alarms(
            list(columns.values()),
            [[item.question.rate for item in some] for some in per_column],
            [[item.null for item in some] for some in per_column],
            context.rng(self.name, "shuffled groups"),
            minimum_size=settings.minimum_group_size,
            alpha=settings.alpha,
            shuffles=settings.shuffles,
        )
        holds = clopper_pearson(alarms, settings.shuffles, CONTROL_LEVEL).low <= settings.alpha
        return Finding(
            **common,
            value=alarms / settings.shuffles,
            interval=clopper_pearson(alarms, settings.shuffles),
            n=settings.shuffles,
            outcome=Outcome.PASS if holds else Outcome.FAIL,
            reason=f"{alarms} of {settings.shuffles} shuffled data sets raised an alarm; "
            + (
                f"that is what a test at level {settings.alpha:g} may do"
                if holds
                else f"a test at level {settings.alpha:g} may not do that, so its other p-values are void"
            ),
        )


def attack_questions(earlier: Mapping[str, Results], right: NDArray[np.bool_]) -> list[Question]:
    """Questions from what the checks ``attacks`` and ``certificates`` left, at every norm and epsilon above 0.

    Args:
        earlier: their results by name.
        right: bool ``[n]``, which answers are right without an attack.
    """
    questions = []
    for (norm, epsilon), engines in _grid(earlier.get("attacks", ()), "robust").items():
        where = (("norm", norm), ("epsilon", epsilon))
        among, robust = worst_case(engines, len(right))
        questions += [
            Question(robust_share(among, robust), "robust accuracy", "higher", where),
            Question(attack_success(among, robust, right), "share of right answers that attacks turn", "lower", where),
        ]
    for (norm, epsilon), engines in _grid(earlier.get("certificates", ()), "certified").items():
        among, certified = best_proof(engines, len(right))
        where = (("norm", norm), ("epsilon", epsilon))
        questions.append(Question(certified_share(among, certified), "certified accuracy", "higher", where))
    return questions


def permutations(settings: FairnessSettings, tests: int) -> int:
    """Permutations per test: enough that the smallest p-value there is survives Holm over ``tests`` with room."""
    return max(settings.resamples, math.ceil(4 * tests / settings.alpha))


def _grid(results: Results, key: str) -> dict[tuple[str, float], list[list[tuple[Sequence[int], NDArray[np.bool_]]]]]:
    """(norm, epsilon) -> engines -> parts, without controls and without epsilon 0; in order."""
    grid: dict[tuple[str, float], dict[str, list[tuple[Sequence[int], NDArray[np.bool_]]]]] = defaultdict(dict)
    for shard, payload in results:
        parameters = shard.parameters
        if key not in payload or parameters.get("control", False) or not float(parameters.get("epsilon", 0)) > 0:
            continue
        engine = str(parameters.get("attack", parameters.get("method", "")))
        place = (str(parameters["norm"]), float(parameters["epsilon"]))
        grid[place].setdefault(engine, []).append((shard.indices, np.asarray(payload[key], dtype=bool)))
    return {place: list(grid[place].values()) for place in sorted(grid)}


def _columns(settings: FairnessSettings, context: Context) -> tuple[str, ...]:
    present = tuple(context.data.groups)
    if not present:
        raise NotAssessedError(
            f"{context.data.source} has no group column, so groups cannot be compared",
            wanted="at least one sensitive column, for example sex",
            hint="name one in the plan's data section (groups), or use a table that has one",
        )
    for column in settings.columns:
        if column not in present:
            raise MissingColumnError(
                f"checks.fairness.columns names {column!r}, which {context.data.source} does not have",
                wanted=f"one of {', '.join(present)}",
                got=column,
            )
    return settings.columns or present


def _positive(settings: FairnessSettings, context: Context) -> int | None:
    names = context.classifier.class_names
    if settings.positive is None:
        return 1 if len(names) == 2 else None
    if settings.positive not in names:
        raise PlanError(
            "checks.fairness.positive is not a class of the model", wanted=", ".join(names), got=settings.positive
        )
    return names.index(settings.positive)
