"""What the findings about a generator are made from, and how one says that it was not assessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robust.audit.check import Context, Payload
from robust.generation.assess import Assessment
from robust.generation.real_side import Bench, RealSide
from robust.record import Finding, Outcome
from robust.subjects.protocols import Generator

CHECK = "generation"
Protocol = dict[str, str | int | float | bool]


@dataclass(frozen=True, eq=False)
class Report:
    """What the findings are made from: ``measured`` by source (``generator``, ``real``, ``memoriser``, ...)."""

    generator: Generator
    context: Context
    real: RealSide
    measured: Mapping[str, Assessment]
    payload: Payload
    quantile: float

    @property
    def subject(self) -> Assessment:
        """The assessment of the generator under audit."""
        return self.measured["generator"]

    def protocol(self, **more: str | int | float | bool) -> Protocol:
        """What must agree before two numbers may be compared."""
        data = self.context.data.digest[:12]
        return {"data": data, "generated": self.subject.generated, "real": len(self.real.target_features), **more}


def not_assessed(metric: str, title: str, reason: str, **parameters: str) -> Finding:
    """A finding that says what was not measured, and why."""
    return Finding(
        check=CHECK,
        metric=metric,
        parameters=dict(parameters),
        title=title,
        outcome=Outcome.NOT_ASSESSED,
        reason=reason,
    )


def incompetent(bench: Bench) -> str:
    """Why this judge's opinion is not used."""
    return (
        f"The judge names {bench.right} of {bench.count} real held-out samples rightly, which is not clearly better "
        f"than always naming the commonest ({bench.commonest:.3f}); its opinion of generated samples means nothing."
    )
