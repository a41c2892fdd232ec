"""Precision, recall, density and coverage of generated samples.

Precision and recall: Kynkaanniemi et al. 2019, equations 1 and 2. Density and coverage: Naeem et al. 2020, equations 3
and 4. Every sample of a set stands for the ball that reaches to its k-th nearest neighbour in that set (itself not
counted); the boundary belongs to the ball.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.generation.neighbours import nearest_fellows, squared_distance_blocks


@dataclass(frozen=True)
class ManifoldScores:
    """Counts and scores.

    Attributes:
        inside_real: generated samples inside some real ball; precision is this over ``generated``.
        inside_generated: real samples inside some generated ball; recall is this over ``real``.
        covered: real balls that hold a generated sample; coverage is this over ``real``.
        density: real balls per generated sample, over ``k``; about 1 where the sets agree, not bounded by 1.
        generated: number of generated samples.
        real: number of real samples.
    """

    inside_real: int
    inside_generated: int
    covered: int
    density: float
    generated: int
    real: int

    @property
    def precision(self) -> float:
        """Share of generated samples that look real."""
        return self.inside_real / self.generated

    @property
    def recall(self) -> float:
        """Share of real samples that the generator could have made."""
        return self.inside_generated / self.real

    @property
    def coverage(self) -> float:
        """Share of real neighbourhoods that the generator reaches."""
        return self.covered / self.real


def manifold_scores(generated: Tensor, real: Tensor, *, k: int = 5) -> ManifoldScores:
    """Scores of feature vectors ``[n, d]`` against real ones ``[m, d]``.

    Raises:
        DataShapeError: a set has no more than ``k`` rows, or the widths differ.
    """
    real_radius = nearest_fellows(real, k=k)[:, -1].square()
    generated_radius = nearest_fellows(generated, k=k)[:, -1].square()
    inside_real, balls = 0, 0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    closest = torch.full((len(real),), torch.inf, dtype=torch.float64, device=real.device)
    for start, squares in squared_distance_blocks(generated, real):
        within = squares <= real_radius
        inside_real += int(within.any(1).sum())
        balls += int(within.sum())
        recalled |= (squares <= generated_radius[start : start + len(squares), None]).any(0)
        closest = torch.minimum(closest, squares.amin(0))
    return ManifoldScores(
        inside_real=inside_real,
        inside_generated=int(recalled.sum()),
        covered=int((closest <= real_radius).sum()),
        density=balls / (k * len(generated)),
        generated=len(generated),
        real=len(real),
    )
