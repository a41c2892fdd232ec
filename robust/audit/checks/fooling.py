"""The check ``fooling``: how sure is the model of inputs that show nothing?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from attacks.attack import gives_gradients
from attacks.fooling import Fooling, FoolingMethod, GradientAscent, MapElites, PatternElites
from attacks.fooling.fooling import log_confidences, to_box
from attacks.fooling.nearest import nearest_distances
from robust.audit.check import Check, CheckSettings, Context, NotAssessedError, Passes, Payload, Results, Shard
from robust.audit.fooling_findings import fooling_findings
from robust.audit.fooling_realism import MOST_CHAINS, REALISM, realism_payload, realism_possible
from robust.audit.fooling_told import real_side, told_by
from robust.data.dataset import Dataset
from robust.record import Finding

MethodName = Literal["gradient_ascent", "map_elites", "cppn"]
METHODS: dict[str, type[FoolingMethod]] = {
    "gradient_ascent": GradientAscent,
    "map_elites": MapElites,
    "cppn": PatternElites,
}

REFERENCE_SAMPLES = 200
"""Evaluation samples whose own distance to the data is the yardstick."""

NOISE_BATCH = 500


class FoolingSettings(CheckSettings):
    """Keys of ``[checks.fooling]``."""

    methods: tuple[MethodName, ...] = Field(
        default=("gradient_ascent", "map_elites"), min_length=1, description="gradient_ascent, map_elites, cppn"
    )
    confidence: float = Field(default=0.9999, gt=0, le=1, description="confidence at which the search for a class ends")
    fooled_at: float = Field(default=0.99, gt=0, le=1, description="from this confidence on a class counts as fooled")
    classes: int = Field(default=50, ge=1, description="classes fooled at most, evenly spaced over all")
    reject: str | None = Field(
        default=None, description="name of a class that means none of the others: nobody is fooled into it"
    )
    gallery: int = Field(default=20, ge=0, description="classes shown at most")
    evaluations: int = Field(default=40_000, ge=1, description="MAP-Elites, CPPN: inputs shown to the model at most")
    batch: int = Field(default=100, ge=1, description="MAP-Elites, CPPN: children per generation")
    steps: int = Field(default=200, ge=1, description="gradient ascent: steps of one start")
    restarts: int = Field(default=3, ge=1, description="gradient ascent: starts of one class")
    penalty: float = Field(default=0.1, ge=0, description="gradient ascent: weight of the L2 term at the first start")
    total_variation: float = Field(default=0, ge=0, description="gradient ascent: weight of the roughness of pictures")
    jitter: int = Field(default=0, ge=0, description="gradient ascent: pixels that pictures are moved by at most")
    noise: int = Field(default=1000, ge=1, description="random inputs drawn by the control")
    realism: bool = Field(
        default=True,
        description="also sample with a prior (Plug and Play), from none to strong: realism against activation",
    )


class FoolingCheck(Check):
    """Gradient ascent and MAP-Elites against every class, with random inputs as the control."""

    name = "fooling"
    title = "Fooling inputs"
    question = "Can inputs that show nothing be made, which the model calls a class with near certainty?"
    threat_model = (
        "The attacker may show the model any input of the box. Gradient ascent knows the gradients; MAP-Elites sees "
        "confidences only."
    )
    limitations = (
        "That a fooling input shows nothing is not measured: its distance to the data stands in for that, and the "
        "gallery is for looking.",
        "A class that was not fooled within the budget is not thereby safe.",
    )
    Settings = FoolingSettings
    version = 2

    def plan(self, settings: FoolingSettings, context: Context) -> list[Shard]:
        """One shard per method, all classes in one batch; then the control."""
        gradients = gives_gradients(context.classifier, context.samples([0]))
        methods = [m for m in dict.fromkeys(settings.methods) if gradients or m != "gradient_ascent"]
        if not methods:
            raise NotAssessedError(
                f"gradient ascent needs gradients, and {context.classifier.name} gives none",
                wanted="a differentiable subject, or the method `map_elites` in the plan",
            )
        names = context.classifier.class_names
        if settings.reject is not None and (settings.reject not in names or len(names) < 2):
            raise NotAssessedError("checks.fooling.reject names no class", wanted=names[:20], got=settings.reject)
        known = [place for place, name in enumerate(names) if name != settings.reject]
        targets = [known[place] for place in spread(len(known), settings.classes)]
        shards = [
            Shard("fooling", method, {"method": method, "targets": targets, **_hyperparameters(method, settings)})
            for method in methods
        ]
        if settings.realism and gradients and realism_possible(context):
            few = [known[place] for place in spread(len(known), min(settings.classes, MOST_CHAINS))]
            shards.append(Shard("fooling", "plug and play", {"method": REALISM, "targets": few}))
        return [
            *shards,
            Shard("fooling", "random inputs", {"method": "noise", "targets": targets, "n": settings.noise}),
        ]

    def run(self, shard: Shard, settings: FoolingSettings, context: Context) -> Payload:
        """Make, replay and measure the inputs of one method; or the control's."""
        method, targets = str(shard.parameters["method"]), list(shard.parameters["targets"])
        generator = context.torch_generator("fooling", method)
        if method == "noise":
            return _noise(int(shard.parameters["n"]), targets, generator, context) | real_side(context)
        if method == REALISM:
            return realism_payload(context, targets, generator)
        hyperparameters = {k: v for k, v in shard.parameters.items() if k not in ("method", "targets")}
        maker = METHODS[method](**hyperparameters)
        made = maker(context.classifier, generator, targets)
        return _payload(made, context) | told_by(made, context, settings.gallery)

    def conclude(
        self, results: Results, settings: FoolingSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Confidence, share of classes fooled and distance per method; the controls; one gallery."""
        return fooling_findings(results, settings, context)

    def estimate(self, settings: FoolingSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        passes = self.passes(settings, samples, classes)
        return f"at most {passes.gradient:,} forward and backward and {passes.forward:,} forward passes"

    def passes(self, settings: FoolingSettings, samples: int, classes: int) -> Passes:
        """The budgets."""
        ascent = min(classes, settings.classes) * (settings.steps + 1) * settings.restarts
        return Passes(
            forward=settings.noise + len({"map_elites", "cppn"} & set(settings.methods)) * settings.evaluations,
            gradient=("gradient_ascent" in settings.methods) * ascent,
        )


def spread(classes: int, limit: int) -> list[int]:
    """At most ``limit`` classes of ``classes``, evenly spaced, the first among them."""
    if classes <= limit:
        return list(range(classes))
    return [int(i * classes / limit) for i in range(limit)]


def _hyperparameters(method: str, settings: FoolingSettings) -> dict[str, Any]:
    if method != "gradient_ascent":
        return {"target": settings.confidence, "evaluations": settings.evaluations, "batch": settings.batch}
    return {
        "target": settings.confidence,
        "steps": settings.steps,
        "restarts": settings.restarts,
        "penalty": settings.penalty,
        "total_variation": settings.total_variation,
        "jitter": settings.jitter,
    }


def _payload(made: Fooling, context: Context) -> Payload:
    samples = context.samples()
    nearest = nearest_distances(made.inputs, samples)
    if context.reference is not None and len(context.reference):
        nearest = torch.minimum(nearest, nearest_distances(made.inputs, _reference(context.reference, context)))
    return {
        "inputs": made.inputs.cpu().numpy(),
        "targets": made.targets.cpu().numpy(),
        "confidences": made.confidences.cpu().numpy(),
        "reached": made.reached.cpu().numpy(),
        "nearest": nearest.cpu().numpy(),
        "in_box": context.classifier.input_box.contains(made.inputs).cpu().numpy(),
        "evaluations": made.evaluations,
        "backward_passes": made.backward_passes,
        "history": [list(moment) for moment in made.history],
    }


def _reference(reference: Dataset, context: Context) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(reference.samples)).to(context.device)


def _noise(count: int, targets: list[int], generator: torch.Generator, context: Context) -> Payload:
    """Random inputs: the best confidence in each class, the largest of each input; and how far real data lie apart."""
    classifier = context.classifier
    best = torch.full((len(targets),), -torch.inf, dtype=torch.float64, device=classifier.device)
    largest = []
    for start in range(0, count, NOISE_BATCH):
        size = min(NOISE_BATCH, count - start)
        unit = torch.rand(size, *classifier.input_shape, generator=generator).to(classifier.device)
        scores = log_confidences(classifier.replay(to_box(unit, classifier.input_box)).to(classifier.device))
        best = torch.maximum(best, scores[:, targets].amax(0))
        largest.append(scores.amax(1).exp())
    few = context.samples(context.data.stratified_indices(REFERENCE_SAMPLES, context.seed).tolist())
    apart = torch.zeros(0, dtype=torch.float64)
    if context.reference is not None and len(context.reference):
        apart = nearest_distances(few, _reference(context.reference, context))
    elif len(few) > 1:
        apart = nearest_distances(few, few, skip_self=True)
    return {
        "confidences": best.exp().cpu().numpy(),
        "largest": torch.cat(largest).cpu().numpy(),
        "data_nearest": apart.cpu().numpy(),
        "data_against": "reference" if context.reference is not None and len(context.reference) else "themselves",
        "evaluations": count,
    }
