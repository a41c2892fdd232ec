"""One place to ask any subject for any map, with typed refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from robust.errors import NotExplainableError
from robust.explanation.grad_cam import grad_cam, guided_grad_cam
from robust.explanation.integrated_gradients import integrated_gradients
from robust.explanation.occlusion import occlusion
from robust.explanation.randomisation import shuffled_weights
from robust.graph import Graph, trace
from robust.properties.input_sets import Box
from robust.subjects.protocols import Classifier
from robust.subjects.torch_classifier import own_copy

Method = Literal["grad_cam", "counterfactual_grad_cam", "guided_grad_cam", "integrated_gradients", "occlusion"]
METHODS: tuple[Method, ...] = ("grad_cam", "guided_grad_cam", "integrated_gradients", "occlusion")
"""Maps of what speaks for a class; counterfactual Grad-CAM shows what speaks against it."""


@dataclass(frozen=True)
class Explainer:
    """A subject, and what its explanations are measured from.

    Attributes:
        logits: ``[n, *input_shape] -> [n, classes]``.
        module: the same, differentiable and traceable; None for a black box.
        box: its inputs.
        baseline: ``[*input_shape]`` in input units: an input that shows nothing.
        steps: of integrated gradients.
        window: side of an occluded window; None: ``robust.explanation.occlusion.default_window``.
    """

    logits: Callable[[Tensor], Tensor]
    module: nn.Module | None
    box: Box
    baseline: Tensor
    steps: int = 32
    window: int | None = None

    @classmethod
    def of(cls, classifier: Classifier, baseline: Tensor, *, steps: int = 32, window: int | None = None) -> Explainer:
        """Ask ``classifier``; a black box has no module and is asked for answers alone."""
        module = classifier.module() if classifier.differentiable else None
        logits = classifier.replay if module is None else classifier.logits
        return cls(logits, module, classifier.input_box, baseline.to(classifier.device), steps, window)

    def maps(self, method: Method, x: Tensor, classes: Tensor) -> Tensor:
        """Maps of the logits ``classes`` int64 ``[n]`` at ``x`` ``[n, *input_shape]``: float32 ``[n, H, W]``, or
        ``[n, features]`` for tables.

        Raises:
            NotExplainableError: a method that needs gradients, asked of a black box; Grad-CAM without a convolution.
            GraphError: Grad-CAM of a module that cannot be traced.
        """
        if method == "occlusion":
            return occlusion(self.logits, x, classes, self.baseline, window=self.window)
        if self.module is None:
            raise NotExplainableError(
                f"{method} needs gradients, and a black box gives none",
                wanted="a differentiable subject",
                hint="explain it by occlusion, which needs answers alone",
            )
        if method == "integrated_gradients":
            return integrated_gradients(self.logits, x, classes, self.baseline, steps=self.steps)
        if method == "guided_grad_cam":
            return guided_grad_cam(self.graph, x, classes)
        return grad_cam(self.graph, x, classes, counterfactual=method == "counterfactual_grad_cam")

    @cached_property
    def graph(self) -> Graph:
        """The module's operation graph, traced once."""
        if self.module is None:
            raise NotExplainableError("a black box has no graph", wanted="a differentiable subject")
        return trace(self.module, tuple(self.baseline.shape), device=self.baseline.device, box=self.box)

    def randomised(self, generator: torch.Generator) -> Explainer:
        """The same architecture with its weights shuffled, for the sanity check of Adebayo et al. (2018).

        Raises:
            NotExplainableError: a black box.
        """
        if self.module is None:
            raise NotExplainableError("the weights of a black box cannot be shuffled", wanted="a torch or ONNX model")
        module = shuffled_weights(own_copy(self.module, "the model")[0], generator)
        return Explainer(module, module, self.box, self.baseline, self.steps, self.window)
