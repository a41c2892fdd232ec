"""Comparisons, logic, choices by values and casts: the graph is the model, and bounds hold on both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from robust.errors import UnsupportedOperatorError
from robust.graph import trace
from verifiers import Network, lower_bounds
from verifiers.region import Region

CPU = torch.device("cpu")
CHOICES: dict[str, Callable[[Tensor], Tensor]] = {
    "where": lambda x: torch.where(x > 0.3, x * 2, x - 1),
    "where with a constant": lambda x: torch.where(x > -5, x, torch.tensor(10.0)),
    "equal": lambda x: (x == 0.25).float() + x,
    "not equal": lambda x: (x != 0.25).double().float(),
    "at least": lambda x: (x >= x.roll(1, 1)).float() + (x <= 0.2).float(),
    "cast to whole numbers": lambda x: (x * 7).long().float() * x,
    "arithmetic of whole numbers": lambda x: ((x * 7).int() * 3 + 1 - (x > 0).int()).float(),
    "cast to truth": lambda x: x.bool().float(),
    "and": lambda x: ((x > 0) & (x < 0.5)).float(),
    "or and not": lambda x: torch.where((x < 0) | (x > 0.5) | ~(x > 0.2), x, -x),
    "exclusive or": lambda x: ((x > 0) ^ (x > 0.5)).float(),
    "and of numbers": lambda x: torch.logical_and(x, x > 0.2).float(),
    "sum of truths": lambda x: ((x > 0) + (x > 0.2)).float(),
    "product of truths": lambda x: ((x > 0) * (x < 0.2)).float(),
    "count": lambda x: (x > 0).sum(1, keepdim=True).float() + x,
    "mask": lambda x: x.masked_fill(x < 0, 3.0),
    "mask in place": lambda x: x.clone().masked_fill_(x < 0, 3.0),
    "mask times value": lambda x: (x > 0) * x * 2,
    "moved": lambda x: (x > 0).reshape(-1, 2, 2).transpose(1, 2).flatten(1)[:, 1:].float(),
    "threshold": lambda x: F.threshold(x, 0.1, -2.0),
    "hardshrink": F.hardshrink,
    "heaviside": lambda x: torch.heaviside(x, torch.tensor([0.5])),
    "trunc and frac": lambda x: torch.trunc(3 * x) + torch.frac(5 * x),
}


class Of(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize("name", CHOICES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_bounds_hold_wherever_the_model_chooses(name: str, data: st.DataObject) -> None:
    model = Of(CHOICES[name])
    graph = trace(model, (4,), device=CPU)
    quarters = st.integers(-6, 6).map(lambda whole: whole / 4)
    middle = torch.tensor(data.draw(st.lists(quarters, min_size=4, max_size=4)))
    radius = data.draw(st.sampled_from([0.0, 0.01, 0.25, 1.0]))
    lower, upper = middle - radius, middle + radius
    random = torch.rand(400, 4, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99))))
    grid = ((lower + (upper - lower) * random) * 20).round() / 20
    points = torch.cat([lower + (upper - lower) * random, grid, middle[None]]).clamp(lower, upper)
    answers = model(points)
    assert torch.equal(graph.forward(points), answers)
    width = answers.shape[1]
    both = torch.cat([torch.eye(width), -torch.eye(width)])[None]
    for method in ("interval", "crown"):
        bounds = lower_bounds(Network(graph), Region(lower[None], upper[None]), both, method)[0]
        slack = 1e-5 * (1 + answers.abs().amax())
        assert bool((answers >= bounds[:width] - slack).all())
        assert bool((answers <= -bounds[width:] + slack).all())


def test_a_choice_that_is_clear_costs_nothing() -> None:
    graph = trace(Of(CHOICES["where with a constant"]), (2,), device=CPU)
    box = Region(torch.tensor([[0.0, 0.25]]), torch.tensor([[1.0, 0.5]]))
    both = torch.cat([torch.eye(2), -torch.eye(2)])[None]
    bounds = lower_bounds(Network(graph), box, both, "crown")[0]
    assert torch.allclose(bounds, torch.tensor([0.0, 0.25, -1.0, -0.5]), atol=1e-5)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: (x * 3).to(torch.uint8).float(), "_to_copy"),
        (lambda x: torch.where(x > 0, x, torch.tensor(float("-inf"))), "infinite value"),
        (lambda x: ((x * 3).long() & 1).float(), "bitwise_and"),
        (lambda x: x[:, (x * 0).long()[0]], "index"),
    ],
)
def test_what_has_no_rule_is_named(function: Callable[[Tensor], Tensor], named: str) -> None:
    with pytest.raises(UnsupportedOperatorError, match=named):
        trace(Of(function), (4,), device=CPU)
