"""From labels in a file to classes of a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.data import Dataset, match_labels
from robust.data.labels import encode_labels
from robust.errors import DataShapeError, DataTypeError, EmptyClassError, LabelError


def dataset(raw: np.ndarray) -> Dataset:
    places, values, notes = encode_labels(raw, "t")
    return Dataset("t", "t.csv", np.zeros((len(raw), 1), np.float32), places, values, notes=notes)


def test_numbers_sort_as_numbers_even_as_text() -> None:
    for raw in (np.array([10, 9, 10, 2]), np.array(["10", "9", "10", "2"]), np.array([10.0, 9.0, 10.0, 2.0])):
        places, values, _ = encode_labels(raw, "t")
        assert values == ("2", "9", "10")
        assert places.tolist() == [2, 1, 2, 0]


def test_one_hot_columns_and_booleans() -> None:
    places, values, notes = encode_labels(np.array([[0, 1, 0], [1, 0, 0]]), "t")
    assert (places.tolist(), values, len(notes)) == ([1, 0], ("0", "1", "2"), 1)
    assert encode_labels(np.array([True, False]), "t")[0].tolist() == [1, 0]
    assert encode_labels(np.array([[3], [5]]), "t")[1] == ("3", "5")


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (np.array([0.5, 1.0]), LabelError),
        (np.array([np.nan, 1.0]), LabelError),
        (np.ones((2, 3)), DataShapeError),
        (np.array([1j, 2j]), DataTypeError),
    ],
)
def test_what_is_no_label(raw: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_labels(raw, "t")


def test_identity_for_whole_numbers_within_the_classes() -> None:
    matched = match_labels(dataset(np.array([0, 2, 1, 2])), 3)
    assert matched.labels.tolist() == [0, 2, 1, 2]
    assert matched.notes == ()


def test_a_missing_class_is_not_filled_by_its_neighbour() -> None:
    """Labels 0 and 2 of three classes stay 0 and 2; sorted order would call 2 class 1."""
    with pytest.raises(EmptyClassError, match="none of 1"):
        match_labels(dataset(np.array([0, 2])), 3)
    matched = match_labels(dataset(np.array([0, 2])), 3, allow_missing_classes=True)
    assert matched.labels.tolist() == [0, 2]
    assert matched.label_values == ("0", "1", "2")


def test_five_odd_labels_for_five_classes() -> None:
    matched = match_labels(dataset(np.array([9, 1, 5, 3, 7, 1])), 5)
    assert matched.labels.tolist() == [4, 0, 2, 1, 3, 0]
    assert "1, 3, 5, 7, 9" in matched.notes[0]
    assert matched.label_values == ("1", "3", "5", "7", "9")


def test_names_beat_sorted_order() -> None:
    matched = match_labels(dataset(np.array(["cat", "dog", "ape"])), 3, class_names=["dog", "cat", "ape"])
    assert matched.labels.tolist() == [1, 0, 2]
    assert match_labels(dataset(np.array(["b", "a"])), 2, class_names=["x", "y"]).labels.tolist() == [1, 0]


def test_an_explicit_order() -> None:
    matched = match_labels(dataset(np.array([0, 1, 1])), 2, labels_order=[1, "0"])
    assert matched.labels.tolist() == [1, 0, 0]
    for order in ([0], [0, 0], [0, 2]):
        with pytest.raises(LabelError):
            match_labels(dataset(np.array([0, 1])), 2, labels_order=order)


def test_what_fits_nothing() -> None:
    with pytest.raises(LabelError, match="exactly 3 distinct") as caught:
        match_labels(dataset(np.array([0, 7])), 3)
    assert "0, 7" in str(caught.value)


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12, unique=True), st.data())
def test_matching_twice_changes_nothing_and_order_is_kept(values: list[int], data: st.DataObject) -> None:
    drawn = data.draw(st.permutations(values * 2))
    matched = match_labels(dataset(np.array(drawn)), len(values))
    again = match_labels(matched, len(values))
    assert again.labels.tolist() == matched.labels.tolist()
    pairs = sorted(zip(drawn, matched.labels.tolist(), strict=True))
    assert [label for _, label in pairs] == sorted(label for _, label in pairs)
