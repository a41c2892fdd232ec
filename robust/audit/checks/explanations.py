"""The check ``explanations``: where does the model look, and can the map be believed?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from attacks.attack import gives_gradients
from robust.audit.check import Check, CheckSettings, Context, NotApplicableError, Passes, Payload, Results, Shard
from robust.audit.checks.explanation_findings import findings
from robust.errors import GraphError, NotExplainableError
from robust.explanation import (
    Explainer,
    Method,
    attacked,
    insertion_deletion,
    noisy,
    rank_correlation,
    unrelated_correlation,
)
from robust.explanation.layers import last_spatial_node
from robust.record import Finding

DEFAULT_METHODS: tuple[Method, ...] = ("grad_cam", "integrated_gradients", "occlusion")
NAMES: dict[str, str] = {
    "grad_cam": "Grad-CAM",
    "counterfactual_grad_cam": "counterfactual Grad-CAM",
    "guided_grad_cam": "guided Grad-CAM",
    "integrated_gradients": "integrated gradients",
    "occlusion": "occlusion",
}
WINDOWS = 361
"""Windows of default size on a square picture, at most: 19 a side, of 2 pixels on a side of 20."""


class ExplanationsSettings(CheckSettings):
    """Keys of ``[checks.explanations]``."""

    enabled: bool = Field(default=False, description="run this check; off unless it is named")
    samples: int = Field(default=32, ge=1, description="samples explained, of all classes alike")
    methods: tuple[Method, ...] | None = Field(
        default=None,
        min_length=1,
        description="default: those of grad_cam, integrated_gradients and occlusion that the model allows",
    )
    steps: int = Field(default=32, ge=2, description="integrated gradients: steps from the baseline to the sample")
    window: int | None = Field(default=None, ge=1, description="occlusion: side hidden at once; default a seventh")
    points: int = Field(default=16, ge=2, description="points of the insertion and deletion curves")
    shuffles: int = Field(default=3, ge=1, description="networks with shuffled weights for the sanity check")
    change: float = Field(default=0.02, gt=0, le=1, description="change of the input, as a share of each range")
    images: int = Field(default=6, ge=0, description="samples shown")


class ExplanationsCheck(Check):
    """Maps of the predicted class, and four measures of each way of making them."""

    name: ClassVar[str] = "explanations"
    title: ClassVar[str] = "Explanations"
    question: ClassVar[str] = "Where does the model look for its answer, and can maps of that be believed?"
    limitations: ClassVar[tuple[str, ...]] = (
        "A faithful map shows what the model uses, not whether that is a good reason.",
        "Deleted places become the mean of the data: another baseline gives other curves and other maps.",
        "Maps that agree can be wrong alike.",
    )
    Settings: ClassVar[type[CheckSettings]] = ExplanationsSettings

    def plan(self, settings: ExplanationsSettings, context: Context) -> list[Shard]:
        """One shard per method that the model allows, then random maps.

        Raises:
            NotApplicableError: pictures with their channels last.
        """
        shape = context.classifier.input_shape
        if len(shape) == 3 and shape[2] in (1, 3) and shape[0] not in (1, 3):
            raise NotApplicableError("maps are made of pictures with channels first", got=list(shape))
        wanted = settings.methods if settings.methods is not None else DEFAULT_METHODS
        explainer = self._explainer(settings, context)
        indices = tuple(int(i) for i in context.data.stratified_indices(settings.samples, context.seed))
        names = [m for m in dict.fromkeys(wanted) if why_not(m, explainer, context) is None]
        common = {"points": settings.points, "shuffles": settings.shuffles, "change": settings.change}
        more: dict[str, dict[str, int | None]] = {
            "integrated_gradients": {"steps": settings.steps},
            "occlusion": {"window": settings.window},
        }
        shards = [Shard(self.name, NAMES[m], {"method": m, **common, **more.get(m, {})}, indices) for m in names]
        return [*shards, Shard(self.name, "random maps", {"method": "random", "points": settings.points}, indices)]

    def run(self, shard: Shard, settings: ExplanationsSettings, context: Context) -> Payload:
        """Maps of one method, how faithful they are, and what becomes of them when input or weights change."""
        explainer, x = self._explainer(settings, context), context.samples(shard.indices)
        classes = torch.from_numpy(context.predictions[list(shard.indices)]).to(context.device)
        method = shard.parameters["method"]
        if method == "random":
            shape = (len(x), *(x.shape[2:] if x.ndim == 4 else x.shape[1:]))
            maps = torch.rand(shape, generator=context.torch_generator(self.name, method))
            return _faithful(maps, x, classes, explainer, settings, context)
        maps = explainer.maps(method, x, classes)
        return {
            **_faithful(maps, x, classes, explainer, settings, context),
            "maps": maps.cpu().numpy(),
            "strangers": unrelated_correlation(maps).numpy(),
            **self._stability(method, maps, x, classes, explainer, settings, context),
            **self._shuffled(method, maps, x, classes, explainer, settings, context),
        }

    def conclude(
        self, results: Results, settings: ExplanationsSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Faithfulness, agreement with occlusion and stability per method; the controls; maps beside their samples."""
        explainer = self._explainer(settings, context)
        refused = {m: why_not(m, explainer, context) for m in settings.methods or DEFAULT_METHODS}
        return findings(results, settings, context, {m: reason for m, reason in refused.items() if reason is not None})

    def estimate(self, settings: ExplanationsSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        passes = self.passes(settings, samples, classes)
        return f"about {passes.gradient:,} forward and backward and {passes.forward:,} forward passes"

    def passes(self, settings: ExplanationsSettings, samples: int, classes: int) -> Passes:
        """For a window of the default size."""
        methods, count = settings.methods or DEFAULT_METHODS, min(samples, settings.samples)
        times = count * (3 + settings.shuffles)
        return Passes(
            forward=("occlusion" in methods) * times * WINDOWS + 2 * count * (len(methods) + 1) * (settings.points + 1),
            gradient=("integrated_gradients" in methods) * times * settings.steps
            + times * (("grad_cam" in methods) + 2 * ("guided_grad_cam" in methods)),
        )

    def _explainer(self, settings: ExplanationsSettings, context: Context) -> Explainer:
        baseline = context.samples().double().mean(0).float()
        return Explainer.of(context.classifier, baseline, steps=settings.steps, window=settings.window)

    def _stability(
        self, method: Method, maps: Tensor, x: Tensor, classes: Tensor, explainer: Explainer,
        settings: ExplanationsSettings, context: Context,
    ) -> Payload:  # fmt: skip
        """Correlation with the maps of changed inputs, of the class that was explained before."""
        box = context.classifier.input_box
        changed = {"noise": noisy(x, box, settings.change, context.torch_generator(self.name, "noise"))}
        if gives_gradients(context.classifier, x[:1]):
            changed["attack"] = attacked(explainer.logits, x, classes, box, settings.change)
        return {f"under_{name}": rank_correlation(maps, explainer.maps(method, moved, classes)).numpy()
                for name, moved in changed.items()}  # fmt: skip

    def _shuffled(
        self, method: Method, maps: Tensor, x: Tensor, classes: Tensor, explainer: Explainer,
        settings: ExplanationsSettings, context: Context,
    ) -> Payload:  # fmt: skip
        """Mean correlation of each map with those of networks with shuffled weights."""
        if explainer.module is None:
            return {}
        made, moved = [], False
        with torch.no_grad():
            before = explainer.logits(x)
            for number in range(settings.shuffles):
                other = explainer.randomised(context.torch_generator(self.name, "shuffle", number))
                made.append(rank_correlation(maps, other.maps(method, x, classes)))
                moved = moved or not torch.equal(other.logits(x), before)
        return {"shuffled": torch.stack(made).mean(0).numpy(), "answers_moved": moved}


def why_not(method: Method, explainer: Explainer, context: Context) -> str | None:
    """Why the model cannot be explained so, in a sentence; None if it can."""
    if method == "occlusion":
        return None
    if explainer.module is None or not gives_gradients(context.classifier, context.samples([0])):
        return f"{NAMES[method]} needs gradients, and {context.classifier.name} gives none."
    if method == "integrated_gradients":
        return None
    try:
        last_spatial_node(explainer.graph)
    except (NotExplainableError, GraphError) as error:
        return f"{error.message}."
    return None


def _faithful(
    maps: Tensor, x: Tensor, classes: Tensor, explainer: Explainer, settings: ExplanationsSettings, context: Context
) -> Payload:
    """Curves of the deployed model, whatever the maps were made on."""
    replay = context.classifier.replay
    curves = insertion_deletion(replay, x, classes, maps, explainer.baseline, steps=settings.points)
    return {
        "score": curves.score.numpy(),
        "shares": curves.shares.numpy(),
        "insertion": curves.insertion.mean(0).numpy(),
        "deletion": curves.deletion.mean(0).numpy(),
    }
