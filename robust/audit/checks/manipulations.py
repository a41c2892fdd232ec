"""The check ``manipulations``: changes of a picture that a person can imagine, searched to the last one or proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotApplicableError,
    NotAssessedError,
    Passes,
    Payload,
    Results,
    Shard,
)
from robust.audit.checks.manipulation_findings import findings
from robust.audit.pictures import is_picture
from robust.errors import GraphError, PlanError, PropertyError
from robust.graph import trace
from robust.properties import Box, Property, misclassification
from robust.properties.affine_image import AffineImage
from robust.properties.geometry import rotation
from robust.properties.manipulations import Blur, Camera, Light, Manipulation, Occlusion, Pixels, Scratch
from robust.properties.parametrised import Parametrised, composed
from robust.properties.union import split_property
from robust.record import Finding, Verdict
from robust.subjects.torch_files import call_factory
from verifiers import Network
from verifiers.bound_stages import crown, interval
from verifiers.deadline import Deadline
from verifiers.decide import decide, input_splitting
from verifiers.exhaustive import search

Family = Literal["pixels", "scratch", "occlusion", "brightness", "contrast", "camera angle", "shift", "zoom", "blur"]
FAMILIES: tuple[Family, ...] = (
    "pixels", "scratch", "occlusion", "brightness", "contrast", "camera angle", "shift", "zoom", "blur",
)  # fmt: skip
CONTINUOUS = ("brightness", "contrast", "camera angle")
"""Families that are also proved between the steps of their grid."""


class ManipulationsSettings(CheckSettings):
    """Keys of ``[checks.manipulations]``."""

    samples: int = Field(default=3, ge=1, description="rightly answered samples")
    families: tuple[Family, ...] = Field(default=FAMILIES, description="which manipulations")
    own: tuple[str, ...] = Field(
        default=(), description="further ones of your own: package.module:factory that builds a Manipulation"
    )
    pixels: int = Field(default=1, ge=1, description="how many pixels are set at once, to the lowest or highest value")
    scratch: int | None = Field(default=None, ge=2, description="length of a scratch in pixels; default a quarter side")
    occlusion: int | None = Field(default=None, ge=1, description="side of a covered square; default an eighth, >= 2")
    brightness: float = Field(default=0.2, gt=0, le=1, description="largest change, as a share of the range")
    contrast: float = Field(default=0.3, gt=0, lt=1, description="factors from 1 - contrast to 1 + contrast")
    rotation: float = Field(default=10.0, gt=0, le=180, description="largest angle in degrees, both ways")
    shift: int | None = Field(default=None, ge=1, description="largest shift in pixels; default a fourteenth, >= 1")
    zoom: float = Field(default=0.1, gt=0, lt=1, description="scales from 1 - zoom to 1 + zoom")
    blur: float = Field(default=1.0, gt=0, description="largest standard deviation of a blur, in pixels")
    steps: int = Field(default=21, ge=3, description="steps of a grid, an odd number so that no change is one of them")
    most: int = Field(default=20_000, ge=1, description="pictures per sample and family; of larger sets some are drawn")
    cells: int = Field(default=200, ge=1, description="pieces that a range of angles is cut into to be proved")
    seconds: float = Field(default=5.0, ge=0, le=86_400, description="proof per sample and continuous family; 0: none")
    images: int = Field(default=2, ge=0, description="broken samples shown per family")


class ManipulationsCheck(Check):
    """Exhaustive search of finite sets, bounds over continuous ones."""

    name: ClassVar[str] = "manipulations"
    title: ClassVar[str] = "Manipulations that people mean"
    question: ClassVar[str] = (
        "Does a scratch, a spot, other light or another camera angle change an answer that a person would keep?"
    )
    threat_model: ClassVar[str] = "Wear, weather, cameras and vandals: anybody who may do what the named sets hold."
    limitations: ClassVar[tuple[str, ...]] = (
        "Complete speaks of the pictures in a set as it is numbered, not of what lies between its steps.",
        "That a person would keep the answer is assumed of every set; look at the pictures.",
        "A few samples: the interval says how little they tell of the data.",
    )
    Settings: ClassVar[type[CheckSettings]] = ManipulationsSettings

    def plan(self, settings: ManipulationsSettings, context: Context) -> list[Shard]:
        """One shard per family.

        Raises:
            NotApplicableError: no pictures.
            NotAssessedError: no sample is answered rightly.
            PlanError: a set that is none, or does not fit the pictures.
        """
        shape = context.classifier.input_shape
        if not is_picture(shape) or shape[-1] in (1, 3):
            raise NotApplicableError("manipulations are asked of pictures, channels first", got=list(shape))
        right = np.flatnonzero(np.asarray(context.predictions == context.data.labels))
        if not len(right):
            raise NotAssessedError("no evaluation sample is answered rightly, so no answer could be kept")
        order = context.rng(self.name, "samples").permutation(right)
        indices = tuple(sorted(int(index) for index in order[: settings.samples]))
        shards = []
        for name in dict.fromkeys((*settings.families, *settings.own)):
            made = manipulation(name, settings, shape)
            parameters = {"family": name, "set": repr(made), "most": settings.most, "seconds": settings.seconds}
            if name in CONTINUOUS:
                parameters["cells"] = settings.cells
            shards.append(Shard(self.name, name, parameters, indices))
        return shards

    def run(self, shard: Shard, settings: ManipulationsSettings, context: Context) -> Payload:
        """Per sample: how many pictures were asked and broken, a witness and its words, and what was proved."""
        classifier, name = context.classifier, shard.parameters["family"]
        made = manipulation(name, settings, classifier.input_shape)
        found = []
        for index in shard.indices:
            x, label = context.samples((index,))[0], int(context.labels((index,))[0])
            searched = search(
                classifier.replay,
                x,
                label,
                made,
                classifier.input_box,
                most=settings.most,
                generator=context.torch_generator(self.name, name, index),
            )
            proved = self._proved(name, x, label, settings, context)
            found.append(
                {
                    "verdict": str(searched.verdict),
                    "asked": searched.asked,
                    "count": searched.count,
                    "broken": searched.broken,
                    "words": "" if searched.number is None else made.words(searched.number, tuple(x.shape)),
                    "answer": searched.answer,
                    "witness": None if searched.witness is None else searched.witness.cpu().numpy(),
                    "proved": None if proved is None else str(proved),
                }
            )
        return {"name": made.name, "samples": found, "same": self._unchanged(made, shard, context)}

    def conclude(
        self, results: Results, settings: ManipulationsSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Per family the share that keeps its answer and the share that is proved, with pictures; the control."""
        return findings(results, settings.images, context)

    def estimate(self, settings: ManipulationsSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        sets = len(settings.families) + len(settings.own)
        return f"at most {min(samples, settings.samples) * sets * settings.most:,} pictures, usually a tenth of that"

    def passes(self, settings: ManipulationsSettings, samples: int, classes: int) -> Passes | None:
        """At most."""
        sets = len(settings.families) + len(settings.own)
        return Passes(forward=min(samples, settings.samples) * sets * settings.most)

    @staticmethod
    def _unchanged(made: Manipulation, shard: Shard, context: Context) -> bool | None:
        """Whether a member that says that nothing changes leaves logits as they are; None where there is none."""
        shape = context.classifier.input_shape
        count = made.count(shape)
        same = next((n for n in range(min(count, 1000)) if made.words(n, shape) == "no change"), None)
        if same is None:
            return None
        x = context.samples(shard.indices[:1])
        picture = made.pictures(x[0], torch.tensor([same]), context.classifier.input_box)
        return bool(torch.allclose(context.classifier.replay(picture), context.classifier.replay(x), atol=1e-4))

    def _proved(
        self, name: str, x: Tensor, label: int, settings: ManipulationsSettings, context: Context
    ) -> Verdict | None:
        """Whether the answer stays between the steps as well; None where that is not asked."""
        module = context.classifier.module()
        if name not in CONTINUOUS or settings.seconds <= 0 or module is None:
            return None
        box, classes = context.classifier.input_box, len(context.classifier.class_names)
        try:
            cases, network = _continuous(name, x, label, classes, box, module, settings)
            stages = (("interval", interval), ("crown", crown), ("input splitting", input_splitting))
            return decide(network, cases, deadline=Deadline(settings.seconds), stages=stages).verdict
        except (GraphError, PropertyError):
            return None


def manipulation(name: str, settings: ManipulationsSettings, shape: tuple[int, ...]) -> Manipulation:
    """The set of a family, or one of the user's own.

    Raises:
        UsageError: an own one that cannot be built.
        PlanError: an own one that is none; a set that does not fit the picture.
    """
    side = min(shape[-2:])
    odd = settings.steps // 2 * 2 + 1

    def grid(low: float, high: float) -> tuple[float, ...]:
        return tuple(float(f"{value:.6g}") for value in np.linspace(low, high, odd))

    shift = settings.shift or max(1, side // 14)
    moves = tuple(map(float, range(-shift, shift + 1)))
    made: dict[str, Manipulation] = {
        "pixels": Pixels(settings.pixels),
        "scratch": Scratch(settings.scratch or max(2, side // 4)),
        "occlusion": Occlusion(*(settings.occlusion or max(2, side // 8),) * 2),
        "brightness": Light(brightness=grid(-settings.brightness, settings.brightness)),
        "contrast": Light(contrast=grid(1 - settings.contrast, 1 + settings.contrast)),
        "camera angle": Camera(angles=grid(-settings.rotation, settings.rotation)),
        "shift": Camera("shift", rows=moves, columns=moves),
        "zoom": Camera("zoom", scales=grid(1 - settings.zoom, 1 + settings.zoom)),
        "blur": Blur(tuple(float(f"{value:.6g}") for value in np.linspace(0, settings.blur, odd // 2 + 1))),
    }
    found = made[name] if name in made else _own(name)
    try:
        found.count(shape)
    except PropertyError as error:
        raise PlanError(error.message, wanted=error.wanted, got=error.got) from error
    return found


def _own(source: str) -> Manipulation:
    made: Any = call_factory(source)
    if not isinstance(made, Manipulation):
        raise PlanError(
            f"{source!r} builds no manipulation", wanted="name, count, pictures and words", got=type(made).__name__
        )
    return made


def _continuous(
    name: str, x: Tensor, label: int, classes: int, box: Box, module: nn.Module, settings: ManipulationsSettings
) -> tuple[tuple[Property, ...], Network]:
    """The whole range of a family as cases, and the network they are asked of."""
    device = x.device
    if name == "camera angle":
        union = rotation(x, -settings.rotation, settings.rotation, cells=settings.cells, box=box)
        graph = trace(module, tuple(x.shape), device=device, box=box)
        return split_property(misclassification(union, label, classes)), Network(graph)
    middle, width = (box.lower + box.upper) / 2, box.upper - box.lower
    if name == "brightness":
        image = AffineImage(x, width[None], _interval(-settings.brightness, settings.brightness))
    else:
        image = AffineImage(middle, (x - middle)[None], _interval(1 - settings.contrast, 1 + settings.contrast))
    question = misclassification(Parametrised(image.module(), image.box, (box.lower, box.upper)), label, classes)
    whole, parameters = composed(question, module)
    graph = trace(whole, parameters.shape, device=device, box=parameters)
    return (Property(parameters, question.unsafe, question.name),), Network(graph)


def _interval(low: float, high: float) -> Box:
    return Box(torch.tensor([low], dtype=torch.float64), torch.tensor([high], dtype=torch.float64))
