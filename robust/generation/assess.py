"""All measures of one set of generated samples. The subject and every control go through this same code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.generation.copies import Copies, authentic, count_copies
from robust.generation.data_copying import copying_scores, copying_statistic
from robust.generation.diversity import ClassDiversity, class_diversity
from robust.generation.frechet import frechet_distance, frechet_interval
from robust.generation.manifold import ManifoldScores, manifold_scores
from robust.generation.neighbours import nearest
from robust.generation.real_side import CopyGround, RealSide
from robust.record import Interval


@dataclass(frozen=True)
class CopyAssessment:
    """The copy test of one set of samples.

    Attributes:
        copies: counts and threshold.
        authentic: authentic samples (Alaa et al. 2022).
        scores: per class: label, z-score (negative: nearer to training than real samples are), held-out samples.
    """

    copies: Copies
    authentic: int
    scores: tuple[tuple[int, float, int], ...]

    @property
    def statistic(self) -> float | None:
        """C_T over the classes; None where no class had enough samples."""
        return copying_statistic({label: (z, count) for label, z, count in self.scores})


@dataclass(frozen=True)
class Assessment:
    """What one set of generated samples measures.

    Attributes:
        generated: samples.
        frechet: squared Frechet distance to the held-out samples.
        frechet_interval: of it, at these sample sizes; None for controls.
        manifold: precision, recall, density, coverage.
        diversity: per class.
        asked: samples per class that was asked for; None if unconditional.
        agreed: of these, how many the judge sees as that class.
        judged: samples per class as the judge sees it.
        group_counts: per sensitive column, samples per group as its judge sees it.
        copying: None without training data.
    """

    generated: int
    frechet: float
    frechet_interval: Interval | None
    manifold: ManifoldScores
    diversity: tuple[ClassDiversity, ...]
    asked: tuple[int, ...] | None
    agreed: tuple[int, ...] | None
    judged: tuple[int, ...]
    group_counts: dict[str, tuple[int, ...]]
    copying: CopyAssessment | None


def assess(
    samples: Tensor,
    asked: NDArray[np.int64] | None,
    judged: NDArray[np.int64],
    real: RealSide,
    copying: CopyAssessment | None,
    rng: np.random.Generator | None,
) -> Assessment:
    """Measure samples ``[n, *shape]`` in the box against the real side.

    Args:
        samples: generated.
        asked: classes asked for ``[n]``, or None if unconditional (then the judge names the classes).
        judged: classes as the judge sees them ``[n]``, see ``judged_classes``.
        real: the real side.
        copying: the copy test, see ``copy_test``.
        rng: for the jackknife of the Frechet distance; None to leave its interval out.

    Raises:
        DataShapeError: fewer than 20 samples on a side.
    """
    features = real.feature_map(samples)
    inputs = real.scaled(samples).to("cpu", torch.float64).numpy()
    classes = len(real.bench.names)
    labels = judged if asked is None else asked
    agreed = None if asked is None else np.bincount(asked[judged == asked], minlength=classes)
    return Assessment(
        generated=len(samples),
        frechet=frechet_distance(features, real.target_features),
        frechet_interval=None if rng is None else frechet_interval(features, real.target_features, rng),
        manifold=manifold_scores(features, real.target_features),
        diversity=tuple(class_diversity(features, labels, real.target_features, real.target_labels)),
        asked=None if asked is None else tuple(np.bincount(asked, minlength=classes).tolist()),
        agreed=None if agreed is None else tuple(agreed.tolist()),
        judged=tuple(np.bincount(judged, minlength=classes).tolist()),
        group_counts={
            column: tuple(np.bincount(bench.judge(inputs), minlength=len(bench.names)).tolist())
            for column, bench in real.groups.items()
        },
        copying=copying,
    )


def judged_classes(samples: Tensor, real: RealSide) -> NDArray[np.int64]:
    """Classes int64 ``[n]`` of samples ``[n, *shape]`` as the judge sees them."""
    return real.bench.judge(real.scaled(samples).to("cpu", torch.float64).numpy())


def copy_test(
    samples: Tensor, labels: NDArray[np.int64], real: RealSide, quantile: float
) -> tuple[CopyAssessment, Tensor, Tensor] | None:
    """The copy test of samples ``[n, *shape]`` of classes ``[n]`` (asked for or judged); None without training data.

    Beside it the distances ``[n]`` (box units) to the nearest training samples and their row numbers ``[n]``.
    """
    ground = real.copy_ground
    if ground is None:
        return None
    distances, rows = (found[:, 0] for found in nearest(real.scaled(samples), ground.training))
    known = distances.cpu().numpy()
    result = _compare(known, rows, labels, ground.held_out, real.target_labels, ground, quantile)
    return result, distances, rows


def held_out_copy_test(real: RealSide, quantile: float, rng: np.random.Generator) -> CopyAssessment | None:
    """The copy test of one half of the real held-out samples against the other half: must find nothing."""
    ground = real.copy_ground
    if ground is None:
        return None
    order = rng.permutation(len(ground.held_out))
    first, second = np.sort(order[::2]), np.sort(order[1::2])
    rows = ground.held_out_neighbours[torch.from_numpy(first).to(ground.held_out_neighbours.device)]
    labels = real.target_labels
    return _compare(
        ground.held_out[first], rows, labels[first], ground.held_out[second], labels[second], ground, quantile
    )


def _compare(
    distances: NDArray[np.float64],
    rows: Tensor,
    labels: NDArray[np.int64],
    held_out: NDArray[np.float64],
    held_out_labels: NDArray[np.int64],
    ground: CopyGround,
    quantile: float,
) -> CopyAssessment:
    scores = copying_scores(distances, labels, held_out, held_out_labels)
    real_ones = authentic(torch.from_numpy(distances).to(rows.device), rows, ground.training)
    return CopyAssessment(
        copies=count_copies(distances, held_out, quantile=quantile),
        authentic=int(real_ones.sum()),
        scores=tuple((label, z, count) for label, (z, count) in scores.items()),
    )
