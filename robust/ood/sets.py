"""Abnormal inputs made from a seed: far from the data, or near it. Each says what it is in its name.

All are float32 ``[n, *shape]`` inside the box, drawn by a CPU generator, so they are the same on any device. None of
the near sets is real data of unknown classes; the report calls them synthetic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.properties import Box


def uniform_noise(box: Box, count: int, generator: torch.Generator) -> Tensor:
    """Every value uniform in its range."""
    lower, upper = box.lower.cpu(), box.upper.cpu()
    return (lower + (upper - lower) * torch.rand(count, *box.shape, generator=generator)).float()


def gaussian_noise(box: Box, count: int, generator: torch.Generator) -> Tensor:
    """Every value normal around the middle of its range with a quarter of its width as deviation, cut to the box."""
    lower, upper = box.lower.cpu(), box.upper.cpu()
    noise = torch.randn(count, *box.shape, generator=generator)
    return torch.minimum(torch.maximum((lower + upper) / 2 + (upper - lower) / 4 * noise, lower), upper).float()


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether one input is ``[H, W]`` or ``[1 or 3, H, W]`` with sides of at least 4."""
    if len(shape) == 3 and shape[0] in (1, 3):
        return min(shape[1:]) >= 4
    return len(shape) == 2 and min(shape) >= 4


def permuted_pixels(samples: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture's own pixels in an order of its own; the channels of a pixel stay together."""
    flat = samples.cpu().reshape(len(samples), -1, samples.shape[-1] * samples.shape[-2])
    order = torch.rand(len(samples), flat.shape[-1], generator=generator).argsort(dim=1)
    return flat.gather(2, order[:, None].expand_as(flat)).reshape(samples.shape)


def permuted_columns(samples: Tensor, generator: torch.Generator) -> Tensor:
    """Each feature shuffled over the samples for itself: every value is usual, no combination need be."""
    flat = samples.cpu().flatten(1)
    order = torch.rand(flat.shape, generator=generator).argsort(dim=0)
    return flat.gather(0, order).reshape(samples.shape)


def mixtures(samples: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Averages of two samples of different classes.

    Returns:
        at most ``count`` of them; none if all samples are of one class.
    """
    samples, labels = samples.cpu(), labels.cpu()
    if len(torch.unique(labels)) < 2:
        return samples[:0]
    first = torch.randint(len(samples), (count,), generator=generator)
    # the others of each first sample's class are masked out, then one of the rest is drawn
    weights = (labels[None, :] != labels[first, None]).float()
    second = torch.multinomial(weights, 1, generator=generator)[:, 0]
    return (samples[first] + samples[second]) / 2


def quarter_turns(samples: Tensor) -> Tensor:
    """Pictures turned by 90 degrees (upside down where they are not square). A turned 0 is still a 0."""
    sides = (samples.ndim - 2, samples.ndim - 1)
    turns = 1 if samples.shape[-1] == samples.shape[-2] else 2
    return torch.rot90(samples.cpu(), turns, sides)
