"""Unsafe sets by name, against their definitions on sampled outputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from robust.errors import PropertyError
from robust.properties import (
    Box,
    confidence_above,
    confidence_above_on_logits,
    misclassification,
    output_range,
    targeted,
    top_k,
    with_softmax,
)

UNIT = Box(torch.zeros(3), torch.ones(3))


def logits(classes: int, seed: int) -> torch.Tensor:
    return torch.randint(-2, 3, (60, classes), generator=torch.Generator().manual_seed(seed)).double()


@given(st.integers(3, 6), st.integers(0, 10_000))
def test_targeted_means_that_the_target_reaches_all(classes: int, seed: int) -> None:
    y = logits(classes, seed)
    label, target = seed % classes, (seed + 1) % classes
    unsafe = targeted(UNIT, label, target, classes).unsafe
    assert torch.equal(unsafe.contains(y), y[:, target] == y.amax(1))


@given(st.integers(3, 6), st.integers(1, 2), st.integers(0, 10_000))
def test_top_k_counts_the_rivals_that_reach_the_label(classes: int, k: int, seed: int) -> None:
    y, label = logits(classes, seed), seed % classes
    unsafe = top_k(UNIT, label, k, classes).unsafe
    rivals = (y >= y[:, label : label + 1]).sum(1) - 1
    assert torch.equal(unsafe.contains(y), rivals >= k)
    if k == 1:
        assert torch.equal(unsafe.contains(y), misclassification(UNIT, label, classes).unsafe.contains(y))


@pytest.mark.parametrize("label", [None, 0, 1])
@pytest.mark.parametrize("level", [0.01, 0.5, 0.99])
def test_confidence_on_logits_is_that_of_the_softmax(level: float, label: int | None) -> None:
    y = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
    on_logits = confidence_above_on_logits(UNIT, level, label).unsafe.contains(y)
    on_probabilities = confidence_above(UNIT, level, 2, label).unsafe.contains(torch.softmax(y, 1))
    assert torch.equal(on_logits, on_probabilities)
    assert int(on_logits.sum()) > 0
    edge = torch.zeros(1, 2, dtype=torch.float64)
    edge[0, label or 0] = math.log(level) - math.log1p(-level)
    assert bool(confidence_above_on_logits(UNIT, level, label).unsafe.contains(edge))


def test_with_softmax_gives_probabilities_and_keeps_the_mode() -> None:
    network = nn.Linear(3, 4).eval()
    x = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    whole = with_softmax(network)
    assert not whole.training
    torch.testing.assert_close(whole(x), torch.softmax(network(x), 1))
    unsafe = confidence_above(UNIT, 0.9, 4).unsafe
    probabilities = torch.tensor([[0.9, 0.1, 0, 0], [0.89, 0.11, 0, 0], [0, 0, 0, 1.0]], dtype=torch.float64)
    assert unsafe.contains(probabilities).tolist() == [True, False, True]
    assert confidence_above(UNIT, 0.9, 4, 0).unsafe.contains(probabilities).tolist() == [True, False, False]


def test_output_range_counts_its_ends_as_unsafe() -> None:
    y = torch.tensor([[9.0, -1.0], [9.0, 0.0], [9.0, 0.5], [9.0, 1.0], [9.0, 2.0]])
    assert output_range(UNIT, 0.0, 1.0, 1, 2).unsafe.contains(y).tolist() == [True, True, False, True, True]
    assert output_range(UNIT, 0.0, None, 1, 2).unsafe.contains(y).tolist() == [True, True, False, False, False]
    assert output_range(UNIT, None, 1.0, 1, 2).unsafe.contains(y).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    "make",
    [
        lambda: targeted(UNIT, 0, 0, 3),
        lambda: targeted(UNIT, 0, 3, 3),
        lambda: targeted(UNIT, -1, 0, 3),
        lambda: top_k(UNIT, 0, 0, 3),
        lambda: top_k(UNIT, 0, 3, 3),
        lambda: top_k(UNIT, 0, 5, 1000),
        lambda: confidence_above(UNIT, 1.0, 3),
        lambda: confidence_above(UNIT, 0.5, 3, 3),
        lambda: confidence_above(UNIT, float("nan"), 3),
        lambda: confidence_above_on_logits(UNIT, 0.5, 2),
        lambda: output_range(UNIT, None, None, 0, 1),
        lambda: output_range(UNIT, 1.0, 0.0, 0, 1),
        lambda: output_range(UNIT, 0.0, float("nan"), 0, 1),
        lambda: output_range(UNIT, 0.0, 1.0, 1, 1),
    ],
)
def test_impossible_questions_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(PropertyError):
        make()
