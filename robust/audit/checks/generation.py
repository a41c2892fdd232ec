"""Check ``generation``: are a generator's samples true to the data, to the class asked for, varied, and its own?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from torch import Tensor

from robust.audit.check import Check, CheckSettings, Context, Need, NotAssessedError, Payload, Results, Shard
from robust.audit.checks.generation_controls import control_findings
from robust.audit.checks.generation_findings import findings
from robust.audit.checks.generation_report import Report
from robust.errors import ModelShapeError
from robust.generation.assess import (
    Assessment,
    CopyAssessment,
    assess,
    copy_test,
    held_out_copy_test,
    judged_classes,
)
from robust.generation.controls import memoriser, mode_dropper, one_per_class
from robust.generation.real_side import RealSide, real_side
from robust.generation.sampling import class_quota, draw, fit_into_box
from robust.record import Finding
from robust.subjects.protocols import Classifier, Generator

FEWEST = 40
"""Fewer real or generated samples than this support none of the measures; without training data, twice as many."""

_ASSESSMENT = TypeAdapter(Assessment)


class GenerationSettings(CheckSettings):
    """Keys of the check ``generation``."""

    samples: int = Field(default=500, ge=FEWEST, description="samples to generate")
    copy_quantile: float = Field(
        default=0.01, gt=0, lt=0.5, description="a copy is nearer to training data than this share of real samples"
    )
    shown: int = Field(default=8, ge=1, le=16, description="generated samples shown per class")
    pairs: int = Field(default=6, ge=1, le=16, description="pairs of generated and nearest training sample shown")
    batch: int = Field(default=256, ge=1, description="samples decoded at once")


class GenerationCheck(Check):
    """Measures of a generator, with generators of known faults as controls."""

    name: ClassVar[str] = "generation"
    title: ClassVar[str] = "Generator"
    question: ClassVar[str] = (
        "Are generated samples like real ones, of the class that was asked for, as varied as real ones, and not copies "
        "of training samples?"
    )
    limitations: ClassVar[tuple[str, ...]] = (
        "The Frechet distance depends on the layer and on the sample sizes; it is no FID and compares with none.",
        "Distances to training samples are Euclidean on inputs: a shifted, mirrored or recoloured copy is not found.",
        "The share of copies is over all classes at once, so a class dense by nature weighs more; C_T is per class.",
        "Class agreement is the opinion of a judge whose own accuracy is stated; it says nothing of beauty.",
        "Only the prior was sampled. What an adversary could make the generator produce was not asked.",
    )
    Settings: ClassVar[type[CheckSettings]] = GenerationSettings
    needs: ClassVar[tuple[Need, ...]] = ("generator",)

    def __init__(self) -> None:
        self._prepared: tuple[Context, RealSide] | None = None

    def plan(self, settings: GenerationSettings, context: Context) -> list[Shard]:
        """One shard for the generator, one per control.

        Raises:
            NotAssessedError: no generator, or too few real samples.
            ModelShapeError: the generator's samples or classes do not fit the data.
        """
        generator = _generator(context)
        _check_fit(generator, context)
        sources = ["generator", "real", "one image per class"]
        if context.reference is not None:
            sources.append("memoriser")
        sources.append("wrong class" if generator.conditions else "mode dropper")
        parameters = {
            "samples": settings.samples,
            "copy_quantile": settings.copy_quantile,
            "shown": settings.shown,
            "pairs": settings.pairs,
            "generator": generator.digest,
            "reference": "none" if context.reference is None else context.reference.digest,
        }
        return [Shard(self.name, source, {"source": source, **parameters}) for source in sources]

    def run(self, shard: Shard, settings: GenerationSettings, context: Context) -> Payload:
        """Make or take the samples of one source and measure them.

        Raises:
            ModelShapeError, NonFiniteError, DataRangeError: the generator's samples cannot be used.
        """
        source = str(shard.parameters["source"])
        real, rng = self._real(context), context.rng(self.name, source)
        generator = _generator(context)
        payload: Payload = {}
        if source == "generator":
            samples, asked, payload["outside"] = _generated(generator, settings, context, real, rng)
        else:
            samples, named = _planted(source, settings, context, real, rng)
            asked = named if generator.conditions else None
        judged = judged_classes(samples, real)
        labels = judged if asked is None else asked
        copying, neighbours = self._copying(source, samples, labels, real, settings, rng)
        measured = assess(samples, asked, judged, real, copying, rng if source in ("generator", "real") else None)
        payload["assessment"] = _ASSESSMENT.dump_python(measured, mode="json")
        if source == "generator":
            payload |= _gallery(samples, labels, real, settings)
            if neighbours is not None:
                payload |= _pairs(samples, *neighbours, real, settings)
        return payload

    def conclude(
        self, results: Results, settings: GenerationSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Findings of the generator, then of the controls."""
        payloads = {str(shard.parameters["source"]): payload for shard, payload in results}
        measured = {source: _ASSESSMENT.validate_python(payload["assessment"]) for source, payload in payloads.items()}
        report = Report(
            generator=_generator(context),
            context=context,
            real=self._real(context),
            measured=measured,
            payload=payloads["generator"],
            quantile=settings.copy_quantile,
        )
        return [*findings(report), *control_findings(report)]

    def estimate(self, settings: Any, samples: int, classes: int) -> str:
        """Cost in words."""
        return f"{settings.samples:,} generated samples, measured with 4 or 5 controls; a few seconds for small images"

    def _real(self, context: Context) -> RealSide:
        """The real side, prepared once per audit: a pure function of the context."""
        if self._prepared is None or self._prepared[0] is not context:
            features, layer = _features(context.classifier, context.samples(range(1)))
            real = real_side(
                context.data,
                context.reference,
                context.classifier.class_names,
                context.classifier.input_box,
                features,
                layer,
                context.rng(self.name, "real side"),
                context.device,
            )
            self._prepared = (context, real)
        return self._prepared[1]

    @staticmethod
    def _copying(
        source: str,
        samples: Tensor,
        labels: NDArray[np.int64],
        real: RealSide,
        settings: GenerationSettings,
        rng: np.random.Generator,
    ) -> tuple[CopyAssessment | None, tuple[Tensor, Tensor] | None]:
        if source == "real":
            return held_out_copy_test(real, settings.copy_quantile, rng), None
        tested = copy_test(samples, labels, real, settings.copy_quantile)
        return (None, None) if tested is None else (tested[0], tested[1:])


def _generator(context: Context) -> Generator:
    if context.generator is None:
        raise NotAssessedError(
            "no generator was given", wanted="a trained generator", hint="name one as the generator of the plan"
        )
    return context.generator


def _check_fit(generator: Generator, context: Context) -> None:
    shape, classes = context.data.sample_shape, len(context.classifier.class_names)
    if tuple(generator.output_shape) != shape:
        raise ModelShapeError(
            f"generator {generator.name} makes samples of another shape than the data",
            wanted=shape,
            got=tuple(generator.output_shape),
        )
    if generator.conditions not in (0, classes):
        raise ModelShapeError(
            f"generator {generator.name} knows other classes than the classifier",
            wanted=f"{classes} classes, or none",
            got=generator.conditions,
        )
    needed = FEWEST if context.reference is not None else 2 * FEWEST
    if len(context.data) < needed:
        raise NotAssessedError(
            "too few real samples to hold generated ones against", wanted=needed, got=len(context.data)
        )
    if context.reference is not None and len(context.reference) < FEWEST:
        raise NotAssessedError("too few training samples to judge by", wanted=FEWEST, got=len(context.reference))
    if len(np.unique(context.data.labels)) < 2:
        raise NotAssessedError("the real samples are all of one class", wanted="at least 2 classes", got=1)


def _features(classifier: Classifier, sample: Tensor) -> tuple[Callable[[Tensor], Tensor], str]:
    """Samples ``[n, *shape]`` to features ``[n, d]`` and what they are; inputs where the classifier shows none."""
    if classifier.features(sample) is None:
        return lambda samples: samples.flatten(1), "inputs (the classifier shows no inner layer)"

    def inner(samples: Tensor) -> Tensor:
        parts = [classifier.features(samples[start : start + 256]) for start in range(0, len(samples), 256)]
        return torch.cat([part for part in parts if part is not None])

    return inner, f"input of the last affine layer of {classifier.name}"


def _generated(
    generator: Generator, settings: GenerationSettings, context: Context, real: RealSide, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.int64] | None, float]:
    asked = class_quota(context.data.labels, settings.samples, rng) if generator.conditions else None
    source = context.torch_generator("generation", "latents")
    samples = draw(generator, settings.samples, asked, source, batch=settings.batch).to(context.device)
    inside, outside = fit_into_box(samples, real.box, generator.name)
    return inside, asked, outside


def _planted(
    source: str, settings: GenerationSettings, context: Context, real: RealSide, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.int64]]:
    """Samples and their labels of a control, made of known real samples."""
    if source == "memoriser":
        return memoriser(real.known, real.known_labels, real.box, settings.samples, rng)
    if source == "mode dropper":
        return mode_dropper(real.known, real.known_labels, settings.samples, rng)
    if source == "one image per class":
        asked = class_quota(context.data.labels, settings.samples, rng)
        rows = _agreed(real)
        return one_per_class(real.known[torch.from_numpy(rows).to(real.known.device)], real.known_labels[rows], asked)
    rows = np.sort(rng.choice(len(real.known), size=min(settings.samples, len(real.known)), replace=False))
    labels = real.known_labels[rows]
    if source == "wrong class":
        labels = (labels + 1) % len(real.bench.names)
    return real.known[torch.from_numpy(rows).to(real.known.device)], labels


def _agreed(real: RealSide) -> NDArray[np.int64]:
    """Known samples, twenty a class at most, on whose class the judge agrees; all of them where it never does."""
    labels = real.known_labels
    rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[:20] for label in np.unique(labels)]))
    judged = judged_classes(real.known[torch.from_numpy(rows).to(real.known.device)], real)
    right = rows[judged == labels[rows]]
    return right if len(right) else rows


def _gallery(samples: Tensor, labels: NDArray[np.int64], real: RealSide, settings: GenerationSettings) -> Payload:
    """The first samples of every class (asked for or judged), in box units: at most ten classes."""
    rows = [np.flatnonzero(labels == label)[: settings.shown] for label in np.unique(labels)[:10]]
    picked = np.concatenate(rows).astype(np.int64)
    return {"gallery": _pictures(samples, picked, real), "gallery_labels": labels[picked]}


def _pairs(
    samples: Tensor, distances: Tensor, neighbours: Tensor, real: RealSide, settings: GenerationSettings
) -> Payload:
    """The generated samples nearest to a training sample, beside it, in box units."""
    nearest = torch.argsort(distances, stable=True)[: settings.pairs].cpu()
    rows = nearest.numpy()
    return {
        "pairs_generated": _pictures(samples, rows, real),
        "pairs_training": _pictures(real.known, neighbours.cpu()[nearest].numpy(), real),
        "pairs_distance": distances.cpu()[nearest].numpy(),
    }


def _pictures(samples: Tensor, rows: NDArray[np.int64], real: RealSide) -> NDArray[np.float32]:
    chosen = samples[torch.from_numpy(rows).to(samples.device)]
    return real.scaled(chosen).reshape(chosen.shape).to("cpu", torch.float32).numpy()
