"""Tables in shares of each column's range."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robust.data import Dataset
from robust.errors import DataRangeError
from robust.subjects import Classifier, RangeScaled, TorchClassifier, scale_to_ranges
from tests.subjects.tiny import two_by_two

DATA = Dataset("t", "t.csv", np.float32([[10, 5], [20, 5], [30, 5]]), np.array([0, 1, 1]), ("0", "1"))


def test_shares_by_hand_and_a_column_without_range() -> None:
    inner = TorchClassifier(two_by_two(), (2,), ([0, 0], [100, 100]))
    scaled, (data,) = scale_to_ranges(inner, DATA)
    assert isinstance(scaled, Classifier)
    assert data.samples.tolist() == [[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]
    x = torch.from_numpy(data.samples)
    assert scaled.logits(x).tolist() == [[10.0, 10.0], [20.0, 10.0], [30.0, 10.0]]
    module = scaled.module()
    assert module is not None
    assert torch.equal(module(x), scaled.replay(x))
    assert scaled.input_box.upper.tolist() == [1.0, 1.0]
    assert scaled.digest != inner.digest
    assert scaled.digest != RangeScaled(inner).digest


def test_values_outside_are_refused() -> None:
    inner = TorchClassifier(two_by_two(), (2,))
    with pytest.raises(DataRangeError, match="outside the ranges"):
        RangeScaled(inner).scale(DATA)


def test_abnormal_inputs_may_leave_the_ranges_and_it_is_noted() -> None:
    inner = TorchClassifier(two_by_two(), (2,), ([10, 5], [30, 5]))
    outside = Dataset("o", "o.csv", np.float32([[0, 5], [50, 9], [20, 5]]), np.zeros(3, np.int64), ("unlabelled",))
    with pytest.raises(DataRangeError):
        RangeScaled(inner).scale(outside)
    kept = RangeScaled(inner).scale(outside, beyond=True)
    assert kept.samples.tolist() == [[-0.5, 0.0], [2.0, 0.0], [0.5, 0.0]]
    assert "2 of 3 samples" in kept.notes[-1]
    broken = Dataset("o", "o.csv", np.float32([[np.nan, 5]]), np.zeros(1, np.int64), ("unlabelled",))
    with pytest.raises(DataRangeError):
        RangeScaled(inner).scale(broken, beyond=True)
