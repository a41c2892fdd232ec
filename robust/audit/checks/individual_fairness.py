"""The check ``individual_fairness``: people who differ in a protected attribute only, over a whole domain of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotApplicableError,
    NotAssessedError,
    Payload,
    Results,
    Shard,
    derive_seed,
)
from robust.audit.checks.individual_findings import Question, findings
from robust.errors import DisagreementError, GraphError, MissingColumnError, PlanError, PropertyError
from robust.fairness.domain import column_place, domain_of, parts_by_data
from robust.fairness.individual import DataRows, answer, data_steps, part_of, with_data
from robust.properties.counterparts import Counterparts
from robust.properties.people import People
from robust.record import Finding
from robust.subjects import Classifier, RangeScaled
from verifiers.individual.finish import FinishBudget
from verifiers.individual.questions import PairQuestion, never_falls, same_decision
from verifiers.individual.survey import Budget, Part


class IndividualFairnessSettings(CheckSettings):
    """Keys of ``[checks.individual_fairness]``."""

    protected: tuple[str, ...] = Field(
        default=(),
        description="feature columns that must not matter, or names of one_hot groups; default: the data's groups that "
        "the model reads",
    )
    tolerances: dict[str, float] = Field(
        default_factory=dict,
        description="further columns in which the two may differ, and by how much in the column's units: { age = 2 }",
    )
    rising: tuple[str, ...] = Field(default=(), description="columns whose rise must never lower the score")
    falling: tuple[str, ...] = Field(default=(), description="columns whose rise must never raise the score")
    margin: float = Field(
        default=1e-3, gt=0, allow_inf_nan=False, description="what a score may move by without counting, in logits"
    )
    favourable: str | None = Field(
        default=None, description="class whose score rising and falling speak of; default: the second of two"
    )
    one_hot: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="one-hot groups: { job = ['job_clerk', 'job_cook'] }"
    )
    ranges: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="lowest and highest value of a column; default: the data's"
    )
    continuous: tuple[str, ...] = Field(
        default=(), description="columns that are not whole numbers although their data are"
    )
    parts: int = Field(default=32, ge=1, le=100_000, description="parts that the domain is cut into, by the data")
    boxes: int = Field(default=2048, ge=1, description="boxes of people bounded per part and step")
    refine: int = Field(
        default=20_000, ge=0, description="boxes spent on refuted parts, to tell how much of them is fair"
    )
    seconds: float = Field(
        default=5.0, ge=0, le=86_400, description="neuron splitting per part that boxes leave open; 0: none"
    )
    smt_seconds: float = Field(default=5.0, ge=0, le=86_400, description="Z3 per box that is left then; 0: none")
    pairs: int = Field(default=3, ge=0, description="pairs of people shown per question")


class IndividualFairnessCheck(Check):
    """Bounds and splitting over boxes of people; see ``verifiers.individual``."""

    name: ClassVar[str] = "individual_fairness"
    title: ClassVar[str] = "Fairness of the individual"
    question: ClassVar[str] = (
        "Is there anybody, in the data or not, who would be decided differently with another value of a protected "
        "attribute and nothing else?"
    )
    limitations: ClassVar[tuple[str, ...]] = (
        "Certified speaks of every person of the stated domain, most of whom do not exist; shares count all of them "
        "alike.",
        "That an attribute does not matter by itself says nothing of what stands in for it: see the group check.",
        "Unknown is not fair: work was given up, with more of it the part may be certified or refuted.",
        "Proofs hold over the real numbers, their rounding bounded, and allow for what rounding typically does to a "
        "float32 run; where Z3 made them they hold in exact arithmetic, trusting Z3. Single pairs are the deployed "
        "model's own answers.",
    )
    Settings: ClassVar[type[CheckSettings]] = IndividualFairnessSettings

    def plan(self, settings: IndividualFairnessSettings, context: Context) -> list[Shard]:
        """One shard per question.

        Raises:
            NotApplicableError: no table, a black box, or no protected column that the model reads.
            NotAssessedError: nobody named a column, and the domain cannot be made of the data alone.
            MissingColumnError, PlanError: a column that is not there, a domain that cannot be.
        """
        subject = _subject(context)
        if len(subject.input_shape) != 1:
            raise NotApplicableError("fairness of the individual is asked of tables", got=list(subject.input_shape))
        if subject.module() is None:
            raise NotApplicableError("a black box can be asked about single people only, not about all of them")
        asked = self._asked(settings, context)
        if not asked:
            raise NotApplicableError(
                "no protected column is named that the model reads",
                hint="name feature columns with checks.individual_fairness.protected",
            )
        try:
            people = self._people(settings, context)
            for kind, column in asked:
                self._counterparts(people, kind, column, settings)
        except (PlanError, PropertyError) as error:
            if settings.protected or settings.rising or settings.falling:
                raise PlanError(error.message, wanted=error.wanted, got=error.got, hint=error.hint) from error
            raise NotAssessedError(error.message, wanted=error.wanted, got=error.got, hint=error.hint) from error
        keys = settings.model_dump(mode="json", exclude={"enabled", "gate", "thresholds", "pairs"})
        return [
            Shard(self.name, f"{kind} {column}", {**keys, "kind": kind, "column": column}) for kind, column in asked
        ]

    def run(self, shard: Shard, settings: IndividualFairnessSettings, context: Context) -> Payload:
        """Verdicts per part, shares, pairs, and what the data's own rows say.

        Raises:
            NotAssessedError: the model cannot be read, or is another function than its graph.
        """
        kind, column = shard.parameters["kind"], shard.parameters["column"]
        subject, people = _subject(context), self._people(settings, context)
        counterparts = self._counterparts(people, kind, column, settings)
        question = self._question(kind, settings, context)
        numbers, known = people.numbers(torch.from_numpy(_rows(context)))
        numbers, places = numbers[known], torch.nonzero(known)[:, 0].tolist()
        lower, upper = parts_by_data(people, numbers, counterparts.changed, settings.parts)
        try:
            found = answer(
                subject,
                counterparts,
                question,
                lower,
                upper,
                budget=Budget(settings.boxes, settings.refine),
                finish=FinishBudget(settings.seconds, settings.smt_seconds),
                seed=derive_seed(context.seed, self.name, shard.name),
            )
        except (GraphError, DisagreementError) as error:
            raise NotAssessedError(error.message, wanted=error.wanted, got=error.got, hint=error.hint) from error
        place = part_of(numbers, lower, upper, counterparts.changed)
        rows = DataRows(numbers, place, data_steps(subject, counterparts, question, numbers))
        found = with_data(subject, counterparts, question, found, rows)
        parts, share = found.survey.parts, _shares(people, lower, upper, counterparts.changed)
        return {
            "verdicts": [str(part.verdict) for part in parts],
            "stages": [part.stage for part in parts],
            "shares": share.tolist(),
            "rows": torch.bincount(place[place >= 0], minlength=len(parts)).tolist(),
            "changed": int((rows.steps >= 0).sum()),
            "known": len(numbers),
            "fair": found.survey.fair,
            "unfair": found.survey.unfair,
            "boxes": found.survey.boxes,
            "pairs": [_pair(number, part, places) for number, part in enumerate(parts) if part.pair is not None],
            "lower": lower.tolist(),
            "upper": upper.tolist(),
            "gap": found.gap,
            "drawn": found.drawn,
            "contradicted": found.contradicted,
        }

    def conclude(
        self,
        results: Results,
        settings: IndividualFairnessSettings,
        context: Context,
        earlier: Mapping[str, Results],
    ) -> list[Finding]:
        """Shares of the domain per question, pairs of people, rows of the data, and the control."""
        people = self._people(settings, context)
        made: list[Finding] = []
        for shard, payload in results:
            kind, column = shard.parameters["kind"], shard.parameters["column"]
            tolerances = self._tolerances(people, kind, settings)
            names = context.data.identifiers or tuple(map(str, range(len(context.data))))
            question = Question(
                kind, column, people, tolerances, settings.margin, context.classifier.class_names, names
            )
            made += findings(question, payload, settings.pairs)
        return made

    def estimate(self, settings: IndividualFairnessSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        return f"at most {settings.parts * settings.boxes + settings.refine:,} boxes of people per question"

    def _asked(self, settings: IndividualFairnessSettings, context: Context) -> list[tuple[str, str]]:
        names = _names(context)
        protected = settings.protected or tuple(
            column for column in context.data.groups if column in names or column in settings.one_hot
        )
        grouped = {column: group for group, columns in settings.one_hot.items() for column in columns}
        asked = [("fair", name) for name in protected]
        asked += [("rising", name) for name in settings.rising] + [("falling", name) for name in settings.falling]
        for _, name in asked:
            if name in grouped:
                raise PlanError(
                    f"column {name!r} cannot change alone: it is part of the one-hot group {grouped[name]!r}",
                    wanted=f"{grouped[name]!r}",
                    got=name,
                )
            if name not in settings.one_hot:
                column_place(name, names)
        return list(dict.fromkeys(asked))

    def _people(self, settings: IndividualFairnessSettings, context: Context) -> People:
        reference = [] if context.reference is None else [_rows(context, reference=True)]
        rows = np.concatenate([_rows(context), *reference])
        return domain_of(
            rows,
            _names(context),
            ranges=settings.ranges,
            groups=settings.one_hot,
            continuous=settings.continuous,
        )

    def _counterparts(
        self, people: People, kind: str, column: str, settings: IndividualFairnessSettings
    ) -> Counterparts:
        return Counterparts(people, people.index(column), self._tolerances(people, kind, settings))

    @staticmethod
    def _tolerances(people: People, kind: str, settings: IndividualFairnessSettings) -> dict[int, float]:
        if kind != "fair":
            return {}
        known = [item.name for item in people.attributes]
        for name in settings.tolerances:
            if name not in known:
                raise MissingColumnError(f"there is no column {name!r} to tolerate changes in", wanted=", ".join(known))
        return {people.index(name): most for name, most in settings.tolerances.items()}

    @staticmethod
    def _question(kind: str, settings: IndividualFairnessSettings, context: Context) -> PairQuestion:
        names = context.classifier.class_names
        if kind == "fair":
            return same_decision(len(names))
        if settings.favourable is None and len(names) != 2:
            raise PlanError("which class is favourable?", wanted=f"checks.individual_fairness.favourable: {names}")
        if settings.favourable is not None and settings.favourable not in names:
            raise PlanError(
                "checks.individual_fairness.favourable is no class", wanted=", ".join(names), got=settings.favourable
            )
        favourable = 1 if settings.favourable is None else names.index(settings.favourable)
        return never_falls(len(names), favourable, settings.margin, falling=kind == "falling")


def _subject(context: Context) -> Classifier:
    """The classifier in the table's own units, in which whole numbers are whole."""
    classifier = context.classifier
    return classifier.inner if isinstance(classifier, RangeScaled) else classifier


def _names(context: Context) -> tuple[str, ...]:
    return context.data.feature_names or tuple(map(str, range(int(np.prod(context.data.sample_shape)))))


def _rows(context: Context, *, reference: bool = False) -> np.ndarray[Any, Any]:
    """Samples ``[n, columns]`` in the table's own units, whole where they miss a whole number by rounding only."""
    data = context.reference if reference else context.data
    assert data is not None
    samples = data.samples.astype(np.float64)
    if isinstance(context.classifier, RangeScaled):
        ranges = context.classifier.ranges
        low, high = (end.cpu().numpy().astype(np.float64) for end in (ranges.lower, ranges.upper))
        samples = samples * (high - low) + low
        near = samples.round()
        lost = np.minimum(0.01, 2e-7 * np.maximum(1.0, np.maximum(np.abs(high), np.abs(low))))
        samples = np.where(np.abs(samples - near) <= lost, near, samples)
    return samples


def _shares(people: People, lower: Tensor, upper: Tensor, changed: int) -> Tensor:
    low, high = lower.clone(), upper.clone()
    low[:, changed], high[:, changed] = people.attributes[changed].ends
    return people.share(low, high)


def _pair(number: int, part: Part, places: Sequence[int]) -> dict[str, Any]:
    pair = part.pair
    assert pair is not None
    outputs = pair.outputs.double().tolist()
    row = None if pair.row is None else places[pair.row]
    first, second = pair.first.tolist(), pair.second.tolist()
    return {"part": number, "first": first, "second": second, "outputs": outputs, "row": row}
