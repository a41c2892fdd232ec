"""The check ``certificates``: how many answers are proved to stay right, and how that meets the attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from attacks.balls import NORM_NAMES, Norm
from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotAssessedError,
    Payload,
    Results,
    Shard,
    blocks,
)
from robust.audit.checks.bounded_graph import BoundedGraphs
from robust.audit.checks.certificate_budget import Share, fitted, left_out
from robust.audit.checks.certificate_controls import TOLERANCE, agreement, try_balls
from robust.audit.checks.sandwich import Answers, contradictions, curve_plot, enclosures
from robust.audit.radii import UNIT_EPSILONS, epsilon_grids
from robust.graph import Graph
from robust.record import Finding, Table
from robust.statistics import wilson
from robust.subjects.protocols import Classifier
from verifiers import Effort, Network
from verifiers.certify import ARITHMETIC, attempts, certified_by


class CertificatesSettings(CheckSettings):
    """Keys of ``[checks.certificates]``."""

    linf_epsilons: tuple[float, ...] | None = Field(
        default=None, description="radii of L-inf balls, in input units; default those of the attacks; []: do not ask"
    )
    l2_epsilons: tuple[float, ...] | None = Field(
        default=None, description="radii of L2 balls, in input units; default those of the attacks; []: do not ask"
    )
    methods: tuple[Literal["interval", "crown-ibp", "zonotope", "crown", "alpha-crown"], ...] = Field(
        default=("interval", "crown"),
        min_length=1,
        description="bound propagations to try; alpha-crown is the tightest and costs about forty times crown; "
        "zonotope is looser than crown as a rule and costs more",
    )
    samples: int = Field(default=1000, ge=1, description="samples at most, the same as the attacks' as far as both go")
    budget: float = Field(
        default=600.0,
        gt=0,
        description="billions of multiply-adds at most; a large network is asked about fewer samples, and fewer "
        "neurons are bounded anew, so as to stay below, and the findings say so; inf: no limit",
    )
    shard_samples: int = Field(default=50, ge=1, description="samples per unit of work")
    rows: int = Field(
        default=512,
        ge=0,
        description="crown, alpha-crown: at most so many neurons of a layer bounded anew for each sample",
    )
    memory_mib: int = Field(
        default=32, ge=1, description="aim for temporaries of at most about this much; more for an accelerator"
    )

    @field_validator("linf_epsilons", "l2_epsilons")
    @classmethod
    def _radii(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values is not None and not all(0 <= value < float("inf") for value in values):
            raise ValueError(f"wanted finite radii of at least 0, got {values}")
        return values

    def grid(self, classifier: Classifier) -> dict[Norm, tuple[float, ...]]:
        """Norm -> radii, norms without radii left out."""
        return epsilon_grids(self.linf_epsilons, self.l2_epsilons, classifier)


class Certificates(Check):
    """Bound propagation over the operation graph; see ``verifiers.certify``."""

    name: ClassVar[str] = "certificates"
    title: ClassVar[str] = "Certified robustness"
    question: ClassVar[str] = (
        "For what share of the samples is it proved that no perturbation within epsilon changes the right answer?"
    )
    threat_model: ClassVar[str] = (
        "Anybody who may change the input within the ball, with full knowledge of the model and unlimited computation: "
        "a proof holds against every attack, known or not, that stays inside the ball and the input box."
    )
    limitations: ClassVar[tuple[str, ...]] = (
        "A sample without a certificate is undecided, not broken: these bounds are incomplete and fall short on "
        "networks that were not trained for them.",
        "The proof speaks of the network as an operation graph, over the real numbers and in every float32 run of it: "
        "all rounding is bounded in the same pass. The runtime that executes the model may compute otherwise: a proof "
        "must also exceed twice the largest difference to it that was seen in the same balls.",
        "The proof speaks of these samples and these balls, and says nothing about rotations, occlusions or other "
        "inputs.",
    )
    Settings: ClassVar[type[CheckSettings]] = CertificatesSettings
    version: ClassVar[int] = 4

    def __init__(self) -> None:
        self._graphs = BoundedGraphs()

    def plan(self, settings: CertificatesSettings, context: Context) -> list[Shard]:
        """One shard per norm, radius, method and block of samples; as many samples as the budget of work allows.

        Raises:
            NotAssessedError: a black box, an operator without a rule, no radius to ask for, or too large a network.
        """
        if not settings.grid(context.classifier):
            raise NotAssessedError("no certificates were asked for: both lists of radii are empty")
        share = self._shares(settings, context)[1]
        chosen = context.data.stratified_indices(share.samples, context.seed).tolist()
        pieces = [tuple(chosen[i] for i in block) for block in blocks(len(chosen), settings.shard_samples)]
        return [
            Shard(
                self.name,
                f"{norm} {epsilon:g} {method} samples {place + 1}/{len(pieces)}",
                {"method": method, "norm": norm, "epsilon": epsilon, "rows": share.rows},
                piece,
            )
            for norm, radii in settings.grid(context.classifier).items()
            for epsilon in radii
            for method in share.methods
            for place, piece in enumerate(pieces)
        ]

    def run(self, shard: Shard, settings: CertificatesSettings, context: Context) -> Payload:
        """``certified``: bool per sample: the answer is right and proved to stay right.

        ``by``: which of the methods that are tried proved it, or empty. ``tried``: bool per sample: the deployed model
        was right at a few points of the ball. ``gap``, ``scale``, ``points``: see ``certificate_controls.Trial``.
        """
        parameters, graph = shard.parameters, self._graph(context)
        samples, labels = context.samples(shard.indices), context.labels(shard.indices)
        generator = context.torch_generator(self.name, shard.name)
        epsilon, norm = parameters["epsilon"], parameters["norm"]
        trial = try_balls(graph, context.classifier, samples, labels, epsilon, norm, generator)
        by = certified_by(
            graph,
            samples,
            labels,
            [epsilon],
            norm=norm,
            box=context.classifier.input_box,
            method=parameters["method"],
            effort=Effort(rows=parameters["rows"], bytes=settings.memory_mib * 2**20),
            slack=2 * trial.gap,
        )[0].tolist()
        certified = np.array([rung >= 0 for rung in by], dtype=bool)
        right = context.predictions[list(shard.indices)] == context.data.labels[list(shard.indices)]
        return {
            "certified": np.asarray(certified & right),
            "by": [attempts(parameters["method"])[rung] if rung >= 0 else "" for rung in by],
            "tried": np.asarray(~trial.broken.cpu().numpy()),
            "gap": trial.gap,
            "scale": trial.scale,
            "points": trial.points,
        }

    def conclude(
        self,
        results: Results,
        settings: CertificatesSettings,
        context: Context,
        earlier: Mapping[str, Results],
    ) -> list[Finding]:
        """Certified accuracy, the sandwich with the attacks, and the control that the two never contradict."""
        answers = Answers.collect(results, earlier.get("attacks", ()), len(context.data))
        right = np.asarray(context.predictions == context.data.labels)
        wanted, share = self._shares(settings, context)
        findings: list[Finding] = []
        for norm, radii in settings.grid(context.classifier).items():
            pairs = [(epsilon, method) for epsilon in radii for method in share.methods]
            middle = (radii[len(radii) // 2], share.methods[-1])
            found = [
                self._certified(answers, method, norm, epsilon, share, headline=(epsilon, method) == middle)
                for epsilon, method in pairs
            ]
            evidence = (curve_plot(answers, norm, right), self._table(answers, norm, radii, share))
            found[0] = found[0].model_copy(update={"evidence": evidence})
            findings += found + enclosures(self.name, answers, norm, radii)
        findings += left_out(self.name, wanted, share, settings.budget)
        tolerance = float(getattr(context.classifier, "agreement_tolerance", TOLERANCE))
        return [*findings, contradictions(self.name, answers), agreement(self.name, results, tolerance)]

    def estimate(self, settings: CertificatesSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        count = min(samples, settings.samples)
        grids = ((settings.linf_epsilons, UNIT_EPSILONS["linf"]), (settings.l2_epsilons, UNIT_EPSILONS["l2"]))
        questions = count * sum(len(default if wanted is None else wanted) for wanted, default in grids)
        return f"{questions:,} balls ({count} samples), each by {' and '.join(settings.methods)}"

    def _shares(self, settings: CertificatesSettings, context: Context) -> tuple[Share, Share]:
        """What the plan wants, and what of it fits the budget."""
        wanted = Share(min(settings.samples, len(context.data)), settings.rows, settings.methods)
        network, radii = Network(self._graph(context)), settings.grid(context.classifier)
        return wanted, fitted(wanted, network, radii, len(context.classifier.class_names) - 1, settings.budget)

    def _graph(self, context: Context) -> Graph:
        return self._graphs.of(context.classifier, "certificates")

    def _certified(
        self,
        answers: Answers,
        method: str,
        norm: Norm,
        epsilon: float,
        share: Share,
        *,
        headline: bool,
    ) -> Finding:
        certified = answers.certified(method, norm, epsilon)[answers.asked]
        count, total = int(certified.sum()), len(certified)
        return Finding(
            check=self.name,
            metric="certified_accuracy",
            parameters={"norm": norm, "epsilon": epsilon, "method": method},
            title=f"Certified accuracy within {NORM_NAMES[norm]} {epsilon:g} by {method} bounds",
            value=count / total,
            unit="share",
            interval=wilson(count, total),
            n=total,
            better="higher",
            protocol={
                "norm": norm,
                "epsilon": epsilon,
                "method": method,
                "rows": share.rows,
                "arithmetic": ARITHMETIC,
                "wrongly classified samples": "count as not certified",
            },
            headline=headline,
        )

    def _table(self, answers: Answers, norm: Norm, radii: tuple[float, ...], share: Share) -> Table:
        rows = tuple(
            (epsilon, *(int(answers.certified(method, norm, epsilon).sum()) for method in share.methods))
            for epsilon in radii
        )
        return Table(
            title=f"Samples certified within {NORM_NAMES[norm]} balls",
            columns=("epsilon", *share.methods),
            rows=rows,
            caption=f"of {int(answers.asked.sum())} samples; arithmetic: {ARITHMETIC}",
        )
