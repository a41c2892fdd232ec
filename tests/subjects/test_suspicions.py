from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from robust.data.dataset import Dataset
from robust.errors import InputBoxError
from robust.subjects import TorchClassifier
from robust.subjects.suspicions import check_assumed_box, likely_order

NAMES = ("a", "b", "c", "d")


def test_the_order_under_which_the_answers_are_right() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    # Output p stands for label ORDER[p]: the model answers p where the label is ORDER[p].
    order = np.array([2, 0, 3, 1])
    found = likely_order(np.argsort(order)[labels], labels, NAMES)
    assert found == (("c", "a", "d", "b"), 1.0)


def test_guesses_have_no_order() -> None:
    rng = np.random.default_rng(0)
    assert likely_order(rng.integers(0, 4, 200), rng.integers(0, 4, 200), NAMES) is None


def threshold(at: float) -> TorchClassifier:
    """One input; class 1 where it exceeds ``at``."""
    layer = nn.Linear(1, 2)
    layer.weight.data = torch.tensor([[0.0], [1.0]])
    layer.bias.data = torch.tensor([0.0, -at])
    return TorchClassifier(layer, (1,), (0.0, 1.0))


def halves(count: int) -> Dataset:
    """Points of [0, 1] whose class is the half they lie in."""
    points = (np.arange(count) + 0.5) / count
    return Dataset("h", "h.npz", np.float32(points)[:, None], (points > 0.5).astype(np.int64), ("0", "1"))


@pytest.mark.parametrize(("at", "box"), [(0.0, r"\[-1, 1\]"), (127.5, r"\[0, 255\]")])
def test_the_better_box_is_named(at: float, box: str) -> None:
    with pytest.raises(InputBoxError, match=box):
        check_assumed_box(threshold(at), halves(100))


def test_a_model_that_is_right_in_the_assumed_box_passes() -> None:
    check_assumed_box(threshold(0.5), halves(100))


def test_too_few_samples_accuse_nobody() -> None:
    """8 samples: 4 are wrong in [0, 1] and right in [-1, 1]; four heads in a row have p = 1/16."""
    check_assumed_box(threshold(0.0), halves(8))
