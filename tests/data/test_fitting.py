"""Samples into a subject's shape and box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from robust.data import Dataset, fit_shape, fit_to_box
from robust.errors import DataRangeError, DataShapeError
from robust.subjects import TorchClassifier


def dataset(samples: np.ndarray, **options: object) -> Dataset:
    array = np.asarray(samples, dtype=np.float32)
    return Dataset("t", "t.npz", array, np.zeros(len(array), np.int64), ("0",), **options)  # type: ignore[arg-type]


def subject(shape: tuple[int, ...], box: tuple[object, object] = (0.0, 1.0)) -> TorchClassifier:
    return TorchClassifier(nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 2)), shape, box)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "wanted", "place"),
    [
        ((2, 3), (1, 2, 3), (0, 1, 2)),
        ((2, 3), (2, 3, 1), (1, 2, 0)),
        ((2, 3), (6,), (5,)),
        ((6,), (1, 2, 3), (0, 1, 2)),
        ((4, 5, 3), (3, 4, 5), (2, 3, 4)),
        ((3, 4, 5), (4, 5, 3), (3, 4, 2)),
        ((6, 1), (6,), (5,)),
    ],
)
def test_shapes_with_one_sensible_reading(
    own: tuple[int, ...], wanted: tuple[int, ...], place: tuple[int, ...]
) -> None:
    array = np.arange(2 * int(np.prod(own))).reshape(2, *own)
    fitted = fit_shape(dataset(array), wanted)
    assert fitted.sample_shape == wanted
    assert fitted.samples[(1, *place)] == array[1].reshape(-1)[-1]
    assert len(fitted.notes) == 1


def test_channels_are_moved_not_reshaped() -> None:
    array = np.zeros((1, 4, 5, 3))
    array[0, 2, 1, 0] = 7
    assert fit_shape(dataset(array), (3, 4, 5)).samples[0, 0, 2, 1] == 7


@pytest.mark.parametrize(
    ("own", "wanted"), [((3, 4, 4), (48,)), ((2, 3), (3, 2)), ((4,), (5,)), ((8, 8, 3), (1, 8, 8))]
)
def test_other_shapes_are_refused(own: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    with pytest.raises(DataShapeError, match=r"t\.npz") as caught:
        fit_shape(dataset(np.zeros((2, *own))), wanted)
    assert str(list(wanted)) in str(caught.value)


def test_bytes_are_mapped_onto_the_box() -> None:
    raw = dataset(np.array([[0.0, 255.0, 51.0]]), raw_uint8=True)
    assert fit_to_box(raw, subject((3,))).samples.tolist() == [[0.0, 1.0, np.float32(0.2)]]
    fitted = fit_to_box(raw, subject((3,), (-1.0, 1.0)))
    np.testing.assert_allclose(fitted.samples, [[-1.0, 1.0, -0.6]], atol=1e-7)
    assert not fitted.raw_uint8
    assert fit_to_box(raw, subject((3,), (0, 255))).samples.tolist() == raw.samples.tolist()
    own = subject((3,), ([0, 0, 0], [1, 255, 99]))
    assert fit_to_box(raw, own).samples.tolist() == raw.samples.tolist()


@settings(deadline=None)
@given(st.floats(-50, 50), st.floats(0.01, 100))
def test_every_byte_lands_inside_any_box(low: float, width: float) -> None:
    raw = dataset(np.arange(256.0)[:, None], raw_uint8=True)
    classifier = subject((1,), (low, low + width))
    fitted = fit_to_box(raw, classifier)
    assert bool(classifier.input_box.contains(torch.from_numpy(fitted.samples)).all())
    assert (np.diff(fitted.samples[:, 0]) >= 0).all()


def test_values_outside_the_box_are_refused_with_place_and_hint() -> None:
    data = dataset(np.array([[0.5, 0.5], [0.5, 3.0]]), feature_names=("age", "income"))
    with pytest.raises(DataRangeError, match=r"1 of 4[\s\S]*\[0, 1\][\s\S]*3 in sample 1 at income"):
        fit_to_box(data, subject((2,)))
    with pytest.raises(DataRangeError, match="data.scale = 'bytes'"):
        fit_to_box(dataset(np.array([[0.0, 200.0]])), subject((2,)))


def test_rounding_is_clipped_and_nan_is_not() -> None:
    assert fit_to_box(dataset(np.array([[1.000001, -1e-7]])), subject((2,))).samples.tolist() == [[1.0, 0.0]]
    for bad in (np.nan, np.inf):
        with pytest.raises(DataRangeError, match="NaN or infinite"):
            fit_to_box(dataset(np.array([[0.5, bad]])), subject((2,)))


def test_fitting_twice_changes_nothing() -> None:
    raw = dataset(np.array([[0.0, 255.0], [10.0, 20.0]]), raw_uint8=True)
    once = fit_to_box(raw, subject((2,), (-1, 1)))
    twice = fit_to_box(once, subject((2,), (-1, 1)))
    assert once.samples.tolist() == twice.samples.tolist()
    assert replace(once, notes=()).digest == replace(twice, notes=()).digest
