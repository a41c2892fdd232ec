"""The check ``absence``: over sets of inputs that show nothing, is there one that the model is sure of, or none?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor, nn

from attacks.fooling.fooling import log_confidences
from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotApplicableError,
    NotAssessedError,
    Payload,
    Results,
    Shard,
)
from robust.audit.checks.bounded_graph import BoundedGraphs
from robust.audit.pictures import as_picture, is_picture
from robust.errors import GraphError
from robust.graph import Graph, trace
from robust.properties import Box
from robust.properties.affine_image import AffineMap
from robust.record import Evidence, Finding, ImageItem, Images, Interval, Table, image_item
from verifiers import Deadline, Network
from verifiers.confidence import largest_confidence

SetName = Literal["grey", "black", "white", "flat"]
WORDS: dict[str, str] = {
    "grey": "noise around grey",
    "black": "noise around black",
    "white": "noise around white",
    "flat": "images of one brightness, any, with noise",
}
SHOWN = 3
"""Members of a set that are drawn to be shown."""


class AbsenceSettings(CheckSettings):
    """Keys of ``[checks.absence]``."""

    sets: tuple[SetName, ...] = Field(
        default=("grey", "flat"),
        min_length=1,
        description="grey, black, white: noise around the middle, the lower, the upper end of the box; flat: around "
        "images of one brightness, whatever it is",
    )
    radii: tuple[float, ...] = Field(
        default=(0.05, 0.2), min_length=1, description="half widths of the noise, as shares of the box"
    )
    reject: str | None = Field(
        default=None, description="name of a class that means none of the others: it may be as sure as it likes"
    )
    seconds: float = Field(default=5.0, gt=0, le=86_400, description="wall clock for one set, at most")

    @field_validator("radii")
    @classmethod
    def _radii(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < value <= 0.5 for value in values):
            raise ValueError(f"wanted shares of the box above 0 and at most 0.5, got {values}")
        return values


@dataclass(frozen=True, eq=False)
class _Region:
    """A set: where it lies among inputs, or among what ``map`` makes inputs of."""

    box: Box
    map: nn.Module | None

    def inputs(self, points: Tensor) -> Tensor:
        with torch.no_grad():
            return points if self.map is None else self.map(points)


class AbsenceCheck(Check):
    """The largest confidence over a set, proved from above and reached from below; see ``verifiers.confidence``."""

    name: ClassVar[str] = "absence"
    title: ClassVar[str] = "Where no fooling input exists"
    question: ClassVar[str] = (
        "Over sets of inputs that show nothing: how sure can the model be of any of them, and is there a proof?"
    )
    threat_model: ClassVar[str] = "Anybody who may show the model any input of the set."
    limitations: ClassVar[tuple[str, ...]] = (
        "The proof is about the sets named, and about no other input that shows nothing.",
        "It holds for the network as an operation graph over the real numbers, its rounding bounded.",
        "What is between the proved and the reached confidence is unknown, not safe; the search ends with its time.",
    )
    Settings: ClassVar[type[CheckSettings]] = AbsenceSettings

    def __init__(self) -> None:
        self._graphs = BoundedGraphs()

    def plan(self, settings: AbsenceSettings, context: Context) -> list[Shard]:
        """A shard for each set and radius.

        Raises:
            NotApplicableError: a black box, an operator without a rule, a single class.
        """
        self._graph(context)
        if len(context.classifier.class_names) < 2:
            raise NotApplicableError("a confidence needs two classes", got=1)
        names = context.classifier.class_names
        if settings.reject is not None and (settings.reject not in names or len(names) < 3):
            raise NotAssessedError(
                "checks.absence.reject names no class beside two others", wanted=names[:20], got=settings.reject
            )
        common = {"seconds": settings.seconds, **({} if settings.reject is None else {"reject": settings.reject})}
        return [
            Shard(self.name, f"{kind} {radius:g}", {"set": kind, "radius": radius, **common})
            for kind in dict.fromkeys(settings.sets)
            for radius in settings.radii
        ]

    def run(self, shard: Shard, settings: AbsenceSettings, context: Context) -> Payload:
        """``bound`` (proved), ``reached`` (replayed), ``label``, ``witness``, ``shown``, ``reason``."""
        region = _region(str(shard.parameters["set"]), float(shard.parameters["radius"]), context)
        graph = self._graph(context)
        if region.map is not None:
            module = context.classifier.module()
            assert module is not None
            try:
                chain = nn.Sequential(region.map, module).eval()
                graph = trace(chain, region.box.shape, device=context.device, box=region.box)
            except GraphError as error:
                reason = f"the set and the model cannot be read as one graph: {error.message}"
                return self._payload(1.0, region, region.box.lower, reason, shard, context)
        asked = _asked(shard, context)
        found = largest_confidence(Network(graph), region.box, Deadline(settings.seconds), labels=asked)
        return self._payload(found.bound, region, found.witness, found.reason, shard, context)

    def conclude(
        self, results: Results, settings: AbsenceSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """The largest confidence of each set, as an enclosure."""
        findings = [self._finding(shard, payload, context) for shard, payload in results]
        if findings:
            evidence: tuple[Evidence, ...] = (_table(results, context), *_pictures(results, context))
            findings[0] = findings[0].model_copy(update={"evidence": evidence, "headline": True})
        return findings

    def estimate(self, settings: AbsenceSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        count = len(set(settings.sets)) * len(settings.radii)
        return f"{count} sets, at most {settings.seconds:g} s each"

    def _payload(
        self, bound: float, region: _Region, witness: Tensor, reason: str, shard: Shard, context: Context
    ) -> Payload:
        box, classifier = classifier_box(context), context.classifier
        point = box.clamp(region.inputs(witness[None].to(context.device).float()))
        scores = log_confidences(classifier.replay(point).to(point.device))[0].exp()
        among = _asked(shard, context)
        label = among[int(scores[among].argmax())]
        generator = context.torch_generator(self.name, shard.name)
        share = torch.rand(SHOWN, *region.box.shape, generator=generator).to(context.device)
        drawn = region.inputs(region.box.lower + share * (region.box.upper - region.box.lower))
        return {
            "bound": bound,
            "reached": float(scores[label]),
            "label": label,
            "witness": point[0].cpu().numpy(),
            "shown": box.clamp(drawn).cpu().numpy(),
            "reason": reason,
        }

    def _finding(self, shard: Shard, payload: Payload, context: Context) -> Finding:
        kind, radius = str(shard.parameters["set"]), float(shard.parameters["radius"])
        bound, reached = float(payload["bound"]), min(float(payload["reached"]), 1.0)
        return Finding(
            check=self.name,
            metric="largest_confidence",
            parameters={"set": kind, "radius": radius},
            title=f"Largest confidence over {WORDS[kind]} of half width {radius:g}: proved never above the value",
            value=max(bound, reached),
            unit="share",
            interval=Interval(low=reached, high=max(bound, reached), level=1.0, method="enclosure"),
            better="lower",
            protocol=dict(shard.parameters),
        )

    def _graph(self, context: Context) -> Graph:
        return self._graphs.of(context.classifier, "proofs of absence")


def _asked(shard: Shard, context: Context) -> list[int]:
    """The classes that must not be sure of the set."""
    reject = shard.parameters.get("reject")
    return [place for place, name in enumerate(context.classifier.class_names) if name != reject]


def classifier_box(context: Context) -> Box:
    """Of the classifier's inputs, on the audit's device."""
    box = context.classifier.input_box
    return Box(box.lower.to(context.device), box.upper.to(context.device))


def _region(kind: str, radius: float, context: Context) -> _Region:
    box = classifier_box(context)
    width = box.upper - box.lower
    if kind != "flat":
        middle = {"grey": box.lower / 2 + box.upper / 2, "black": box.lower, "white": box.upper}[kind]
        low, high = middle - radius * width, middle + radius * width
        return _Region(Box(torch.maximum(low, box.lower), torch.minimum(high, box.upper)), None)
    shape = tuple(context.classifier.input_shape)
    noise = torch.diag(radius * width.flatten()).reshape(-1, *shape)
    chain = AffineMap(box.lower, torch.cat([width[None], noise])).to(context.device)
    ends = torch.ones(1 + width.numel(), device=context.device)
    low, high = -ends, ends.clone()
    low[0], high[0] = radius, 1 - radius  # so that no image leaves the box
    return _Region(Box(low, high), chain)


def _table(results: Results, context: Context) -> Table:
    names = context.classifier.class_names
    rows = []
    for shard, payload in results:
        bound, reached = float(payload["bound"]), float(payload["reached"])
        rows.append(
            (
                WORDS[str(shard.parameters["set"])],
                float(shard.parameters["radius"]),
                float(f"{bound:.6g}"),
                float(f"{reached:.6g}"),
                names[int(payload["label"])],
                str(payload["reason"]),
            )
        )
    return Table(
        title="The largest confidence in any class",
        columns=("set", "half width", "proved never above", "reached", "in class", "why the two are apart"),
        rows=tuple(rows),
        caption="Reached: by an input of the set, replayed on the model. A fooling input where that is high, a proof "
        "that there is none where the proved one is low, unknown in between.",
    )


def _pictures(results: Results, context: Context) -> list[Evidence]:
    classifier = context.classifier
    if not is_picture(tuple(classifier.input_shape)):
        return []
    rows: list[tuple[ImageItem, ...]] = []
    for shard, payload in results:
        kind = f"{WORDS[str(shard.parameters['set'])]}, {shard.parameters['radius']:g}"
        name = classifier.class_names[int(payload["label"])]
        shown: NDArray[np.float32] = np.asarray(payload["shown"], dtype=np.float32)
        said = f"never above {float(payload['bound']):.3g}"
        row = [
            image_item(as_picture(one, classifier.input_box), alt=f"a member of {kind}", caption=kind if not i else "")
            for i, one in enumerate(shown)
        ]
        surest = as_picture(np.asarray(payload["witness"], dtype=np.float32), classifier.input_box)
        caption = f"{name} at {float(payload['reached']):.3g}; {said}"
        rows.append((*row, image_item(surest, alt=f"the surest member found, {caption}", caption=caption)))
    return [
        Images(
            title="The sets, and the member that the model is surest of",
            columns=(*("drawn" for _ in range(SHOWN)), "surest"),
            rows=tuple(rows),
            caption="Each row is a set: members drawn from it, and the one of the largest confidence that was found, "
            "with the confidence that is proved never to be exceeded in the whole set.",
        )
    ]
