"""The check ``branching``: branch and bound of the balls that attacks and bounds leave undecided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from attacks.balls import NORM_NAMES, Norm
from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotApplicableError,
    NotAssessedError,
    Payload,
    Results,
    Shard,
    blocks,
)
from robust.audit.checks.bounded_graph import BoundedGraphs
from robust.audit.checks.branching_findings import findings
from robust.audit.checks.branching_work import Work
from robust.audit.checks.sandwich import Answers
from robust.audit.decided import Sources
from robust.audit.radii import epsilon_grids
from robust.record import Finding
from robust.subjects.protocols import Classifier
from verifiers import Effort, Network
from verifiers.cost import splitting

BILLION = 1e9
FEWEST = 5
"""Balls below which the network is too large to be asked about."""


class BranchingSettings(CheckSettings):
    """Keys of ``[checks.branching]``."""

    linf_epsilons: tuple[float, ...] | None = Field(
        default=None, description="radii of L-inf balls, in input units; default those of the attacks; []: do not ask"
    )
    l2_epsilons: tuple[float, ...] | None = Field(
        default=None, description="radii of L2 balls, in input units; default those of the attacks; []: do not ask"
    )
    balls: int = Field(
        default=72,
        ge=1,
        description="undecided balls (a sample at a radius) at most, from the radii with the fewest of them on",
    )
    domains: int = Field(default=256, ge=1, description="parts of one ball at most: a count, the same on every machine")
    budget: float = Field(
        default=3000.0,
        gt=0,
        description="billions of multiply-adds at most, should all balls need all their parts; fewer balls where the "
        "network is large, and the findings say so; inf: no limit",
    )
    seconds: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="wall clock per ball, a safety; where it strikes, another run may end otherwise, and this is said",
    )
    shard_samples: int = Field(default=10, ge=1, description="samples per unit of work")
    memory_mib: int = Field(
        default=32, ge=1, description="aim for temporaries of at most about this much; more for an accelerator"
    )
    images: int = Field(default=3, ge=0, description="witnesses shown per norm")

    @field_validator("linf_epsilons", "l2_epsilons")
    @classmethod
    def _radii(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and not all(0 <= value < float("inf") for value in values):
            raise ValueError(f"wanted finite radii of at least 0, got {values}")
        return values

    def grid(self, classifier: Classifier) -> dict[Norm, tuple[float, ...]]:
        """Norm -> radii, norms without radii left out."""
        return epsilon_grids(self.linf_epsilons, self.l2_epsilons, classifier)


Wanted = list[tuple[Norm, float, list[int]]]
"""Norm, radius and the samples that are undecided there."""


class BranchingCheck(Check):
    """Complete verification within a budget; see ``robust.audit.branching``."""

    name: ClassVar[str] = "branching"
    title: ClassVar[str] = "Complete verification"
    question: ClassVar[str] = (
        "What neither attacks nor bounds decide: is there an input within epsilon that changes the right answer, or a "
        "proof that there is none?"
    )
    threat_model: ClassVar[str] = (
        "Anybody who may change the input within the ball, with full knowledge of the model and unlimited computation."
    )
    limitations: ClassVar[tuple[str, ...]] = (
        "Undecided is not safe: the count of parts ended, or the budget did not reach this ball.",
        "Proofs speak of the network as an operation graph over the real numbers, and of every float32 run where a "
        "finding counts them so; all rounding is bounded. Others allow for what rounding typically does to a run. All "
        "allow for twice the largest difference to the deployed model that was seen.",
        "Samples and balls are those of the attacks and certificates; nothing is said about others.",
    )
    Settings: ClassVar[type[CheckSettings]] = BranchingSettings
    version: ClassVar[int] = 2

    def __init__(self) -> None:
        self._graphs = BoundedGraphs()

    def plan(self, settings: BranchingSettings, context: Context) -> list[Shard]:
        """As many balls as the plan allows, should nothing be decided before.

        Raises:
            NotApplicableError: a black box, an operator without a rule, no radius, or too large a network.
        """
        everyone = np.flatnonzero(np.asarray(context.predictions == context.data.labels)).tolist()
        grids = settings.grid(context.classifier).items()
        return self._shards([(norm, e, everyone) for norm, radii in grids for e in radii], settings, context)

    def follow(self, settings: BranchingSettings, context: Context, earlier: Mapping[str, Results]) -> list[Shard]:
        """Shards of samples, each with the radii at which they are undecided.

        Raises:
            NotApplicableError: as in ``plan``; also where no attack and no certificate was asked for.
        """
        if not earlier.get("attacks") and not earlier.get("certificates"):
            raise NotApplicableError("neither attacks nor certificates were run, so nothing is known to be undecided")
        return self._shards(self._undecided(settings, context, earlier), settings, context)

    def run(self, shard: Shard, settings: BranchingSettings, context: Context) -> Payload:
        """Columns with a place per ball that was asked: ``sample``, ``epsilon``, ``engine``, ``verdict``, ``domains``,
        ``took`` (seconds), ``timed_out``; ``runs``: a proof holds in every float32 run; ``seen``: the deployed model
        was right at drawn points. ``witnesses``, ``witness_places``, ``distances``, ``answers``. ``gap``, ``scale``,
        ``points``: see ``Trial``."""
        network = self._network(context)
        effort = Effort(bytes=settings.memory_mib * 2**20)
        work = Work(shard, context, network, seconds=settings.seconds, domains=settings.domains, effort=effort)
        return work.payload()

    def conclude(
        self, results: Results, settings: BranchingSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """What is known with everything taken together, what decided it, and the controls."""
        sources = self._sources(context, earlier, results)
        before, left = self._undecided(settings, context, earlier), 0
        for norm, epsilon, samples in before:
            left += int(sources.standing(norm, epsilon).open[samples].sum())
        undecided = sum(len(samples) for _, _, samples in before), left
        return findings(results, sources, settings.grid(context.classifier), context, settings.images, undecided)

    def estimate(self, settings: BranchingSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        return f"at most {settings.balls:,} balls that are undecided by then, of {settings.domains:,} parts each"

    @staticmethod
    def _sources(context: Context, earlier: Mapping[str, Results], results: Results) -> Sources:
        attacks, certificates = earlier.get("attacks", ()), earlier.get("certificates", ())
        right = np.asarray(context.predictions == context.data.labels)
        answers = Answers.collect(certificates, attacks, len(context.data))
        return Sources(right, answers, attacks, certificates, earlier.get("smt", ()), results)

    def _undecided(self, settings: BranchingSettings, context: Context, earlier: Mapping[str, Results]) -> Wanted:
        sources = self._sources(context, earlier, ())
        found: Wanted = []
        for norm, radii in settings.grid(context.classifier).items():
            population = sources.population(norm, radii)
            for epsilon in radii:
                open_ = sources.standing(norm, epsilon).open & population
                found.append((norm, epsilon, np.flatnonzero(open_).tolist()))
        return found

    def _network(self, context: Context) -> Network:
        try:
            return Network(self._graphs.of(context.classifier, "proofs"))
        except NotAssessedError as error:  # certificates say it for both
            raise NotApplicableError(error.message, wanted=error.wanted, got=error.got, hint=error.hint) from error

    def _shards(self, wanted: Wanted, settings: BranchingSettings, context: Context) -> list[Shard]:
        network = self._network(context)
        if not wanted:
            raise NotApplicableError("no radii were asked for: both lists are empty")
        left, money = settings.balls, settings.budget * BILLION
        chosen: dict[tuple[Norm, int], list[float]] = {}
        for norm, epsilon, samples in sorted(wanted, key=lambda item: (len(item[2]), item[0], item[1])):
            rivals = len(context.classifier.class_names) - 1
            cost = splitting(network, norm=norm, functions=rivals, domains=settings.domains)
            if settings.budget * BILLION < FEWEST * cost:
                raise NotApplicableError(
                    "the network is too large for branch and bound within the budget of work",
                    wanted=f"at most {settings.budget:g} billion multiply-adds for {FEWEST} balls",
                    got=f"{FEWEST * cost / BILLION:.3g} billion at worst",
                    hint="raise checks.branching.budget (inf: no limit), or lower checks.branching.domains",
                )
            count = int(min(left, len(samples), money / cost))
            for sample in samples[:count]:
                chosen.setdefault((norm, sample), []).append(epsilon)
            left, money = left - count, money - count * cost
        return [shard for norm in ("linf", "l2") for shard in self._of_norm(norm, chosen, settings)]

    def _of_norm(
        self, norm: Norm, chosen: Mapping[tuple[Norm, int], list[float]], settings: BranchingSettings
    ) -> list[Shard]:
        samples = sorted(sample for n, sample in chosen if n == norm)
        pieces = [[samples[i] for i in block] for block in blocks(len(samples), settings.shard_samples)]
        return [
            Shard(
                self.name,
                f"{NORM_NAMES[norm]} samples {piece[0]}-{piece[-1]}",
                {"norm": norm, "epsilons": [sorted(chosen[norm, sample]) for sample in piece]},
                tuple(piece),
            )
            for piece in pieces
        ]
