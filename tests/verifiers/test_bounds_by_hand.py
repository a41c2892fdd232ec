"""Bounds of a network small enough to do on paper.

x in [-1, 1]^2;  z1 = x1 + x2, z2 = x1 - x2;  h = relu(z);  y1 = h1 + h2, y2 = h1 - h2.

Intervals: z in [-2, 2]^2, h in [0, 2]^2, so y1 in [0, 4] and y2 in [-2, 2].
CROWN: both neurons are unstable with l = -2, u = 2, so chord slope u / (u - l) = 1/2, intercept 1; the lower slope
is 0, because u > -l does not hold. y1 <= (z1 / 2 + 1) + (z2 / 2 + 1) = x1 + 2 <= 3;  y1 >= 0.
y2 <= (z1 / 2 + 1) - 0 = (x1 + x2) / 2 + 1 <= 2;  y2 >= 0 - (z2 / 2 + 1) = -(x1 - x2) / 2 - 1 >= -2.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from robust.graph import Kind, trace
from verifiers import METHODS, Effort, Network, Region, lower_bounds
from verifiers.interval import Bounds
from verifiers.propagation import propagate

CPU = torch.device("cpu")


def both_ends(network: Network, region: Region, method: str) -> list[tuple[float, float]]:
    outputs = network.graph.outputs
    unit = torch.eye(outputs)
    found = lower_bounds(network, region, torch.cat([unit, -unit])[None], method)[0]
    return [(float(found[i]), -float(found[outputs + i])) for i in range(outputs)]


def close(found: list[tuple[float, float]], wanted: list[tuple[float, float]]) -> bool:
    """The bounds that paper gives, or a few roundings outside of them; never inside."""
    return all(
        low - 1e-5 <= mine_low <= low and high <= mine_high <= high + 1e-5
        for (mine_low, mine_high), (low, high) in zip(found, wanted, strict=True)
    )


def butterfly(scale: float = 1.0) -> Network:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    turn = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    module.load_state_dict({"0.weight": turn, "2.weight": turn * scale})
    return Network(trace(module, (2,), device=CPU))


def box(lower: list[float], upper: list[float]) -> Region:
    return Region(torch.tensor([lower]), torch.tensor([upper]))


def test_crown_ends_of_the_butterfly() -> None:
    assert close(both_ends(butterfly(), box([-1, -1], [1, 1]), "crown"), [(0, 3), (-2, 2)])


def test_interval_ends_of_the_butterfly() -> None:
    assert close(both_ends(butterfly(), box([-1, -1], [1, 1]), "interval"), [(0, 4), (-2, 2)])


def test_crown_picks_slope_one_where_the_upper_triangle_is_larger() -> None:
    # x in [0, 1] x [-0.5, 0.5]: z1, z2 in [-0.5, 1.5], chord 3/4, intercept 3/8, lower slope 1.
    # y1 <= 3/4 * 2 x1 + 3/4 <= 2.25;  y1 >= z1 + z2 = 2 x1 >= 0.
    # y2 <= 3/4 z1 + 3/8 - z2 = -x1/4 + 7/4 x2 + 3/8 <= 1.25, and IBP says 1.5;  y2 >= -1.25 by symmetry.
    assert close(both_ends(butterfly(), box([0, -0.5], [1, 0.5]), "crown"), [(0, 2.25), (-1.25, 1.25)])


def test_l2_ball_by_the_dual_norm() -> None:
    # Ball of radius 1 around (4, 0), no box in the way: z1 and z2 in [4 - sqrt 2, 4 + sqrt 2], both active, so
    # y1 = 2 x1 in [6, 10] and y2 = 2 x2 in [-2, 2], exactly.
    center = torch.tensor([[4.0, 0.0]])
    region = Region(center - 1, center + 1, center, torch.ones(1))
    first, second = both_ends(butterfly(), region, "crown")
    assert first == pytest.approx((6, 10), abs=1e-5)
    assert second == pytest.approx((-2, 2), abs=1e-5)
    # Intervals take z's ends: y1 <= 8 + 2 sqrt 2; the box corner would say 12.
    (low, high), _ = both_ends(butterfly(), region, "interval")
    assert (low, high) == pytest.approx((8 - 2 * math.sqrt(2), 8 + 2 * math.sqrt(2)), abs=1e-5)


def test_maximum_of_two() -> None:
    class Largest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(len(x), 2, 2).amax(2) @ torch.tensor([[1.0], [-1.0]])

    network = Network(trace(Largest(), (4,), device=CPU))
    # max(x1, x2) with x1 in [2, 3], x2 in [0, 1]: x1. max(x3, x4) with x3 in [0, 2], x4 in [1, 4]: between x4 and 4.
    # y >= x1 - 4 >= -2;  y <= x1 - x4 <= 2.
    region = box([2, 0, 0, 1], [3, 1, 2, 4])
    assert close(both_ends(network, region, "crown"), [(-2, 2)])


def test_cancellation_through_a_residual_sum_is_exact() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 3 - x - x).sum(1, keepdim=True)

    network = Network(trace(Twice(), (2,), device=CPU))
    assert close(both_ends(network, box([0, 0], [1, 1]), "crown"), [(0, 2)])


def test_copies_are_bounded_at_their_original() -> None:
    """Two numbers times each of three: the products read copies, which get the bounds of the two and of the three."""

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.one, self.two = nn.Linear(2, 8), nn.Linear(8, 2), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.first(x))
            return (self.one(h)[:, :, None].expand(-1, 2, 3) * self.two(h)[:, None].expand(-1, 2, 3)).flatten(1)

    torch.manual_seed(0)
    network = Network(trace(Outer(), (2,), device=torch.device("cpu")))
    product = next(node for node in network.graph.nodes if node.kind is Kind.PRODUCT)
    chains = [network.copies(index) for index in product.inputs]
    assert [network.graph.nodes[chain[0].inputs[0]].elements for chain in chains] == [2, 3]
    region = Region(-torch.ones(1, 2), torch.ones(1, 2))
    loose = propagate(network, region, METHODS["interval"], Effort())
    tight = propagate(network, region, METHODS["crown"], Effort())
    x = 2 * torch.rand(5000, 2) - 1
    values = network.graph.values(x)
    for index in product.inputs:
        before, after = loose.bounds[index], tight.bounds[index]
        assert float((after.upper - after.lower).sum()) < float((before.upper - before.lower).sum())
        assert bool((values[index] >= after.lower - 1e-5).all())
        assert bool((values[index] <= after.upper + 1e-5).all())


def test_known_bounds_cut_what_is_found() -> None:
    network = Network(
        trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)), (2,), device=torch.device("cpu"))
    )
    region = Region(-torch.ones(1, 2), torch.ones(1, 2))
    (index,) = network.relaxed_operands
    narrow = Bounds(torch.full((1, 2), -0.1), torch.full((1, 2), 0.2))
    found = propagate(network, region, METHODS["crown"], Effort(), known={index: narrow}).bounds[index]
    assert bool((found.lower >= -0.1).all())
    assert bool((found.upper <= 0.2).all())
