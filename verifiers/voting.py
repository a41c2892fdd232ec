"""Votes of a classifier over Gaussian noise, counted where they fall."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Model = Callable[[Tensor], Tensor]
"""From ``[m, *shape]`` to logits ``[m, classes]``."""

UNIT = 2**16
"""Numbers that are drawn at once: fixed, so that the noise does not depend on the size of batches."""

FOOTPRINT = 16
"""A batch is taken to need so many times the bytes of its inputs."""

LARGEST = 8192
"""Rows of a batch at most."""


def votes(model: Model, x: Tensor, *, sigma: float, draws: int, generator: torch.Generator, bytes: int) -> Tensor:
    """How often each class is the answer at ``x + N(0, sigma^2)``: int64 ``[n, classes]``, on the device of ``x``.

    Samples and draws share batches. Nothing is read back to the host between two batches; where memory is short, a
    batch is halved. An answer with a logit that is not finite counts for no class.

    Args:
        model: any callable.
        x: ``[n, *shape]``.
        sigma: standard deviation.
        draws: for each sample.
        generator: owns the noise.
        bytes: aim for batches of about so much memory.
    """
    if not len(x):
        with torch.no_grad():
            return torch.zeros(0, model(x).shape[1], dtype=torch.int64, device=x.device)
    elements = max(1, x[0].numel())
    unit = max(1, UNIT // elements)
    rows = unit * max(1, min(LARGEST, bytes // (FOOTPRINT * x.element_size() * elements)) // unit)
    tally = _Tally(model, x, sigma, draws)
    total = len(x) * draws
    for start in range(0, total, rows):
        count = min(rows, total - start)
        parts = [min(unit, count - done) for done in range(0, count, unit)]
        noise = [torch.randn(part, *x.shape[1:], generator=generator, device=generator.device) for part in parts]
        tally.add(start, torch.cat(noise).to(x.device, x.dtype))
    return tally.counts


class _Tally:
    """Counts, made once the number of classes is known."""

    def __init__(self, model: Model, x: Tensor, sigma: float, draws: int) -> None:
        self.model, self.x, self.sigma, self.draws = model, x, sigma, draws
        self.counts = torch.zeros(len(x), 0, dtype=torch.int64, device=x.device)

    def add(self, start: int, noise: Tensor) -> None:
        """Count the votes of pairs ``start, start + 1, ...`` of sample and draw."""
        samples = torch.arange(start, start + len(noise), device=noise.device) // self.draws
        try:
            with torch.no_grad():
                logits = self.model(self.x[samples] + self.sigma * noise)
        except torch.OutOfMemoryError:
            if len(noise) == 1:
                raise
        else:
            self._count(samples, logits.to(noise.device))
            return
        middle = len(noise) // 2
        self.add(start, noise[:middle])
        self.add(start + middle, noise[middle:])

    def _count(self, samples: Tensor, logits: Tensor) -> None:
        classes = logits.shape[1]
        if not self.counts.shape[1]:
            self.counts = self.counts.new_zeros(len(self.x), classes)
        finite = torch.isfinite(logits).all(1)
        self.counts.view(-1).index_add_(0, samples * classes + logits.argmax(1), finite.to(torch.int64))
