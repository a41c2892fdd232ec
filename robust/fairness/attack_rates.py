"""Who bears the attacks? Robust and certified answers as rates, so that groups can be compared in them too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robust.errors import DataShapeError
from robust.fairness.group_frame import Rate

Part = tuple[Sequence[int], NDArray[np.bool_]]
"""Sample indices and a yes or no for each: what one shard of an attack or a verifier found."""


def gather(parts: Sequence[Part], count: int, name: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Parts of one engine put together: which of ``count`` samples it spoke of, and its answers; both ``[count]``.

    Raises:
        DataShapeError: indices and answers differ in number, or an index is outside.
    """
    among, answers = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for indices, bits in parts:
        place, found = np.asarray(indices, dtype=np.int64), np.asarray(bits, dtype=bool).reshape(-1)
        if len(place) != len(found) or (len(place) and (place.min() < 0 or place.max() >= count)):
            raise DataShapeError(
                f"the results of {name} do not fit the evaluation samples",
                wanted=f"one answer for each of {len(place)} indices below {count}",
                got=f"{len(found)} answers",
            )
        answers[place] = np.where(among[place], answers[place] & found, found)
        among[place] = True
    return among, answers


def worst_case(engines: Sequence[Sequence[Part]], count: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Stayed right under *every* attack, among the samples that every attack was run on: among and hit, ``[count]``.

    A sample that some attacks skipped would look more robust than one that all of them tried; so it does not count.
    """
    among, robust = np.ones(count, dtype=bool), np.ones(count, dtype=bool)
    for parts in engines:
        tried, stayed = gather(parts, count, "an attack")
        among &= tried
        robust &= stayed
    return among & bool(engines), robust & among


def best_proof(engines: Sequence[Sequence[Part]], count: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Certified by *any* method, among the samples that every method was asked about: among and hit, ``[count]``.

    One sound proof is enough; a sample that some methods were not asked about would look worse than the others.
    """
    among, certified = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    for parts in engines:
        tried, proved = gather(parts, count, "a verifier")
        among &= tried
        certified |= proved
    return among & bool(engines), certified & among


def robust_share(among: NDArray[np.bool_], robust: NDArray[np.bool_]) -> Rate:
    """Right and stayed right under attack, among the attacked (robust accuracy)."""
    return Rate("robust_accuracy", among, robust)


def certified_share(among: NDArray[np.bool_], certified: NDArray[np.bool_]) -> Rate:
    """Right and proved to stay right, among those asked about (certified accuracy)."""
    return Rate("certified_accuracy", among, certified)


def attack_success(among: NDArray[np.bool_], robust: NDArray[np.bool_], right: NDArray[np.bool_]) -> Rate:
    """Turned by an attack, among the attacked that were right before: what the clean error rate does not show."""
    return Rate("attack_success_rate", among & right, ~robust)
