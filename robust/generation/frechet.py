"""Frechet distance between two sets of feature vectors.

Dowson and Landau 1982; Heusel et al. 2017 (section 3, with features of one fixed Inception network: FID). Here the
features come from a layer that the caller names, so the number is not an FID and compares only within one layer and
one pair of sample sizes: it is biased upwards for small samples (Binkowski et al. 2018, section 4), which is why a
real-against-real row of the same sizes belongs beside it.

    d^2 = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

With ``S = F^T F`` the last trace is the nuclear norm of ``F1 F2^T``: singular values of a product of two factors, no
square root of a nearly singular matrix and no complex numbers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from robust.errors import DataShapeError
from robust.generation.neighbours import require_table
from robust.record import Interval


def frechet_of_gaussians(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> float:
    """Squared Frechet distance of two normal distributions: means ``[d]``, covariances ``[d, d]`` (symmetric)."""
    return _distance(mean, _root(covariance), other_mean, _root(other_covariance))


def frechet_distance(features: Tensor, other: Tensor) -> float:
    """Squared Frechet distance of the normal distributions fitted to ``[n, d]`` and ``[m, d]``.

    Covariances divide by ``n - 1``; the unit is that of the features, squared.

    Raises:
        DataShapeError: not two tables of the same width with at least 2 rows each.
    """
    require_table(features, "features", rows=2)
    require_table(other, "the other features", width=features.shape[1], rows=2)
    mean, root = _fit(features)
    other_mean, other_root = _fit(other)
    return _distance(mean, root, other_mean, other_root)


def frechet_interval(
    features: Tensor, other: Tensor, rng: np.random.Generator, *, groups: int = 10, level: float = 0.95
) -> Interval:
    """Interval of ``frechet_distance`` at these sample sizes by the delete-a-group jackknife of both sets.

    The variances of leaving out each of ``groups`` random parts of either set are added (Efron and Tibshirani 1993,
    chapter 11; a bootstrap would repeat samples and so inflate the distance). Student's t with ``groups - 1`` degrees.
    The bias of a small sample is not part of the interval.

    Raises:
        DataShapeError: fewer than ``2 * groups`` samples in one of the sets.
    """
    if min(len(features), len(other)) < 2 * groups:
        raise DataShapeError(
            "too few samples for the interval of a Frechet distance",
            wanted=f"at least {2 * groups} in each set",
            got=f"{len(features)} and {len(other)}",
        )
    centre = frechet_distance(features, other)
    fixed, other_fixed = _fit(features), _fit(other)
    first = [_distance(*_fit(part), *other_fixed) for part in _leave_out(features, rng, groups)]
    second = [_distance(*fixed, *_fit(part)) for part in _leave_out(other, rng, groups)]
    variance = sum((groups - 1) * float(np.var(values)) for values in (first, second))
    half = float(stats.t.ppf(0.5 + level / 2, groups - 1)) * math.sqrt(variance)
    method = f"delete-a-group jackknife ({groups} + {groups})"
    return Interval(low=max(0.0, centre - half), high=centre + half, level=level, method=method)


def _leave_out(features: Tensor, rng: np.random.Generator, groups: int) -> list[Tensor]:
    part = torch.from_numpy(rng.permutation(len(features)) % groups).to(features.device)
    return [features[part != group] for group in range(groups)]


def _fit(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``[d]`` and a factor ``F`` with ``F^T F`` the covariance, at most ``d`` rows."""
    values = features.to(torch.float64)
    mean = values.mean(0)
    centred = (values - mean) / math.sqrt(len(values) - 1)
    if len(centred) > centred.shape[1]:
        centred = torch.linalg.qr(centred, mode="r").R
    return mean, centred


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance.to(torch.float64))
    root: Tensor = values.clamp_min(0.0).sqrt().unsqueeze(1) * vectors.T
    return root


def _distance(mean: Tensor, root: Tensor, other_mean: Tensor, other_root: Tensor) -> float:
    shift = (mean.to(torch.float64) - other_mean.to(torch.float64)).square().sum()
    cross = torch.linalg.svdvals(root @ other_root.T).sum()
    total = shift + root.square().sum() + other_root.square().sum() - 2.0 * cross
    return max(0.0, float(total))
