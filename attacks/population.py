"""Random directions around points, for attacks that estimate a gradient from answers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from attacks.attack import Problem

Law = Literal["normal", "uniform", "signs"]
"""Normal numbers; uniform ones in [-1, 1]; -1 or 1 at even odds."""

CHUNK = 2**22
"""Numbers of a batch of perturbed inputs at most, but for a single input that has more."""


class Dice:
    """A generator for each sample, so that what is drawn for one does not depend on which others are there.

    Args:
        problem: the samples; its generator gives a seed to every sample of the call.
    """

    def __init__(self, problem: Problem) -> None:
        seeds = torch.randint(2**62, (problem.total,), generator=problem.generator)[problem.rows.cpu()].tolist()
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape, self.device = tuple(problem.x.shape[1:]), problem.x.device

    def draw(self, rows: Tensor, count: int, law: Law) -> Tensor:
        """Float32 ``[r, count, *shape]`` for the samples ``rows`` (int64 ``[r]``, places in the problem)."""
        return torch.stack([self._one(self.generators[row], count, law) for row in rows.tolist()]).to(self.device)

    def _one(self, generator: torch.Generator, count: int, law: Law) -> Tensor:
        size = (count, *self.shape)
        if law == "normal":
            return torch.randn(size, generator=generator)
        if law == "uniform":
            return torch.rand(size, generator=generator) * 2 - 1
        return torch.randint(2, size, generator=generator) * 2.0 - 1


def spread(values: Tensor, like: Tensor) -> Tensor:
    """``[r, k]`` as ``[r, k, 1, ...]``, to be broadcast against ``[r, k, *shape]``."""
    return values.reshape(*values.shape, *(1 for _ in like.shape[2:]))
