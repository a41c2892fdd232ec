"""Draw samples from a generator subject and accept or refuse them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.errors import DataRangeError, ModelShapeError, NonFiniteError
from robust.properties.input_sets import Box
from robust.subjects.protocols import Generator

TOLERANCE = 0.01
"""A value may leave the box by this share of its width, and this share of all values may leave it further."""


def draw(
    subject: Generator, count: int, asked: NDArray[np.int64] | None, source: torch.Generator, *, batch: int = 256
) -> Tensor:
    """``[count, *output_shape]`` float32 on the subject's device, no gradients.

    All latent codes are drawn at once, so that the samples do not depend on ``batch``.

    Args:
        subject: the generator.
        count: how many.
        asked: classes ``[count]``, or None for an unconditional generator.
        source: owns the randomness.
        batch: samples decoded at once.

    Raises:
        ModelShapeError: an output has another shape than the generator declares.
        NonFiniteError: an output is NaN or infinite.
    """
    parts = []
    with torch.no_grad():
        latents = subject.draw_latents(count, source)
        classes = None if asked is None else torch.from_numpy(asked).to(subject.device)
        for start in range(0, count, batch):
            some = slice(start, start + batch)
            made = subject.decode(latents[some], None if classes is None else classes[some])
            parts.append(made.detach().to(torch.float32))
    samples = torch.cat(parts)
    if tuple(samples.shape) != (count, *subject.output_shape):
        raise ModelShapeError(
            f"generator {subject.name} makes samples of another shape than it declares",
            wanted=[count, *subject.output_shape],
            got=list(samples.shape),
        )
    if not bool(torch.isfinite(samples).all()):
        raise NonFiniteError(
            f"generator {subject.name} makes NaN or infinite values",
            wanted="finite numbers",
            got=f"{int((~torch.isfinite(samples.flatten(1))).any(1).sum())} of {count} samples with one",
            hint="check the weights of the file and the distribution of its latent codes",
        )
    return samples


def fit_into_box(samples: Tensor, box: Box, name: str) -> tuple[Tensor, float]:
    """Samples cut to the box, and the share of values that had to be cut by more than ``TOLERANCE`` of its width.

    Raises:
        DataRangeError: more than ``TOLERANCE`` of all values are that far outside.
    """
    lower, upper = box.lower.to(samples), box.upper.to(samples)
    slack = TOLERANCE * (upper - lower)
    outside = float(((samples < lower - slack) | (samples > upper + slack)).double().mean())
    if outside > TOLERANCE:
        raise DataRangeError(
            f"generator {name} leaves the input box of the data",
            wanted=f"values from {float(lower.min()):g} to {float(upper.max()):g}",
            got=f"{float(samples.min()):g} to {float(samples.max()):g}; {outside:.1%} of all values are outside",
            hint="give the generator's output the data's scale, for example (x + 1) / 2 after a tanh",
        )
    return samples.clamp(lower, upper), outside


def class_quota(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``count`` classes to ask for, in the proportions of ``labels`` and in random order.

    The labels in random order, repeated as often as needed: every class differs from its share by less than one round.
    """
    order = rng.permutation(labels)
    return np.resize(order, count).astype(np.int64)
