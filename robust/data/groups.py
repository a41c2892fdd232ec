"""Sensitive columns to groups: text as it stands, few distinct numbers as they stand, many numbers in bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from robust.errors import DataTypeError, UsageError

Bins = int | Sequence[float]
"""A number of quantile bins, or inner edges: ``[25, 45]`` makes ``< 25``, ``25 to < 45``, ``>= 45``."""

MISSING = "(missing)"
_FEW = 8
_DEFAULT_BINS = 4


def to_groups(values: NDArray[np.generic], bins: Bins | None, where: str) -> tuple[NDArray[np.str_], tuple[str, ...]]:
    """Group name per sample, and notes on what was assumed.

    Args:
        values: ``[n]`` of text, booleans or numbers; NaN is a group of its own, ``(missing)``.
        bins: for numbers: how to cut; by default more than 8 distinct numbers are cut at quartiles.
        where: file and column, for messages.

    Raises:
        DataTypeError: not one value per sample, or of a dtype that is neither number nor text.
        UsageError: bins that cannot be.
    """
    if values.ndim != 1 or values.dtype.kind not in "fiubU":
        raise DataTypeError(
            f"{where}: a group column has the wrong form",
            wanted="[n] of text or numbers",
            got=f"{values.dtype} {values.shape}",
        )
    if values.dtype.kind in "Ub":
        return _named(values), ()
    numbers = values.astype(np.float64)
    known = numbers[np.isfinite(numbers)]
    distinct = np.unique(known)
    if bins is None and len(distinct) <= _FEW:
        names = np.array([_number(value) for value in numbers], dtype=np.str_)
        return names, ()
    edges, note = _edges(known, bins, where)
    cells = np.searchsorted(edges, numbers, side="right")
    texts = [f"< {_number(edges[0])}"]
    texts += [f"{_number(a)} to < {_number(b)}" for a, b in pairwise(edges)]
    texts += [f">= {_number(edges[-1])}"]
    names = np.array([texts[c] if np.isfinite(v) else MISSING for c, v in zip(cells, numbers, strict=True)])
    return names, note


def parse_groups(groups: Sequence[str] | Mapping[str, str | int]) -> dict[str, str | int]:
    """Group name -> key, column or feature index. ``["race", "sex=8"]`` is ``{"race": "race", "sex": 8}``."""
    if isinstance(groups, Mapping):
        return dict(groups)
    parsed: dict[str, str | int] = {}
    for item in groups:
        name, equals, key = item.partition("=")
        if equals and key.strip().isdigit():
            parsed[name.strip()] = int(key)
        else:
            parsed[name.strip()] = key.strip() if equals else name.strip()
    return parsed


def _edges(known: NDArray[np.float64], bins: Bins | None, where: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    if bins is None or isinstance(bins, int):
        count = _DEFAULT_BINS if bins is None else bins
        if count < 2 or not len(known):
            raise UsageError(f"{where}: cannot cut into {count} bins", wanted="at least 2 bins and one known value")
        edges = np.unique(np.quantile(known, np.arange(1, count) / count))
        edges = edges[edges > known.min()] if (edges > known.min()).any() else edges
        shown = ", ".join(map(_number, edges))
        return edges, (f"{where} was cut at its quantiles into {len(edges) + 1} groups: {shown}",)
    edges = np.asarray(bins, dtype=np.float64)
    if not len(edges) or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise UsageError(f"{where}: the edges of the bins are not increasing numbers", got=list(bins))
    return edges, ()


def _named(values: NDArray[np.generic]) -> NDArray[np.str_]:
    texts = [str(value).strip() for value in values]
    return np.array([text if text and text.lower() != "nan" else MISSING for text in texts], dtype=np.str_)


def _number(value: float) -> str:
    return f"{value:g}" if np.isfinite(value) else MISSING
