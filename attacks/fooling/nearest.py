"""How far inputs lie from data."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 2048


def nearest_distances(points: Tensor, samples: Tensor, *, skip_self: bool = False) -> Tensor:
    """L2 distance from each point to the nearest sample, in input units, float64.

    Args:
        points: ``[k, *shape]``.
        samples: ``[n, *shape]``, at least one (two with ``skip_self``).
        skip_self: ``points`` are ``samples``: row i does not count as its own neighbour (leave one out).

    Returns:
        float64 ``[k]``.
    """
    flat = points.flatten(1).double()
    best = torch.full((len(flat),), torch.inf, dtype=torch.float64, device=flat.device)
    for start in range(0, len(samples), CHUNK):
        part = samples[start : start + CHUNK].flatten(1).to(flat)
        distances = torch.cdist(flat, part, compute_mode="donot_use_mm_for_euclid_dist")
        if skip_self:
            rows = torch.arange(start, min(start + len(part), len(flat)), device=flat.device)
            distances[rows, rows - start] = torch.inf
        best = torch.minimum(best, distances.amin(1))
    return best
