"""Local Lipschitz bounds: exact for linear networks; no gradient and no secant is steeper."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.errors import PropertyError, UnsupportedOperatorError
from robust.graph import trace
from robust.properties import Box
from tests.graph.architectures import ARCHITECTURES, build
from tests.verifiers.test_certify import linear_net
from tests.verifiers.test_soundness import LAYERS, Block, project
from verifiers import Network, Region, ball_region, certify
from verifiers.certify import rival_matrices
from verifiers.interval import Bounds
from verifiers.lipschitz import lipschitz_bounds, lipschitz_radii
from verifiers.radius import certified_radii
from verifiers.sensitivity import sensitivities

CPU = torch.device("cpu")
ORDERS = {"linf": 1.0, "l2": 2.0, "l1": math.inf}


def unit_box(shape: tuple[int, ...]) -> Box:
    return Box(torch.zeros(shape), torch.ones(shape))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_linear_network_is_as_steep_as_its_matrix(norm: str) -> None:
    layer, network = linear_net()
    region = Region(torch.zeros(2, 6).double(), torch.ones(2, 6).double())
    functions = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = functions @ layer.weight.detach().double()
    found = lipschitz_bounds(network, region, functions, norm=norm, method="interval")
    torch.testing.assert_close(found, torch.linalg.vector_norm(rows, ord=ORDERS[norm], dim=2), rtol=1e-8, atol=0)
    assert bool((found >= torch.linalg.vector_norm(rows, ord=ORDERS[norm], dim=2)).all())


def test_by_hand() -> None:
    """f = relu(x + y) - relu(x - y) on [1, 2] x [-0.5, 3]: the first is open at no point, the second at some.

    Slopes by x: 1 - [0, 1], by y: 1 + [0, 1]: sizes 1 and 2. On [1, 2] x [-0.5, 0.5] both are active: 0 and 2.
    """
    first, second = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
    first.weight.data, second.weight.data = torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([[1.0, -1.0]])
    network = Network(trace(nn.Sequential(first, nn.ReLU(), second), (2,), device=CPU))
    lower = torch.tensor([[1.0, -0.5], [1.0, -0.5]]).double()
    upper = torch.tensor([[2.0, 3.0], [2.0, 0.5]]).double()
    one = torch.ones(2, 1, 1)
    wanted = {"linf": [3.0, 2.0], "l2": [math.sqrt(5), 2.0], "l1": [2.0, 2.0]}
    for norm, values in wanted.items():
        found = lipschitz_bounds(network, Region(lower, upper), one, norm=norm, method="interval")
        assert found[:, 0].tolist() == pytest.approx(values, rel=1e-8)
    # An input that cannot move has no part: y is held at 3.
    held = Region(torch.tensor([[1.0, 3.0]]).double(), torch.tensor([[2.0, 3.0]]).double())
    assert float(lipschitz_bounds(network, held, one[:1], norm="linf", method="interval")) == pytest.approx(1.0)


def test_maxima_by_hand() -> None:
    """max(2 x, y, z): z is never the largest on the box; 2 x or y may be, so slopes lie in [0, 2] and [0, 1]."""

    class Largest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * torch.tensor([2.0, 1.0, 1.0]).to(x)).amax(1, keepdim=True)

    network = Network(trace(Largest(), (3,), device=CPU))
    region = Region(torch.tensor([[0.5, 0.5, -1.0]]).double(), torch.tensor([[1.0, 2.0, 0.4]]).double())
    for norm, value in (("linf", 3.0), ("l2", math.sqrt(5)), ("l1", 2.0)):
        found = lipschitz_bounds(network, region, torch.ones(1, 1, 1), norm=norm, method="interval")
        assert float(found) == pytest.approx(value, rel=1e-8)


def check(module: nn.Module, shape: tuple[int, ...], seed: int, epsilon: float, norm: str, method: str) -> None:
    """Gradients at random points and corners, and secants between them, in the region."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().requires_grad_(False)
    network = Network(trace(module, shape, device=CPU).to(torch.float64))
    samples = torch.rand(2, *shape, generator=generator) * 2 - 1
    region = ball_region(samples, epsilon, "linf" if norm == "l1" else norm, Box(-torch.ones(shape), torch.ones(shape)))
    functions = torch.randn(2, 3, network.graph.outputs, generator=generator, dtype=torch.float64)
    bounds = lipschitz_bounds(network, region, functions, norm=norm, method=method)
    order = {"linf": math.inf, "l2": 2.0, "l1": 1.0}[norm]
    before: tuple[Tensor, Tensor] | None = None
    for kind in range(12):
        draw = torch.rand(region.lower.shape, generator=generator, dtype=torch.float64)
        points = region.lower + (region.upper - region.lower) * (draw.round() if kind % 2 else draw)
        points = project(points, region).requires_grad_(True)
        values = torch.bmm(functions, module(points).flatten(1)[:, :, None])[:, :, 0]
        for row in range(3):
            (gradient,) = torch.autograd.grad(values[:, row].sum(), points, retain_graph=True)
            steep = torch.linalg.vector_norm(gradient.flatten(1), ord=ORDERS[norm], dim=1)
            assert bool((steep <= bounds[:, row] * (1 + 1e-7)).all())  # torch's slope of hardsigmoid is 1/6 in float32
        if before is not None:
            length = torch.linalg.vector_norm((points - before[0]).flatten(1), ord=order, dim=1)
            assert bool(((values - before[1]).abs() <= bounds * length[:, None] * (1 + 1e-7) + 1e-10).all())
        before = points.detach(), values.detach()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_gradient_and_no_secant_is_steeper(name: str, norm: str) -> None:
    for epsilon in (0.05, 0.5):
        module, shape = build(name)
        check(module, shape, 3, epsilon, norm, "crown")


@given(
    layers=st.lists(st.sampled_from(LAYERS), min_size=1, max_size=3),
    seed=st.integers(0, 10_000),
    epsilon=st.sampled_from([1e-6, 0.05, 0.3, 2.0]),
    norm=st.sampled_from(["linf", "l2"]),
    method=st.sampled_from(["interval", "crown", "zonotope"]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_random_networks(layers: list[str], seed: int, epsilon: float, norm: str, method: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(*[Block(kind, 5) for kind in layers], nn.Linear(5, 3)).eval()
    check(module, (5,), seed, epsilon, norm, method)


def test_an_unknown_function_and_an_unknown_norm_are_errors() -> None:
    graph = trace(nn.ReLU(), (1,), device=CPU)
    bounds = {0: Bounds(torch.zeros(1, 1), torch.ones(1, 1))}
    with pytest.raises(UnsupportedOperatorError, match="relu"):
        list(sensitivities(graph, bounds, 1, graph.output, torch.ones(1, 1, 1), {}))
    region = Region(torch.zeros(1, 1).double(), torch.ones(1, 1).double())
    with pytest.raises(PropertyError):
        lipschitz_bounds(graph, region, torch.ones(1, 1, 1), norm="l7", method="interval")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_radii_from_steepness_are_those_of_a_linear_network(norm: str) -> None:
    layer, network = linear_net()
    samples = 0.5 + 0.3 * torch.randn(30, 6, generator=torch.Generator().manual_seed(3))
    labels = layer(samples).argmax(1)
    wide = Box(torch.full((6,), -100.0), torch.full((6,), 100.0))
    found = lipschitz_radii(network, samples, labels, 0.5, norm=norm, box=wide, method="crown")
    by_bounds = certified_radii(network, samples, labels, norm=norm, box=wide, method="crown", most=0.5, least=1e-3)
    told = by_bounds.radii > 0
    assert bool((found <= 0.5).all())
    # Both are below the exact radius, by at most their own rounding.
    assert bool(((found - by_bounds.radii).abs() <= 0.011 * by_bounds.radii + 5e-4)[told].all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_radii_from_steepness_cannot_be_attacked_and_wrong_answers_have_none(norm: str) -> None:
    module, shape = build("convolutional")
    network = Network(trace(module, shape, device=CPU))
    samples = torch.rand(20, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = module(samples).argmax(1)
    labels[::4] = (labels[::4] + 1) % 3
    box = unit_box(shape)
    found = lipschitz_radii(network, samples, labels, 0.05, norm=norm, box=box, method="crown")
    assert bool((found[::4] == 0).all())
    assert int((found > 0).sum()) == 15
    for row in range(1, 4):
        proved = certify(
            network,
            samples[row : row + 1],
            labels[row : row + 1],
            [float(found[row]) * 0.5],
            norm=norm,
            box=box,
            method="crown",
        )
        assert bool(proved[0, 0])
    module.double().requires_grad_(False)
    from tests.verifiers.test_soundness import lowest_found
    from verifiers.radius import balls

    lowest = lowest_found(
        module, balls(samples, found, norm, box), rival_matrices(labels, 3).double(), torch.Generator()
    )
    assert not bool(((found > 0) & (lowest <= 0).any(1)).any())
