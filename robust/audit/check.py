"""What a check is: it plans shards, works on one shard at a time, and concludes findings from all of them.

A shard is the unit of work, of storing and of resuming. Its key is a digest of everything its result depends on:
model, data, check and its version, parameters, seed. So a changed model or plan never reuses a stale result.
``run`` returns plain data (numbers, text, arrays); ``conclude`` is a pure function of what ``run`` returned and
the context, so that a resumed audit writes the same record as an unbroken one.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from robust.data.dataset import Dataset
from robust.errors import RobustError
from robust.record import Finding, GateLevel
from robust.subjects.protocols import Classifier, Generator

Need = Literal["generator", "groups"]
"""What a plan must give for a question to arise."""

NEEDS: dict[Need, str] = {
    "generator": "the plan names no generator; name one in the section [generator]",
    "groups": "the data has no group column; name the sensitive columns with data.groups",
}
"""Need -> the sentence to say where it is not met."""

Payload = dict[str, Any]
"""What a shard leaves behind: JSON values and numpy arrays, keyed by text."""


class Passes(NamedTuple):
    """How often, at most, a check asks the network: single samples forward, and forward with a gradient."""

    forward: int = 0
    gradient: int = 0


class NotAssessedError(RobustError):
    """Raised by a check that cannot speak of this subject. The record says so; the audit goes on; exit status 3."""


class NotApplicableError(NotAssessedError):
    """Not assessed because the question does not arise (no generator, no group column, a network far too large for an
    exact solver). Leaves the audit undecided only if somebody named the check in the plan."""


class ThresholdRule(BaseModel):
    """Judge findings of ``metric`` (all of them, or those whose parameters match ``where``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(description="metric of a finding of this check, for example accuracy")
    where: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="parameters that must match, for example { epsilon = 0.1 }"
    )
    minimum: float | None = Field(default=None, description="the whole interval must be at least this")
    maximum: float | None = Field(default=None, description="the whole interval must be at most this")

    @model_validator(mode="after")
    def _wants_something(self) -> ThresholdRule:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a threshold needs a minimum or a maximum")
        return self


class CheckSettings(BaseModel):
    """Common to all checks; each check adds its own keys in a subclass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="run this check")
    gate: Literal["error", "warn", "off"] = Field(
        default="error", description="what a missed threshold does: fail the audit, warn, or nothing"
    )
    thresholds: tuple[ThresholdRule, ...] = Field(default=(), description="judged on the interval, not on the point")

    @property
    def level(self) -> GateLevel:
        """``gate`` as the enum."""
        return GateLevel(self.gate)


@dataclass(frozen=True)
class Shard:
    """One piece of work of a check.

    Attributes:
        check: name of the check.
        name: unique within the check, for people: ``linf 0.1 pgd samples 0-63``.
        parameters: JSON values, all that the result depends on beside model, data and seed.
        indices: which samples of the evaluation data it works on; empty if it does not.
    """

    check: str
    name: str
    parameters: Mapping[str, Any]
    indices: tuple[int, ...] = ()


Results = Sequence[tuple[Shard, Payload]]
"""All shards of one check with what they left behind, in the order of the plan. During an audit each payload has
``seconds`` beside what the check put there: how long the shard took when it was computed."""


@dataclass(frozen=True)
class Context:
    """What every check may look at. Nothing in it changes during an audit.

    Attributes:
        classifier: the subject.
        data: evaluation samples, already the seeded stratified subsample, labels matched to the logits.
        reference: samples the subject may have been trained on; for fitting detectors and judges. None if not given.
        ood: further data sets by name, samples of the subject's input shape in its box, for detection.
        generator: a generator subject, or None.
        seed: the audit's seed; a check derives its own with ``rng`` and ``torch_generator``.
        device: where tensors go.
        directory: the run directory, for witnesses.
        predictions: predicted class of each sample of ``data``, by ``classifier.replay``.
    """

    classifier: Classifier
    data: Dataset
    reference: Dataset | None
    ood: Mapping[str, Dataset]
    generator: Generator | None
    seed: int
    device: torch.device
    directory: Path
    predictions: NDArray[np.int64]

    def rng(self, *salt: object) -> np.random.Generator:
        """A numpy generator of its own for each salt (check and shard name, say)."""
        return np.random.default_rng(derive_seed(self.seed, *salt))

    def torch_generator(self, *salt: object) -> torch.Generator:
        """A CPU torch generator of its own for each salt. Draw on the CPU, then move: same numbers on any device."""
        return torch.Generator().manual_seed(derive_seed(self.seed, *salt))

    def samples(self, indices: Sequence[int] | None = None) -> torch.Tensor:
        """Evaluation samples as float32 ``[n, *shape]`` on ``device``."""
        array = self.data.samples if indices is None else self.data.samples[np.asarray(indices, dtype=np.int64)]
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def labels(self, indices: Sequence[int] | None = None) -> torch.Tensor:
        """Class indices int64 ``[n]`` on ``device``."""
        array = self.data.labels if indices is None else self.data.labels[np.asarray(indices, dtype=np.int64)]
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def derive_seed(seed: int, *salt: object) -> int:
    """A 63-bit seed from the audit's seed and what it is for; the same everywhere."""
    text = json.dumps([seed, *map(str, salt)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Check(ABC):
    """One question to the subject. One file each in ``robust/audit/checks``; listed in ``robust/audit/catalogue.py``.

    Class attributes:
        name: key in the plan and in the record.
        title: heading in the report.
        question: what it asks, a sentence.
        threat_model: who could do what; empty where there is no adversary.
        limitations: what a reader must not conclude; sentences.
        Settings: its keys in the plan.
        needs: what the plan must give beside a classifier and data; without it the check is not applicable.
        version: raised when its results change meaning; part of every shard's key.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    threat_model: ClassVar[str] = ""
    limitations: ClassVar[tuple[str, ...]] = ()
    Settings: ClassVar[type[CheckSettings]] = CheckSettings
    needs: ClassVar[tuple[Need, ...]] = ()
    version: ClassVar[int] = 1

    @abstractmethod
    def plan(self, settings: Any, context: Context) -> list[Shard]:
        """The shards, in order. Cheap. Raises NotAssessedError when the subject cannot be asked this question."""

    def follow(self, settings: Any, context: Context, earlier: Mapping[str, Results]) -> list[Shard]:
        """The shards once the checks before this one have run; those of ``plan``, unless what is left to do depends on
        what they found. ``plan`` says then what it is at most."""
        return self.plan(settings, context)

    @abstractmethod
    def run(self, shard: Shard, settings: Any, context: Context) -> Payload:
        """Work on one shard. All randomness from ``context.rng`` or ``context.torch_generator``."""

    @abstractmethod
    def conclude(
        self, results: Results, settings: Any, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Findings from the payloads of all shards, in the order of the plan.

        ``earlier`` holds the results of the checks before this one in the catalogue (by name; absent if they were
        disabled or not assessed), for figures that join two of them. No outcome from thresholds: the gate judges
        those. Controls carry their own outcome.
        """

    def estimate(self, settings: Any, samples: int, classes: int) -> str:
        """Cost in words for ``--dry-run``, for example ``12,000 forward and backward passes``."""
        return ""

    def passes(self, settings: Any, samples: int, classes: int) -> Passes | None:
        """Cost in passes for ``--dry-run``, at most; None where passes do not say how long it takes."""
        return None


def unmet_need(check: Check, context: Context) -> str | None:
    """Why the check's question does not arise, in a sentence; None if it does."""
    met: dict[Need, bool] = {"generator": context.generator is not None, "groups": bool(context.data.groups)}
    return next((NEEDS[need] for need in check.needs if not met[need]), None)


def blocks(count: int, size: int) -> list[tuple[int, ...]]:
    """``range(count)`` cut into runs of ``size``, as index tuples for shards."""
    return [tuple(range(start, min(start + size, count))) for start in range(0, count, size)]
