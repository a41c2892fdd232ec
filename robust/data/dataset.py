"""The noun: samples with labels, groups and identifiers, in input units."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from robust.errors import DataShapeError


@dataclass(frozen=True, eq=False)
class Dataset:
    """A labelled data set. Arrays are read-only by convention.

    Attributes:
        name: for people.
        source: a path, or ``builtin:digits``.
        samples: float32 ``[n, *shape]``.
        labels: int64 ``[n]``: class *indices* of the model once ``match_labels`` has been called; before that the
            place of each label in ``label_values``.
        label_values: the distinct labels as they stand in the file, sorted, as text; place = index.
        groups: sensitive column -> group name per sample, text ``[n]``.
        identifiers: one name per sample: row number, file name.
        feature_names: for tables, one per feature.
        raw_uint8: the file held bytes 0-255 (``samples`` are then still 0-255 until scaled to the input box).
        notes: assumptions made at load.
    """

    name: str
    source: str
    samples: NDArray[np.float32]
    labels: NDArray[np.int64]
    label_values: tuple[str, ...]
    groups: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    identifiers: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    raw_uint8: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.samples)
        for what, found in (("labels", len(self.labels)), ("identifiers", len(self.identifiers) or count)):
            if found != count:
                raise DataShapeError(f"{self.source}: {what} and samples differ in number", wanted=count, got=found)
        for column, values in self.groups.items():
            if len(values) != count:
                raise DataShapeError(
                    f"{self.source}: group column {column!r} and samples differ in number",
                    wanted=count,
                    got=len(values),
                )

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.samples.shape[1:])

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over samples, labels, groups and their shapes."""
        hasher = hashlib.sha256()
        for array in (self.samples, self.labels):
            hasher.update(f"{array.dtype}{array.shape}".encode())
            hasher.update(np.ascontiguousarray(array).tobytes())
        hasher.update("\x1f".join(self.label_values).encode())
        for column in sorted(self.groups):
            hasher.update(column.encode())
            hasher.update("\x1f".join(map(str, self.groups[column])).encode())
        return hasher.hexdigest()

    def take(self, indices: NDArray[np.int64]) -> Dataset:
        """The samples at ``indices``, with their labels, groups and identifiers."""
        return replace(
            self,
            samples=self.samples[indices],
            labels=self.labels[indices],
            groups={column: values[indices] for column, values in self.groups.items()},
            identifiers=tuple(self.identifiers[i] for i in indices) if self.identifiers else (),
        )

    def stratified_indices(self, count: int, seed: int) -> NDArray[np.int64]:
        """At most ``count`` indices, every class first once and then in its proportion; sorted.

        Drawn by ``numpy.random.default_rng(seed)``. Nested: a smaller count gives a part of what a larger one gives,
        so that two checks with budgets of their own speak of the same samples as far as both reach.
        """
        if count >= len(self):
            return np.arange(len(self), dtype=np.int64)
        rng = np.random.default_rng(seed)
        place = np.empty(len(self))
        for label in np.unique(self.labels):
            members = rng.permutation(np.flatnonzero(self.labels == label))
            place[members] = np.arange(len(members)) / len(members)
        order = np.lexsort((rng.permutation(len(self)), place))
        return np.sort(order[:count]).astype(np.int64)
