"""Does the model know what it does not know? A panel of detectors on abnormal inputs, near and far."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from robust.audit.check import Check, CheckSettings, Context, NotAssessedError, Passes, Payload, Results, Shard
from robust.errors import DataShapeError, PlanError
from robust.ood import Activations, Detector, Measured, activations_of, measure
from robust.ood.evidence import area_plot, example_images, histogram_plot, panel_table
from robust.ood.findings import (
    SetResult,
    control_finding,
    set_findings,
    unavailable_finding,
    worst_finding,
)
from robust.ood.panel import fit_panel, score_panel
from robust.ood.sets import (
    gaussian_noise,
    is_picture,
    mixtures,
    permuted_columns,
    permuted_pixels,
    quarter_turns,
    uniform_noise,
)
from robust.record import Evidence, Finding, Interval, Note
from robust.statistics import simultaneous_level

DetectorName = Literal["maximum_softmax", "energy", "mahalanobis", "relative_mahalanobis", "knn"]
SELF = "the data themselves"
CONTROL_LEVEL = 0.999
LEAST = 20


class OodSettings(CheckSettings):
    """Keys of ``[checks.ood]``."""

    detectors: tuple[DetectorName, ...] = Field(
        default=("maximum_softmax", "energy", "mahalanobis", "relative_mahalanobis", "knn"),
        min_length=1,
        description="the panel",
    )
    near: tuple[str, ...] = Field(default=(), description="names of given sets that are near the data; others are far")
    samples: int = Field(default=1000, ge=LEAST, description="inputs per set, at most")
    reference_samples: int = Field(default=5000, ge=LEAST, description="samples the detectors are fitted on, at most")
    resamples: int = Field(default=1000, ge=200, description="bootstrap resamples")
    batch: int = Field(default=256, ge=1, description="inputs per forward pass")
    examples: int = Field(default=6, ge=0, le=12, description="pictures of each set in the report")


@dataclass(frozen=True, eq=False)
class _Prepared:
    """The fitted panel and the normal side of every comparison."""

    panel: Mapping[str, Detector]
    samples: Tensor
    labels: Tensor
    scores: Mapping[str, NDArray[np.float64]]


class OodCheck(Check):
    """AUROC, AUPR and FPR of every detector on every set, its worst set, and the data against themselves."""

    name = "ood"
    title = "Out-of-distribution detection"
    question = "Can the model's own outputs and features tell inputs it was not made for from those it was?"
    limitations: ClassVar[tuple[str, ...]] = (
        "Synthetic sets stand in for the unknown; a detector may fail on abnormal inputs that nobody thought of.",
        "An adversary who knows the detector is not considered here.",
    )
    Settings = OodSettings

    def __init__(self) -> None:
        self._memo: tuple[weakref.ref[Context], OodSettings, _Prepared] | None = None

    def plan(self, settings: OodSettings, context: Context) -> list[Shard]:
        """The data themselves first, then one shard per set.

        Raises:
            NotAssessedError: too few samples.
            DataShapeError: a given set has another shape than the model's input.
            PlanError: ``near`` names a set that is not there.
        """
        _check_sets(settings, context)
        fit, test = _split(settings, context)
        if len(test) < LEAST or len(fit) < LEAST:
            raise NotAssessedError(
                "too few samples to fit detectors and to test them",
                wanted=f"at least {LEAST} of each",
                got=f"{len(fit)} and {len(test)}",
                hint="give more evaluation samples, or a reference set",
            )
        common = {
            "fit_on": _fit_on(settings, context),
            "reference": context.reference.digest[:16] if context.reference else "",
            "samples": settings.samples,
            "resamples": settings.resamples,
            "detectors": list(settings.detectors),
            "examples": settings.examples,
        }
        every = tuple(range(len(context.data)))
        shards = [Shard(self.name, SELF, {**common, "set": SELF, "family": "self", "origin": "data"}, every)]
        sets = _sets(settings, context)
        for name, (family, origin) in sets.items():
            parameters = {**common, "set": name, "family": family, "origin": origin, "sets": len(sets)}
            if origin == "data":
                parameters["digest"] = context.ood[name].digest[:16]
            shards.append(Shard(self.name, name, parameters, every))
        return shards

    def run(self, shard: Shard, settings: OodSettings, context: Context) -> Payload:
        """Scores of one set by every detector, and how well they separate it from the data."""
        ready = self._prepare(settings, context)
        name = shard.parameters["set"]
        if name == SELF:
            order = context.rng(self.name, "halves").permutation(len(ready.samples))
            half = len(order) // 2
            metrics = {
                detector: measure(
                    scores[order[:half]],
                    scores[order[half:]],
                    context.rng(self.name, SELF, detector),
                    resamples=max(settings.resamples, 2000),
                    level=CONTROL_LEVEL,
                )
                for detector, scores in ready.scores.items()
            }
            return {"scores": dict(ready.scores), "metrics": _plain(metrics), "count": len(ready.samples)}
        samples = self._samples(name, settings, context, ready)
        shown = activations_of(context.classifier, samples, batch=settings.batch, what=f"the set {name!r}")
        scores = score_panel(ready.panel, shown)
        metrics = {
            detector: measure(
                ready.scores[detector],
                found,
                context.rng(self.name, name, detector),
                resamples=settings.resamples,
                simultaneous=simultaneous_level(shard.parameters["sets"]),
            )
            for detector, found in scores.items()
        }
        payload: Payload = {"scores": scores, "metrics": _plain(metrics), "count": len(samples)}
        return {**payload, **_examples(samples, shown, settings, context)}

    def conclude(
        self, results: Results, settings: OodSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Worst sets first, then every set, what could not be asked, and the controls."""
        (_, normal), sets = results[0], results[1:]
        protocol: dict[str, str | int | float | bool] = {
            "fit_on": _fit_on(settings, context),
            "tuned_on": "nothing",
            "resamples": settings.resamples,
        }
        found = [
            SetResult(
                name=shard.parameters["set"],
                family=shard.parameters["family"],
                origin=shard.parameters["origin"],
                count=int(payload["count"]),
                metrics=_measured(payload["metrics"]),
            )
            for shard, payload in sets
        ]
        asked = [detector for detector in settings.detectors if detector in normal["scores"]]
        count = int(normal["count"])
        findings = []
        for detector in asked:
            others = {shard.parameters["set"]: np.asarray(payload["scores"][detector]) for shard, payload in sets}
            areas = {item.name: (item.family, item.metrics[detector]["auroc"]) for item in found}
            evidence: tuple[Evidence, ...] = (
                area_plot(detector, areas),
                histogram_plot(detector, np.asarray(normal["scores"][detector]), others),
            )
            if detector == asked[0]:
                evidence = (*evidence, *self._common_evidence(found, asked, sets, settings, context))
            findings.append(worst_finding(self.name, detector, "all", found, count, protocol, evidence))
            for family in ("far", "near"):
                some = [item for item in found if item.family == family]
                if some:
                    findings.append(worst_finding(self.name, detector, family, some, count, protocol))
        for item in found:
            for detector in asked:
                findings += set_findings(self.name, detector, item, count, protocol)
        findings += [unavailable_finding(self.name, name) for name in settings.detectors if name not in asked]
        control = _measured(normal["metrics"])
        return findings + [control_finding(self.name, name, control[name]["auroc"], count, protocol) for name in asked]

    def estimate(self, settings: OodSettings, samples: int, classes: int) -> str:
        """Forward passes of about six sets and the reference."""
        return f"about {self.passes(settings, samples, classes).forward:,} forward passes"

    def passes(self, settings: OodSettings, samples: int, classes: int) -> Passes:
        """As ``estimate`` says."""
        return Passes(forward=min(samples, settings.samples) * 6 + samples)

    def _prepare(self, settings: OodSettings, context: Context) -> _Prepared:
        if self._memo is not None and self._memo[0]() is context and self._memo[1] == settings:
            return self._memo[2]
        fit, test = _split(settings, context)
        source = context.reference or context.data
        known = torch.from_numpy(np.ascontiguousarray(source.samples[fit]))
        labels = torch.from_numpy(source.labels[fit]).to(context.device)
        reference = activations_of(context.classifier, known, batch=settings.batch, what="the reference")
        panel = fit_panel(settings.detectors, reference, labels.to(reference.logits.device))
        samples = context.samples(tuple(int(i) for i in test))
        shown = activations_of(context.classifier, samples, batch=settings.batch, what="the evaluation samples")
        ready = _Prepared(
            panel=panel,
            samples=samples.cpu(),
            labels=torch.from_numpy(context.data.labels[test]),
            scores=score_panel(panel, shown),
        )
        self._memo = (weakref.ref(context, self._forget), settings, ready)
        return ready

    def _forget(self, _: weakref.ref[Context]) -> None:
        """A fitted panel lives as long as the audit it was fitted for."""
        self._memo = None

    def _samples(self, name: str, settings: OodSettings, context: Context, ready: _Prepared) -> Tensor:
        count = min(settings.samples, len(ready.samples))
        if name in context.ood:
            given = context.ood[name]
            indices = given.stratified_indices(settings.samples, context.seed)
            return torch.from_numpy(np.ascontiguousarray(given.samples[indices]))
        generator = context.torch_generator(self.name, name)
        box = context.classifier.input_box
        makers = {
            "uniform noise": lambda: uniform_noise(box, count, generator),
            "gaussian noise": lambda: gaussian_noise(box, count, generator),
            "permuted pixels": lambda: permuted_pixels(ready.samples, generator),
            "permuted columns": lambda: permuted_columns(ready.samples, generator),
            "mixtures of two classes": lambda: mixtures(ready.samples, ready.labels, count, generator),
            "quarter turns": lambda: quarter_turns(ready.samples),
        }
        return makers[name]()

    def _common_evidence(
        self,
        found: list[SetResult],
        asked: list[DetectorName],
        sets: Results,
        settings: OodSettings,
        context: Context,
    ) -> tuple[Evidence, ...]:
        rows = [(detector, item.name, item.family, item.metrics[detector]) for detector in asked for item in found]
        text = f"Detectors were fitted on {_fit_on(settings, context)}; nothing was tuned on abnormal inputs."
        evidence: tuple[Evidence, ...] = (panel_table(rows), Note(text=text))
        examples = {shard.parameters["set"]: payload for shard, payload in sets if "examples" in payload}
        if not examples:
            return evidence
        box = context.classifier.input_box
        pictures = example_images(
            examples, context.classifier.class_names, box.lower.cpu().numpy(), box.upper.cpu().numpy()
        )
        return (*evidence, pictures)


def _sets(settings: OodSettings, context: Context) -> dict[str, tuple[str, str]]:
    """Name -> family and origin, in the order of the report."""
    sets = {"uniform noise": ("far", "synthetic"), "gaussian noise": ("far", "synthetic")}
    picture = is_picture(context.classifier.input_shape)
    sets["permuted pixels" if picture else "permuted columns"] = ("far" if picture else "near", "synthetic")
    for name in context.ood:
        sets[name] = ("near" if name in settings.near else "far", "data")
    _, test = _split(settings, context)
    if len(np.unique(context.data.labels[test])) > 1:
        sets["mixtures of two classes"] = ("near", "synthetic")
    if picture:
        sets["quarter turns"] = ("near", "synthetic")
    return sets


def _check_sets(settings: OodSettings, context: Context) -> None:
    for name in settings.near:
        if name not in context.ood:
            raise PlanError(
                "checks.ood.near names a set that was not given",
                wanted=", ".join(context.ood) or "no out-of-distribution data were given",
                got=name,
            )
    for name, given in context.ood.items():
        if given.sample_shape != tuple(context.classifier.input_shape):
            raise DataShapeError(
                f"the out-of-distribution set {name!r} ({given.source}) does not fit the model's input",
                wanted=tuple(context.classifier.input_shape),
                got=given.sample_shape,
            )


def _split(settings: OodSettings, context: Context) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices to fit on (into the reference, or into the data) and to test on (into the data)."""
    if context.reference is not None:
        fit = context.reference.stratified_indices(settings.reference_samples, context.seed)
        return fit, context.data.stratified_indices(settings.samples, context.seed)
    half = context.data.stratified_indices(len(context.data) // 2, context.seed)
    rest = np.setdiff1d(np.arange(len(context.data), dtype=np.int64), half)
    fit = half[context.data.take(half).stratified_indices(settings.reference_samples, context.seed)]
    return fit, rest[context.data.take(rest).stratified_indices(settings.samples, context.seed)]


def _fit_on(settings: OodSettings, context: Context) -> str:
    fit, _ = _split(settings, context)
    if context.reference is not None:
        return f"{len(fit)} samples of {context.reference.name}"
    return f"{len(fit)} evaluation samples, not tested on"


def _examples(samples: Tensor, shown: Activations, settings: OodSettings, context: Context) -> Payload:
    count = min(settings.examples, len(samples))
    if not count or not is_picture(tuple(context.classifier.input_shape)):
        return {}
    return {
        "examples": samples[:count].cpu().numpy(),
        "answers": shown.logits[:count].argmax(dim=1).cpu().numpy(),
        "confidences": shown.logits[:count].softmax(dim=1).amax(dim=1).cpu().numpy(),
    }


def _plain(metrics: Mapping[str, Mapping[str, Measured]]) -> dict[str, Any]:
    return {
        detector: {
            metric: [item.value, item.interval.model_dump(), item.simultaneous.model_dump()]
            for metric, item in found.items()
        }
        for detector, found in metrics.items()
    }


def _measured(plain: Mapping[str, Any]) -> dict[str, dict[str, Measured]]:
    return {
        detector: {
            metric: Measured(value, Interval.model_validate(interval), Interval.model_validate(simultaneous))
            for metric, (value, interval, simultaneous) in found.items()
        }
        for detector, found in plain.items()
    }
