"""What may be audited. Structural protocols: any object with these members is a subject.

Later families (embedders, segmenters, reconstructors, samplers, incremental learners, ...) each add a protocol here
and an adapter to an existing one where there is one, so that every probe that fits applies unchanged.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from robust.properties.input_sets import Box


@runtime_checkable
class Subject(Protocol):
    """Identity, common to all families."""

    @property
    def name(self) -> str:
        """A short name for people."""
        ...

    @property
    def source(self) -> str:
        """Where it came from: a file name, a factory, ``python object``."""
        ...

    @property
    def format(self) -> str:
        """``onnx``, ``torch factory``, ``torchscript``, ``exported program`` or ``python object``."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of structure, parameters and preprocessing."""
        ...

    @property
    def parameters(self) -> int | None:
        """Number of trained numbers, where known."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions made at load, a sentence each."""
        ...


@runtime_checkable
class Classifier(Subject, Protocol):
    """A trained classifier over a box of inputs.

    Inputs are float32 ``[n, *input_shape]`` in *input units*, inside ``input_box``. Preprocessing (mean and standard
    deviation, scale, channel order) happens inside, so that an epsilon always means input units.
    Outputs are *logits* ``[n, classes]``: any scores whose softmax is the confidence.
    """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        ...

    @property
    def input_box(self) -> Box:
        """The declared box, both ends ``[*input_shape]``, on ``device``."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per logit."""
        ...

    @property
    def differentiable(self) -> bool:
        """Whether ``logits`` carries gradients to its input."""
        ...

    def logits(self, x: Tensor) -> Tensor:
        """``[n, *input_shape] -> [n, classes]`` on ``device``; gradients flow if ``differentiable``."""
        ...

    def replay(self, x: Tensor) -> Tensor:
        """Logits in the model's own arithmetic (an ONNX file: onnxruntime), no gradients. For claims."""
        ...

    def module(self) -> nn.Module | None:
        """Input units to logits as one module in evaluation mode, for tracing; None for a black box."""
        ...

    def features(self, x: Tensor) -> Tensor | None:
        """The input of the last affine layer, flattened ``[n, d]``, no gradients; None where there is none."""
        ...


@runtime_checkable
class Generator(Subject, Protocol):
    """A trained generator, conditional (on a class) or not."""

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one latent code."""
        ...

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        ...

    @property
    def conditions(self) -> int:
        """Number of classes it can be asked for; 0 if unconditional."""
        ...

    def draw_latents(self, count: int, generator: torch.Generator) -> Tensor:
        """``[count, *latent_shape]`` from its prior, by a seeded generator on the CPU, moved to ``device``."""
        ...

    def decode(self, latents: Tensor, conditions: Tensor | None) -> Tensor:
        """``[n, *latent_shape]`` and classes int64 ``[n]`` (None if unconditional) to ``[n, *output_shape]``."""
        ...
