from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robust.graph import Kind, Node
from verifiers.relaxations.maximum import MaximumLines, maximum_lines


def _node(windows: list[list[int]]) -> Node:
    return Node(1, "amax", Kind.MAXIMUM, None, {}, (0,), 1, (len(windows),), "test", torch.tensor(windows))


def _value(lines: MaximumLines, x: torch.Tensor) -> torch.Tensor:
    """``[..., points]`` of the only window of the only sample, at ``x`` ``[points, k]``, in float64."""
    return lines.weights[..., 0, 0, :].double() @ x.double().T + lines.intercept[..., 0, 0].double()[..., None]


def test_two_overlapping_variables_by_hand() -> None:
    """x in [0, 4], y in [1, 2]: level 2 needs x with weight (4 - 2) / 4, so x / 2 + 2; level 1 needs 3/4 x + y, ..."""
    found = maximum_lines(_node([[0, 1]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[4.0, 2.0]]))
    assert found.lower.weights.tolist() == [[[0.0, 1.0]]]
    assert found.family.weights[:, 0, 0].tolist() == [[0.5, 0.0], [0.75, 1.0]]
    assert found.family.intercept[:, 0, 0].tolist() == pytest.approx([2.0, 0.0], abs=1e-5)
    assert found.eligible.tolist() == [[[True, True]]]
    middle = torch.tensor([[2.0, 1.5]])
    assert _value(found.upper, middle).item() == pytest.approx(3.0, abs=1e-5)  # the constant is 4


def test_a_decided_window_is_its_element() -> None:
    found = maximum_lines(_node([[0, 1, -1]]), torch.tensor([[0.0, 3.0]]), torch.tensor([[2.0, 5.0]]))
    assert found.upper.weights.tolist() == found.lower.weights.tolist() == [[[0.0, 1.0, 0.0]]]
    assert found.upper.intercept.tolist() == [[0.0]]
    assert not found.open.item()


@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(0, 4)), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_planes_hold_at_all_corners(pairs: list[tuple[float, float]], padded: bool, single: bool) -> None:
    """A convex function less a plane is largest at a corner; the height in the middle is at most the constant's."""
    dtype = torch.float32 if single else torch.float64
    lower = torch.tensor([[low for low, _ in pairs]], dtype=dtype)
    upper = torch.maximum(torch.tensor([[low + width for low, width in pairs]], dtype=dtype), lower)
    count = len(pairs)
    found = maximum_lines(_node([[*range(count), *([-1] if padded else [])]]), lower, upper)
    ends = zip(lower[0].tolist(), upper[0].tolist(), strict=True)
    corners = torch.tensor(list(itertools.product(*ends)), dtype=torch.float64)
    x = torch.cat([corners, torch.zeros(len(corners), 1)], 1) if padded else corners
    largest = corners.amax(1)
    assert bool((_value(found.lower, x) <= largest).all())
    assert bool((_value(found.upper, x) >= largest - 1e-14).all())
    assert bool((_value(found.family, x) >= largest - 1e-14).all())
    middle = x.mean(0, keepdim=True)
    assert _value(found.upper, middle).item() <= upper.max().item() + 1e-4
