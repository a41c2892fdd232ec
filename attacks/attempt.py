"""What an attack leaves behind, and the count of what it asked of the model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.balls import AnyNorm


@dataclass(frozen=True, eq=False)
class Tally:
    """Times that each sample went through the model, forward and backward; filled while an attack works.

    Attributes:
        forward: int64 ``[n]``.
        backward: int64 ``[n]``.
        unstarted: bool ``[n]``: an attack that begins at an input that reaches the goal found none.
    """

    forward: Tensor
    backward: Tensor
    unstarted: Tensor

    @classmethod
    def zeros(cls, count: int, device: torch.device) -> Tally:
        """Nothing asked yet."""
        kinds = (torch.int64, torch.int64, torch.bool)
        return cls(*(torch.zeros(count, dtype=kind, device=device) for kind in kinds))

    def add(self, rows: Tensor, *, forward: int = 0, backward: int = 0) -> None:
        """Each sample of ``rows`` (which may hold one several times) was asked so often. No host is asked."""
        if forward:
            self.forward.index_add_(0, rows, torch.full_like(rows, forward))
        if backward:
            self.backward.index_add_(0, rows, torch.full_like(rows, backward))


@dataclass(frozen=True, eq=False)
class Attempt:
    """What an attack left behind, for ``n`` samples.

    Attributes:
        norm: of the ball.
        adversarials: float32 ``[n, *shape]``; the sample itself where there is no success.
        success: bool ``[n]``: the real model, asked again, answers this input, which lies in ball and box, as the goal
            wishes. Samples where it does so from the start are successes at distance 0.
        distances: float64 ``[n]`` in input units, measured; infinite where there is no success.
        dead: bool ``[n]``: every gradient that the attack asked for was zero or not finite; False if it asked none.
        best: float32 ``[n, *shape]``: the best effort inside ball and box, witness or not.
        margins: float32 ``[n]``: how far the real model's answer to ``best`` is from the goal; not above 0 for a
            witness.
        forward: int64 ``[n]``: queries, replays included.
        backward: int64 ``[n]``: gradient evaluations.
        broken_in: int64 ``[n]``: the round of the attack that broke the sample; -1 where none did, or it was known.
        unstarted: bool ``[n]``: the attack had no point to begin from, so it says nothing of the sample.
    """

    norm: AnyNorm
    adversarials: Tensor
    success: Tensor
    distances: Tensor
    dead: Tensor
    best: Tensor
    margins: Tensor
    forward: Tensor
    backward: Tensor
    broken_in: Tensor
    unstarted: Tensor

    def __len__(self) -> int:
        return len(self.success)

    @property
    def forward_passes(self) -> int:
        """Queries of all samples."""
        return int(self.forward.sum())

    @property
    def backward_passes(self) -> int:
        """Gradient evaluations of all samples."""
        return int(self.backward.sum())
