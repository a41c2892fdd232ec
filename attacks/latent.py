"""A classifier seen through a generator: its inputs are latent codes, so that every attack searches natural inputs.

(Attacks in the latent space of a generator: Zhao, Dua and Singh, Generating Natural Adversarial Examples, 2018; Song et
al., Constructing Unrestricted Adversarial Examples with Generative Models, 2018.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robust.errors import DataShapeError
from robust.properties import Box
from robust.properties.parametrised import Composition
from robust.subjects.digests import digest_of, source_of
from robust.subjects.protocols import Classifier


class Latent:
    """``z -> classifier(clip(generator(z)))`` as a ``Classifier`` over a box of codes; ``replay`` asks the real model.

    Args:
        classifier: the subject.
        generator: codes ``[n, *latent]`` to inputs ``[n, *input_shape]``, differentiable for gradient attacks; of a
            conditional generator the decoder at one class. What leaves the input box is clamped to it.
        box: of the codes, ``[*latent]``.

    Raises:
        DataShapeError: the generator does not make inputs of the classifier.
    """

    format = "python object"

    def __init__(self, classifier: Classifier, generator: Callable[[Tensor], Tensor], box: Box) -> None:
        self.classifier, self.generator = classifier, generator
        self.input_box = Box(box.lower.float().to(classifier.device), box.upper.float().to(classifier.device))
        self.input_shape, self.class_names = box.shape, classifier.class_names
        self.device, self.differentiable = classifier.device, classifier.differentiable
        self.name, self.source = f"{classifier.name} behind a generator", classifier.source
        self.parameters = classifier.parameters
        made_by = generator if isinstance(generator, nn.Module) else source_of(generator)
        self.digest = digest_of(classifier.digest, made_by, self.input_box.lower, self.input_box.upper)
        self.notes = (*classifier.notes, "inputs are latent codes of a generator")
        with torch.no_grad():
            made = generator(self.input_box.lower[None])
        if tuple(made.shape[1:]) != tuple(classifier.input_shape):
            raise DataShapeError(
                "the generator does not make inputs of the classifier",
                wanted=list(classifier.input_shape),
                got=list(made.shape[1:]),
            )

    def inputs(self, codes: Tensor) -> Tensor:
        """What the generator makes of codes ``[n, *latent]``: ``[n, *classifier.input_shape]``, without gradients."""
        with torch.no_grad():
            return self._made(codes)

    def _made(self, codes: Tensor) -> Tensor:
        ends = self.classifier.input_box
        made = self.generator(codes.to(self.device, torch.float32))
        return torch.minimum(torch.maximum(made, ends.lower.to(made)), ends.upper.to(made))

    def logits(self, x: Tensor) -> Tensor:
        """``[n, *latent] -> [n, classes]``; gradients flow where generator and classifier let them."""
        return self.classifier.logits(self._made(x))

    def replay(self, x: Tensor) -> Tensor:
        """Logits of the real model."""
        return self.classifier.replay(self.inputs(x))

    def module(self) -> nn.Module | None:
        """Codes to logits as one module, for bounds; None where either part is no module."""
        inner = self.classifier.module()
        if inner is None or not isinstance(self.generator, nn.Module):
            return None
        ends = self.classifier.input_box
        return Composition(self.generator, (ends.lower, ends.upper), inner).eval()

    def features(self, x: Tensor) -> Tensor | None:
        """Features of the classifier."""
        return self.classifier.features(self.inputs(x))

    def __repr__(self) -> str:
        return f"Latent({self.classifier!r})"
