"""Stratified subsamples: every class first, proportional, nested, by seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robust.data import Dataset


def of_labels(labels: list[int]) -> Dataset:
    values = np.asarray(labels, dtype=np.int64)
    samples = np.zeros((len(values), 1), dtype=np.float32)
    return Dataset("d", "d", samples, values, tuple(map(str, sorted(set(labels)))))


labelled = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(of_labels)


@given(labelled, st.integers(0, 70), st.integers(0, 70), st.integers(0, 99))
def test_nested_exact_and_by_seed(data: Dataset, count: int, other: int, seed: int) -> None:
    small, large = sorted((count, other))
    few, many = data.stratified_indices(small, seed), data.stratified_indices(large, seed)
    assert len(few) == min(small, len(data))
    assert set(few) <= set(many)
    assert few.tolist() == sorted(set(few.tolist()))
    assert few.tolist() == data.stratified_indices(small, seed).tolist()


@given(labelled, st.integers(5, 70), st.integers(0, 99))
def test_every_class_is_there_in_its_proportion(data: Dataset, count: int, seed: int) -> None:
    drawn = data.labels[data.stratified_indices(count, seed)]
    for label, size in zip(*np.unique(data.labels, return_counts=True), strict=True):
        share = size * min(count, len(data)) / len(data)
        found = int((drawn == label).sum())
        assert found >= 1
        assert abs(found - share) <= len(np.unique(data.labels))


def test_seeds_differ() -> None:
    data = of_labels([0, 1] * 50)
    assert data.stratified_indices(10, 0).tolist() != data.stratified_indices(10, 1).tolist()
