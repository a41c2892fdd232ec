"""The check ``corruptions``: how much accuracy is left under noise, blur, weather and bad processing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotApplicableError,
    Passes,
    Payload,
    Results,
    Shard,
    blocks,
)
from robust.audit.checks.corruption_findings import CONTROL, findings
from robust.audit.pictures import is_picture
from robust.properties.corruptions import CORRUPTIONS, corrupt_inputs
from robust.record import Finding

Name = Literal[
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
]  # fmt: skip
NAMES: tuple[Name, ...] = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
BLOCK = 50
"""Pictures that are corrupted at once."""


class CorruptionsSettings(CheckSettings):
    """Keys of ``[checks.corruptions]``."""

    samples: int = Field(default=200, ge=1, description="samples that are corrupted at most (stratified by class)")
    corruptions: tuple[Name, ...] = Field(default=NAMES, min_length=1, description="which corruptions")
    severities: tuple[Literal[1, 2, 3, 4, 5], ...] = Field(
        default=(1, 3, 5), min_length=1, description="how strong, from 1 to 5"
    )
    resamples: int = Field(default=1000, ge=100, description="bootstrap resamples of the mean corruption error")
    images: int = Field(default=6, ge=0, description="corruptions of which the worst picture is shown")


class CorruptionsCheck(Check):
    """Fifteen corruptions at some severities, each asked of the deployed model."""

    name: ClassVar[str] = "corruptions"
    title: ClassVar[str] = "Common corruptions"
    question: ClassVar[str] = "How often is the answer still right under noise, blur, weather and bad processing?"
    threat_model: ClassVar[str] = "Nobody: sensors, lenses, weather and software, which do not look for the worst case."
    limitations: ClassVar[tuple[str, ...]] = (
        "Own drawings of the fifteen corruptions, with lengths in proportion to the picture: rates do not compare with "
        "those published for ImageNet-C or CIFAR-10-C, only with those of another model in this audit.",
        "One draw of each corruption per sample, and an average: attacks and manipulations look for the worst.",
        "That a person would keep the answer is assumed; at severity 5 on small pictures look whether you would.",
    )
    Settings: ClassVar[type[CheckSettings]] = CorruptionsSettings

    def plan(self, settings: CorruptionsSettings, context: Context) -> list[Shard]:
        """The control, which changes nothing, and one shard per corruption with all its severities.

        Raises:
            NotApplicableError: no pictures.
        """
        shape = context.classifier.input_shape
        if not is_picture(shape):
            raise NotApplicableError("corruptions are of pictures", wanted="[H, W], 1 or 3 channels", got=list(shape))
        indices = tuple(int(index) for index in context.data.stratified_indices(settings.samples, context.seed))
        severities = sorted(set(settings.severities))
        first = Shard(self.name, CONTROL, {"corruption": CONTROL, "severities": [0]}, indices)
        rest = [
            Shard(self.name, name, {"corruption": name, "severities": severities}, indices)
            for name in dict.fromkeys(settings.corruptions)
        ]
        return [first, *rest]

    def run(self, shard: Shard, settings: CorruptionsSettings, context: Context) -> Payload:
        """Who is right at each severity, how far pictures moved, and the picture that misled the model most.

        Every severity draws the same random numbers. The control goes the same way at severity 0.
        """
        name = str(shard.parameters["corruption"])
        severities = list(shard.parameters["severities"])
        right = np.zeros((len(severities), len(shard.indices)), dtype=bool)
        moved = np.zeros(right.shape)
        worst: _Worst | None = None
        for block in blocks(len(shard.indices), BLOCK):
            indices = [shard.indices[place] for place in block]
            for row, severity in enumerate(severities):
                made, distances = _corrupted(name, severity, indices, context)
                logits = context.classifier.replay(made)
                answers = logits.argmax(1)
                held = (answers == context.labels(indices)) & ~logits.isnan().any(1)
                right[row, block], moved[row, block] = held.cpu().numpy(), distances.cpu().numpy()
                found = _most_misled(made, logits, answers, held, severity, indices, context)
                worst = min((one for one in (worst, found) if one is not None), key=_Worst.order, default=None)
        return {"right": right, "moved": moved, "worst": None if worst is None else worst.payload()}

    def conclude(
        self, results: Results, settings: CorruptionsSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """The mean corruption error, accuracy per corruption and severity, the control, and the worst pictures."""
        return findings(results, settings.images, settings.resamples, context)

    def estimate(self, settings: CorruptionsSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        return f"{self.passes(settings, samples, classes).forward:,} corrupted pictures"

    def passes(self, settings: CorruptionsSettings, samples: int, classes: int) -> Passes:
        """Samples times corruptions times severities, and the control."""
        cells = len(set(settings.corruptions)) * len(set(settings.severities)) + 1
        return Passes(forward=min(samples, settings.samples) * cells)


class _Worst:
    """A picture that was answered rightly until it was corrupted."""

    def __init__(self, index: int, severity: int, answer: int, confidence: float, picture: Tensor) -> None:
        self.index, self.severity, self.answer = index, severity, answer
        self.confidence, self.picture = confidence, picture

    def order(self) -> tuple[int, float, int]:
        """The least severity first, then the surest wrong answer."""
        return self.severity, -self.confidence, self.index

    def payload(self) -> Payload:
        """As JSON values and an array."""
        return {
            "index": self.index,
            "severity": self.severity,
            "answer": self.answer,
            "confidence": self.confidence,
            "picture": self.picture.cpu().numpy(),
        }


def _corrupted(name: str, severity: int, indices: list[int], context: Context) -> tuple[Tensor, Tensor]:
    """Pictures ``[n, *shape]``, and how far each moved: root of the mean square, in shares of the box."""
    box, x = context.classifier.input_box, context.samples(indices)
    generator = context.torch_generator("corruptions", name, indices[0])
    made = corrupt_inputs(x, box, next(iter(CORRUPTIONS)) if name == CONTROL else name, severity, generator)
    width = (box.upper - box.lower).to(x)
    shares = torch.where(width > 0, (made - x) / width.clamp(min=torch.finfo(x.dtype).tiny), 0)
    return made, shares.flatten(1).double().square().mean(1).sqrt()


def _most_misled(
    made: Tensor, logits: Tensor, answers: Tensor, held: Tensor, severity: int, indices: list[int], context: Context
) -> _Worst | None:
    before = torch.from_numpy(context.predictions[np.asarray(indices)]).to(held.device)
    broken = (before == context.labels(indices)) & ~held
    if not bool(broken.any()):
        return None
    confidence = torch.softmax(logits.double(), 1).amax(1).nan_to_num(0.0)
    place = int(torch.where(broken, confidence, -1.0).argmax())
    return _Worst(indices[place], severity, int(answers[place]), float(confidence[place]), made[place])
