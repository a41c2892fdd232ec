"""Nearest neighbours and pairwise distances, in blocks, in float64."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from robust.errors import DataShapeError

BLOCK_NUMBERS = 4_000_000
"""How many distances are held at once (32 MB)."""


def squared_distance_blocks(queries: Tensor, base: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Squared Euclidean distances block by block.

    Args:
        queries: ``[n, d]``.
        base: ``[m, d]``.

    Yields:
        Index of the first query of the block, and ``[block, m]`` float64, never negative.

    Raises:
        DataShapeError: not two tables of the same width, or one of them empty.
    """
    require_table(queries, "queries")
    require_table(base, "base", width=queries.shape[1])
    centre = base.to(torch.float64).mean(0)
    rows, others = queries.to(torch.float64) - centre, base.to(torch.float64) - centre
    norms = (others * others).sum(1)
    step = max(1, BLOCK_NUMBERS // len(others))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        squares = (block * block).sum(1, keepdim=True) + norms - 2.0 * block @ others.T
        yield start, squares.clamp_min(0.0)


def nearest(queries: Tensor, base: Tensor, *, k: int = 1, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The ``k`` nearest rows of ``base`` for each query, nearest first.

    Args:
        queries: ``[n, d]``.
        base: ``[m, d]``.
        k: how many.
        own: the queries are rows of the base, namely these ``[n]``, and a row is not its own neighbour.

    Returns:
        Distances float64 ``[n, k]`` (recomputed from differences, so that equal rows are at exactly 0) and row numbers
        int64 ``[n, k]``.

    Raises:
        DataShapeError: fewer than ``k`` candidates.
    """
    candidates = len(base) - int(own is not None)
    if candidates < k:
        raise DataShapeError("too few samples to look for neighbours among", wanted=f"at least {k}", got=candidates)
    found = []
    for start, squares in squared_distance_blocks(queries, base):
        if own is not None:
            here = torch.arange(len(squares), device=squares.device)
            squares[here, own[start : start + len(squares)]] = torch.inf
        found.append(squares.topk(k, dim=1, largest=False, sorted=True).indices)
    rows = torch.cat(found)
    exact = torch.stack(
        [(queries.to(torch.float64) - base[rows[:, i]].to(torch.float64)).norm(dim=1) for i in range(k)], 1
    )
    return exact, rows


def nearest_fellows(values: Tensor, *, k: int = 1, rows: Tensor | None = None) -> Tensor:
    """Distances ``[n, k]`` of rows of ``[m, d]`` to the ``k`` nearest other rows; of all rows, or of those named."""
    own = torch.arange(len(values), device=values.device) if rows is None else rows
    return nearest(values[own], values, k=k, own=own)[0]


def require_table(values: Tensor, name: str, *, width: int | None = None, rows: int = 1) -> None:
    """Raise unless ``values`` is a finite table ``[at least rows, width]``.

    Raises:
        DataShapeError: it is not.
    """
    if values.ndim != 2 or len(values) < rows or (width is not None and values.shape[1] != width):
        wanted = f"[at least {rows}, {'d' if width is None else width}]"
        raise DataShapeError(f"{name} is not a table of feature vectors", wanted=wanted, got=list(values.shape))
