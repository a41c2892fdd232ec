"""Bounds enclose what networks do: sampled, pushed outwards by gradients, over many architectures and random nets."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.graph import trace
from robust.properties import Box
from tests.graph.architectures import ARCHITECTURES, build
from verifiers import METHODS, Effort, Network, Region, ball_region, lower_bounds
from verifiers.propagation import propagate

CPU = torch.device("cpu")


def project(points: Tensor, region: Region) -> Tensor:
    """Points of the region near ``points`` (alternating projections; strictly inside the ball)."""
    if region.center is not None and region.radius is not None:
        move = (points - region.center).flatten(1)
        length = torch.linalg.vector_norm(move, dim=1, keepdim=True).clamp_min(1e-30)
        points = region.center + (move * (region.radius[:, None] / length).clamp(max=1.0)).reshape(points.shape)
    return torch.minimum(torch.maximum(points, region.lower), region.upper)


def lowest_found(module: nn.Module, region: Region, functions: Tensor, generator: torch.Generator) -> Tensor:
    """Smallest values ``[n, m]`` of linear functions of the outputs that corners, samples and signed descent find."""
    count, rows, _ = functions.shape
    best = torch.full((count, rows), torch.inf, dtype=torch.float64)
    for kind in range(6):
        draw = torch.rand(region.lower.shape, generator=generator, dtype=torch.float64)
        draw = draw.round() if kind % 2 else draw
        for row in range(rows):
            points = project(region.lower + (region.upper - region.lower) * draw, region)
            for _ in range(4):
                points = points.detach().requires_grad_(True)
                values = (module(points).flatten(1) * functions[:, row]).sum(1)
                best[:, row] = torch.minimum(best[:, row], values.detach())
                (gradient,) = torch.autograd.grad(values.sum(), points)
                step = gradient.sign() if region.center is None else gradient * 1e3
                points = project(points.detach() - (region.upper - region.lower) * step, region)
            values = (module(points).flatten(1) * functions[:, row]).sum(1).detach()
            best[:, row] = torch.minimum(best[:, row], values)
    return best


def check(module: nn.Module, shape: tuple[int, ...], seed: int, epsilon: float, norm: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    module = module.double().requires_grad_(False)
    network = Network(trace(module, shape, device=CPU).to(torch.float64))
    samples = torch.rand(2, *shape, generator=generator) * 2 - 1
    region = ball_region(samples, epsilon, norm, Box(-torch.ones(shape), torch.ones(shape)))
    functions = torch.randn(2, 3, network.graph.outputs, generator=generator, dtype=torch.float64)
    reached = lowest_found(module, region, functions, generator)
    found = {method: lower_bounds(network, region, functions, method) for method in METHODS}
    tolerance = 1e-9 * (1 + reached.abs())
    for method, bound in found.items():
        assert bool((bound <= reached + tolerance).all()), (method, (bound - reached).max())
        assert bool((found["interval"] <= bound + tolerance).all()), method


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", [0.02, 0.4])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_point_leaves_the_bounds(name: str, epsilon: float, norm: str) -> None:
    module, shape = build(name)
    check(module, shape, 3, epsilon, norm)


LAYERS = ["relu", "leaky", "sigmoid", "tanh", "residual", "norm", "clamp", "abs", "pool", "scale"]


class Block(nn.Module):
    """One hidden layer and one of ``LAYERS``."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.norm.running_var.fill_(0.7)
        self.norm.running_mean.fill_(0.2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        actions = {
            "relu": torch.relu,
            "leaky": lambda v: nn.functional.leaky_relu(v, 0.2),
            "sigmoid": lambda v: torch.sigmoid(4 * v),
            "tanh": lambda v: torch.tanh(3 * v),
            "residual": lambda v: x + torch.relu(v),
            "norm": lambda v: torch.relu(self.norm(v)),
            "clamp": lambda v: v.clamp(-0.3, 0.4),
            "abs": torch.abs,
            "pool": lambda v: nn.functional.max_pool1d(v[:, None], 3, 1, 1)[:, 0],
            "scale": lambda v: torch.cat([v[:, 1:], 1 - v[:, :1]], 1) / -2,
        }
        return actions[self.kind](y)


@given(
    layers=st.lists(st.sampled_from(LAYERS), min_size=1, max_size=4),
    seed=st.integers(0, 10_000),
    epsilon=st.sampled_from([0.0, 1e-6, 0.05, 0.3, 2.0]),
    norm=st.sampled_from(["linf", "l2"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_random_networks_stay_within_their_bounds(layers: list[str], seed: int, epsilon: float, norm: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(*[Block(kind, 5) for kind in layers], nn.Linear(5, 3)).eval()
        for parameter in module.parameters():
            parameter.data.mul_(1.8)
    check(module, (5,), seed, epsilon, norm)


@pytest.mark.parametrize("name", ["dense", "convolutional", "residual", "sigmoid"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_bounds_are_the_same_alone_and_in_a_batch(name: str, norm: str) -> None:
    module, shape = build(name)
    network = Network(trace(module.double(), shape, device=CPU))
    samples = torch.rand(11, *shape, generator=torch.Generator().manual_seed(5))
    region = ball_region(samples, 0.2, norm, Box(torch.zeros(shape), torch.ones(shape)))
    functions = torch.eye(network.graph.outputs)[None].expand(11, -1, -1)
    together = lower_bounds(network, region, functions, "crown")
    for row in range(11):
        alone = lower_bounds(network, region.take(torch.tensor([row])), functions[:1], "crown")
        torch.testing.assert_close(alone[0], together[row], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_limit_on_rows_loosens_and_stays_sound(rows: int) -> None:
    from verifiers import Effort

    module, shape = build("dense")
    network = Network(trace(module.double(), shape, device=CPU))
    region = Region(-torch.ones(1, 5, dtype=torch.float64), torch.ones(1, 5, dtype=torch.float64))
    functions = torch.eye(3)[None]
    limited = lower_bounds(network, region, functions, "crown", Effort(rows=rows))
    whole = lower_bounds(network, region, functions, "crown")
    interval = lower_bounds(network, region, functions, "interval")
    reached = lowest_found(module, region, functions.double(), torch.Generator().manual_seed(0))
    assert bool((limited <= reached + 1e-9).all())
    assert bool((limited >= interval - 1e-9).all())
    assert float(whole.sum()) >= float(limited.sum()) - 1e-9


class Overflowing(nn.Module):
    """Its inner values overflow float32 over a box of ordinary size."""

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(torch.relu(x * 1e30) * 1e30)
        result: Tensor = torch.relu(inner @ torch.tensor([[1.0, -1.0], [1.0, 2.0]])) @ torch.eye(2)
        return result


@pytest.mark.parametrize("method", list(METHODS))
def test_what_overflows_is_never_bounded(method: str) -> None:
    small = Box(torch.full((2,), 1e-38), torch.full((2,), 1e-37))
    network = Network(trace(Overflowing(), (2,), device=CPU, box=small))
    region = Region(torch.tensor([[-1.0, 0.5]]), torch.tensor([[1.0, 1.0]]))
    with torch.no_grad():
        inner = propagate(network, region, METHODS[method], Effort())
    for bounds in inner.bounds.values():
        assert not bool((bounds.lower.isnan() | bounds.upper.isnan()).any())
    found = lower_bounds(network, region, torch.cat([torch.eye(2), -torch.eye(2)])[None], method)[0]
    # At x = (1, 1) both outputs are 1e60 or more: nothing finite is an upper bound of them in float32.
    assert not bool(torch.isfinite(found[2:]).any())
