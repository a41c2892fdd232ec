"""Does the generator hand out its training samples?

The distance from a generated sample to its nearest training sample is held against the same distance of real samples
that were not trained on. A sample nearer than nearly all of those is called a copy. Authenticity: Alaa et al. 2022,
section 3.3: a generated sample is authentic when it is farther from its nearest training sample than that one is from
its own nearest fellow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.errors import DataShapeError
from robust.generation.neighbours import nearest_fellows
from robust.record import Interval
from robust.statistics import newcombe_difference, wilson

EXCESS = 0.05
"""Copies are *found* when their share exceeds that of real held-out samples by more than this, with confidence."""


@dataclass(frozen=True)
class Copies:
    """Result of the copy test.

    Attributes:
        copies: generated samples at most ``threshold`` from a training sample.
        count: generated samples.
        threshold: low quantile of the held-out distances.
        held_out_copies: held-out samples at most ``threshold`` away (more than the quantile where there are ties).
        held_out: number of held-out samples.
    """

    copies: int
    count: int
    threshold: float
    held_out_copies: int
    held_out: int

    @property
    def share(self) -> float:
        """Share of generated samples that are copies."""
        return self.copies / self.count

    @property
    def interval(self) -> Interval:
        """Wilson interval of ``share``, the threshold taken as given."""
        return wilson(self.copies, self.count)

    @property
    def excess(self) -> Interval:
        """Interval of the share of copies minus that of real held-out samples."""
        return newcombe_difference(self.copies, self.count, self.held_out_copies, self.held_out)

    @property
    def found(self) -> bool:
        """Whether the generator copies: the whole interval of the excess lies above ``EXCESS``."""
        return self.excess.low > EXCESS


def count_copies(distances: NDArray[np.float64], held_out: NDArray[np.float64], *, quantile: float = 0.01) -> Copies:
    """The copy test on distances to the nearest training sample, generated ``[n]`` and held-out real ``[m]``.

    Raises:
        DataShapeError: no distances.
    """
    if not len(distances) or not len(held_out):
        raise DataShapeError(
            "the copy test needs distances", wanted="at least 1", got=min(len(distances), len(held_out))
        )
    threshold = float(np.quantile(held_out, quantile))
    near, real_near = int((distances <= threshold).sum()), int((held_out <= threshold).sum())
    return Copies(near, len(distances), threshold, real_near, len(held_out))


def authentic(distances: Tensor, neighbours: Tensor, training: Tensor) -> Tensor:
    """Bool ``[n]``: farther from the nearest training sample than that is from its nearest fellow.

    Args:
        distances: to the nearest training sample ``[n]``.
        neighbours: which one ``[n]``.
        training: training samples ``[m, d]``.
    """
    used, place = torch.unique(neighbours, return_inverse=True)
    return distances > nearest_fellows(training, rows=used)[place, 0]
