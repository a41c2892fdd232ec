"""Margins of properties: the best constraint of the worst clause, kinds mixed, and never a proof out of nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.graph import trace
from robust.properties import Box, Halfspaces, InputSet, L2Ball, Property, UnsafeSet
from verifiers import Deadline, Network, Region, decide
from verifiers.bound_stages import bound_margins
from verifiers.certify import Confirmed
from verifiers.margins import Margin, proved_margins


def line() -> Network:
    """``y = (x, -x)``."""
    layer = nn.Linear(1, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0], [-1.0]])
    return Network(trace(layer, (1,), device=torch.device("cpu")))


BOX = Box(torch.tensor([0.25]), torch.tensor([0.75]))


def below(inputs: InputSet, *limits: tuple[float, float]) -> Property:
    """Unsafe: ``y0 <= a and y1 <= b``, for any of the limits ``(a, b)``."""
    return Property(inputs, UnsafeSet(tuple(Halfspaces(torch.eye(2), torch.tensor(ends)) for ends in limits)))


def test_the_best_constraint_of_the_worst_clause_whatever_the_kinds() -> None:
    # y0 in [.25, .75], y1 in [-.75, -.25]. (0, 5): y0 exceeds 0 by .25; (-1, 5): by 1.25; (5, 5): it falls 4.75 short.
    ball = L2Ball(torch.tensor([0.5]), 0.25, Box(torch.zeros(1), torch.ones(1)))
    asked = [below(BOX, (0.0, 5.0)), below(ball, (0.0, 5.0), (-1.0, 5.0)), below(BOX, (-1.0, 5.0), (5.0, 5.0))]
    found = bound_margins(line(), asked, "crown")
    assert [margin.reals for margin in found] == pytest.approx([0.25, 0.25, -4.75], abs=1e-4)
    assert [margin.runs for margin in found] == pytest.approx([0.25, 0.25, -4.75], abs=1e-4)


@pytest.mark.parametrize("nothing", [math.nan, math.inf, -math.inf])
def test_bounds_that_say_nothing_prove_nothing(nothing: float) -> None:
    def lower(network: Network, region: Region, matrices: Tensor, offsets: Tensor) -> Confirmed:
        return Confirmed(*(torch.full(offsets.shape, nothing, dtype=torch.float64) for _ in range(3)))

    assert proved_margins(line(), [below(BOX, (0.0, 0.0))], lower) == [Margin(-math.inf, -math.inf)]


def test_what_does_not_fit_is_refused() -> None:
    wide = Box(torch.zeros(2), torch.ones(2))
    with pytest.raises(PropertyError, match="shape"):
        decide(line(), [below(wide, (0.0, 0.0))], deadline=Deadline(None))
