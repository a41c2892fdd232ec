"""Agreement of two maps: Spearman's rank correlation, place by place (Selvaraju et al. 2017, section 5.3)."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats
from torch import Tensor


def rank_correlation(maps: Tensor, others: Tensor) -> Tensor:
    """Spearman's rho of each pair, ties at their mean rank: float64 ``[n]``; 0 where either map is constant.

    A constant map orders nothing, so it agrees with nothing.

    Args:
        maps: ``[n, ...]``.
        others: of the same shape.

    Raises:
        ValueError: other shapes, or values that are not finite.
    """
    if maps.shape != others.shape:
        raise ValueError(f"maps of one shape are wanted, got {list(maps.shape)} and {list(others.shape)}")
    first, second = (_centred_ranks(m.detach().cpu().double().flatten(1).numpy()) for m in (maps, others))
    products = (first * second).sum(1)
    scale = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return torch.from_numpy(np.where(scale > 0, products / np.where(scale > 0, scale, 1.0), 0.0))


def _centred_ranks(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    if not np.isfinite(values).all():
        raise ValueError("a map has values that are not finite")
    ranks = stats.rankdata(values, axis=1)
    return np.asarray(ranks - ranks.mean(1, keepdims=True), dtype=np.float64)
