"""A finding: one number or one statement about the subject, with everything needed to judge it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from robust.record.base import RecordModel
from robust.record.evidence import Evidence


class Outcome(StrEnum):
    """How a finding stands. Only PASS may be read as good news."""

    PASS = "pass"
    """The whole interval is on the wanted side of the threshold (or the control showed what it must)."""
    FAIL = "fail"
    """The whole interval is on the wrong side of the threshold (or the control did not show what it must)."""
    INCONCLUSIVE = "inconclusive"
    """The interval contains the threshold, or what was asked stayed undecided."""
    NOT_ASSESSED = "not assessed"
    """It was not, or could not be, measured; the reason says why."""
    MEASURED = "measured"
    """A value without a threshold: for reading, not for judging."""


class GateLevel(StrEnum):
    """What a failing threshold does to the exit status."""

    ERROR = "error"
    WARN = "warn"
    OFF = "off"


class Interval(RecordModel):
    """A 95 % interval (or another ``level``), or a deterministic enclosure (``level`` 1)."""

    low: float
    high: float
    level: float = 0.95
    method: str
    """``wilson``, ``bootstrap (1000)``, ``clopper-pearson``, ``enclosure``, ..."""

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"interval is upside down: low {self.low} > high {self.high}")
        return self


class Threshold(RecordModel):
    """What the plan wanted of a finding: at least ``minimum`` and at most ``maximum``."""

    minimum: float | None = None
    maximum: float | None = None
    level: GateLevel


class Cost(RecordModel):
    """What it took. Seconds differ from run to run and are left out when records are compared."""

    seconds: float = 0.0
    forward_passes: int | None = None
    backward_passes: int | None = None


class Finding(RecordModel):
    """One measured fact about the subject.

    ``id`` is made of check, metric and parameters and is unique within a record.
    """

    check: str
    """Name of the check in the catalogue."""
    metric: str
    """For example ``accuracy``, ``accuracy_under_attack``, ``certified_accuracy``."""
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """What tells this finding from the others of the same metric: norm, epsilon, attack, group, class."""
    title: str
    """A sentence or a noun phrase that a reader who did not write the plan understands."""
    value: float | None = None
    unit: str = ""
    """``share``, ``nats``, ``input units``, ``features``; empty for a pure number."""
    interval: Interval | None = None
    n: int | None = None
    """How many samples (or pairs, or images) the value speaks of."""
    better: Literal["higher", "lower", "neither"] = "neither"
    protocol: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Everything that must agree before two values of this metric may be compared."""
    threshold: Threshold | None = None
    outcome: Outcome = Outcome.MEASURED
    reason: str = ""
    """A sentence: why this outcome. Required unless the outcome is ``measured``."""
    control: bool = False
    """True for a control: a row whose value is known beforehand; a failing control discredits its check."""
    headline: bool = False
    """True for the few findings that the summary on top shows."""
    evidence: tuple[Evidence, ...] = ()
    cost: Cost = Cost()

    @property
    def id(self) -> str:
        """``check/metric?key=value&...`` with the keys in order."""
        query = "&".join(f"{key}={self.parameters[key]}" for key in sorted(self.parameters))
        return f"{self.check}/{self.metric}" + (f"?{query}" if query else "")

    @model_validator(mode="after")
    def _explained(self) -> Finding:
        if self.outcome is not Outcome.MEASURED and not self.reason:
            raise ValueError(f"finding {self.id} is '{self.outcome}' without a reason")
        if self.outcome is Outcome.NOT_ASSESSED and self.value is not None:
            raise ValueError(f"finding {self.id} was not assessed and yet has a value")
        return self
