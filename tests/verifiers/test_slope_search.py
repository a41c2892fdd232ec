"""Optimised lines: by hand, against autograd, against a linear programme, and never over what is true."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy import optimize
from torch import Tensor, nn

from robust.graph import trace
from tests.verifiers.test_bounds_by_hand import both_ends, box, butterfly
from verifiers import METHODS, Network, Region, lower_bounds
from verifiers.deadline import OutOfTimeError
from verifiers.functions import Functions
from verifiers.memory import Effort
from verifiers.methods import method_of
from verifiers.propagation import propagate
from verifiers.slope_search import SlopeSearch

CPU = torch.device("cpu")


def test_a_slope_by_hand() -> None:
    # x in [-1, 1]^2, z = (x1 + x2, x1 - x2), both in [-2, 2]; chords 1/2, intercepts 1.
    # y2 = h1 - h2 >= a z1 - (z2 / 2 + 1): with a = 1/2 it is x2 - 1 >= -2, with a = 0 it is -x1/2 + x2/2 - 1 >= -2,
    # with a in between -(1/2 - a) x1 + (1/2 + a) x2 - 1 >= -2 again, with a = 1 it is x1/2 + 3/2 x2 - 1 >= -3.
    ends = both_ends(butterfly(), box([-1, -1], [1, 1]), "alpha-crown")
    assert ends[1][0] == pytest.approx(-2, abs=1e-5)
    # x1 in [0, 2], x2 in [-1, 1]: z1, z2 in [-1, 3], chord 3/4, intercept 3/4.
    # y2 >= a z1 - 3/4 z2 - 3/4 = (a - 3/4) x1 + (a + 3/4) x2 - 3/4, at its least over the box:
    # a <= 3/4: 2 (a - 3/4) - (a + 3/4) - 3/4 = a - 3; a >= 3/4: -(a + 3/4) - 3/4 = -a - 3/2. Best at 3/4: -9/4.
    # CROWN takes a = 1 (3 > 1): -5/2. Intervals of the joined layer: 0 - 3 = -3.
    region = box([0, -1], [2, 1])
    assert both_ends(butterfly(), region, "crown")[1][0] == pytest.approx(-2.5, abs=1e-5)
    found = both_ends(butterfly(), region, "alpha-crown")[1][0]
    assert -2.3 <= found <= -2.25


def deep(widths: list[int], seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers[:-1]).double()


def programme(weights: list[tuple[Tensor, Tensor]], linear, region: Region, row: Tensor) -> float:  # type: ignore[no-untyped-def]
    """The best that any lines can give: the triangle relaxation as a linear programme over all values."""
    sizes = [weights[0][0].shape[1]]
    for weight, _ in weights[:-1]:
        sizes += [weight.shape[0], weight.shape[0]]
    total, starts = sum(sizes), [sum(sizes[:i]) for i in range(len(sizes))]
    equal, equals, upper, uppers = [], [], [], []
    limits: list[tuple[float | None, float | None]] = [
        (float(a), float(b)) for a, b in zip(region.lower[0], region.upper[0], strict=True)
    ] + [(None, None)] * (total - sizes[0])
    for layer, (weight, bias) in enumerate(weights[:-1]):
        z, h, below = starts[2 * layer + 1], starts[2 * layer + 2], starts[2 * layer]
        low, high = (end[0] for end in linear.bounds[2 * layer + 1].flat(1))
        for i in range(weight.shape[0]):
            line = torch.zeros(total, dtype=torch.float64)
            line[z + i], line[below : below + weight.shape[1]] = 1.0, -weight[i]
            equal.append(line.numpy())
            equals.append(float(bias[i]))
            for slope, shift in ((0.0, 0.0), (1.0, 0.0)):
                line = torch.zeros(total, dtype=torch.float64)
                line[h + i], line[z + i] = -1.0, slope
                upper.append(line.numpy())
                uppers.append(-shift)
            least, most = min(float(low[i]), 0.0), max(float(high[i]), 0.0)
            chord = 1.0 if low[i] >= 0 else 0.0 if high[i] <= 0 else most / (most - least)
            line = torch.zeros(total, dtype=torch.float64)
            line[h + i], line[z + i] = 1.0, -chord
            upper.append(line.numpy())
            uppers.append(-chord * least if 0 < chord < 1 else 0.0)
    weight, bias = weights[-1]
    cost = torch.zeros(total, dtype=torch.float64)
    cost[starts[-1] :] = row @ weight
    solved = optimize.linprog(cost.numpy(), upper, uppers, equal, equals, limits, method="highs")
    return float(solved.fun + row @ bias)


@pytest.mark.parametrize("seed", range(4))
def test_no_better_than_the_linear_programme_and_near_to_it(seed: int) -> None:
    module = deep([3, 6, 6, 2], seed)
    network = Network(trace(module, (3,), device=CPU))
    region = Region(-torch.ones(1, 3).double(), torch.ones(1, 3).double())
    row = torch.tensor([1.0, -1.0], dtype=torch.float64)
    weights = [(layer.weight.detach(), layer.bias.detach()) for layer in module if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        linear = propagate(network, region, method_of("crown"), Effort())
        crown = float(linear.minimum(Functions.of(network.graph.output, row[None, None])))
        found = float(SlopeSearch(linear).maximise(Functions.of(network.graph.output, row[None, None]), 60))
    best = programme(weights, linear, region, row)
    assert found <= best + 1e-7
    assert crown - 1e-9 <= found
    assert best - found <= 0.15 * max(best - crown, 1e-9) + 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_tighter_than_crown_on_the_whole(seed: int) -> None:
    module = deep([4, 20, 20, 20, 3], seed)
    network = Network(trace(module, (4,), device=CPU))
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    region, unit = Region(x - 0.2, x + 0.2), torch.cat([torch.eye(3), -torch.eye(3)])[None].double()
    width = {name: -float(lower_bounds(network, region, unit, name).sum()) for name in METHODS}
    assert width["alpha-crown"] < 0.9 * width["crown"]
    assert width["crown"] < width["crown-ibp"] <= width["interval"] + 1e-9


def test_float32_is_within_float64_and_its_rounding() -> None:
    module = deep([4, 20, 20, 3], 1)
    graph = trace(module, (4,), device=CPU)
    region, unit = Region(-torch.ones(2, 4).double() / 5, torch.ones(2, 4).double() / 5), torch.eye(3)[None]
    double = lower_bounds(Network(graph), region, unit, "crown")
    single = lower_bounds(Network(graph).to(torch.float32), region, unit.float(), "crown").double()
    torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-4)


def test_a_target_stops_the_search_and_is_reached() -> None:
    network = Network(trace(deep([3, 8, 8, 2], 0), (3,), device=CPU))
    region = Region(-torch.ones(1, 3).double(), torch.ones(1, 3).double())
    row = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    free = lower_bounds(network, region, row, "alpha-crown")
    crown = lower_bounds(network, region, row, "crown")
    goal = (free + crown) / 2
    found = lower_bounds(network, region, row, "alpha-crown", target=goal)
    assert bool((found > goal).all())
    assert bool((found <= free + 1e-12).all())


@pytest.mark.parametrize("method", list(METHODS))
def test_a_bound_stops_when_time_is_up(method: str) -> None:
    network = Network(trace(deep([3, 8, 8, 2], 0), (3,), device=CPU))
    region = Region(-torch.ones(1, 3).double(), torch.ones(1, 3).double())
    calls = iter([False, False, True])
    with pytest.raises(OutOfTimeError):
        lower_bounds(network, region, torch.eye(2)[None], method, Effort(expired=lambda: next(calls, True)))


@pytest.mark.parametrize("seed", range(3))
def test_shared_slopes_are_sound_and_no_looser_than_crown(seed: int) -> None:
    network = Network(trace(deep([3, 12, 12, 3], seed), (3,), device=CPU))
    region = Region(-torch.ones(2, 3).double() / 2, torch.ones(2, 3).double() / 2)
    unit = torch.cat([torch.eye(3), -torch.eye(3)])[None].double()
    with torch.no_grad():
        linear = propagate(network, region, method_of("crown"), Effort())
        functions = Functions.of(network.graph.output, unit)
        crown = linear.minimum(functions)
        shared = SlopeSearch(linear, shared=True).maximise(functions, 30)
        x = torch.rand(4000, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
        lowest = (network.graph.forward(x) @ unit[0].T).amin(0)
    assert bool((shared >= crown - 1e-9).all())
    assert bool((shared <= lowest + 1e-9).all())
    assert float((shared - crown).sum()) > 0
