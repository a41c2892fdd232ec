"""Bounds that allow for rounding hold exactly: on boxes so small that rounding is all there is to see."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.graph import trace
from tests.graph.architectures import ARCHITECTURES_ALL as ARCHITECTURES
from tests.graph.architectures import build
from verifiers import METHODS, Effort, Network, Region
from verifiers.bounding import RoundedBounds, lower_bounds, rounded_bounds
from verifiers.branching.box_method import OVER_ZONOTOPES
from verifiers.methods import Method
from verifiers.roundoff import dependable, gamma

CPU = torch.device("cpu")
TRIED = {
    **{name: method for name, method in METHODS.items() if not method.steps},
    "optimised": Method(steps=2, inner_steps=1),
    "crown over zonotopes": OVER_ZONOTOPES,
}
RADII = (0.0, 1e-7, 1e-6)
ASKED: tuple[tuple[float, float, str | Method], ...] = (
    (0.0, 1.0, "crown"),
    (0.0, 1.0, "crown-ibp"),
    (0.0, 1.0, "zonotope"),
    (1e-6, 30.0, "crown"),
    (1e-6, 30.0, "zonotope"),
    (1e-6, 30.0, OVER_ZONOTOPES),
)


def small_boxes(shape: tuple[int, ...], radius: float, scale: float, generator: torch.Generator) -> Region:
    """Three boxes ``[3, *shape]`` of float32 numbers."""
    middle = scale * (2 * torch.rand(3, *shape, generator=generator) - 1)
    return Region(middle - radius * scale, middle + radius * scale)


def points_of(region: Region, generator: torch.Generator) -> list[Tensor]:
    """Corners and points between, float32, all of them inside."""
    width = region.upper - region.lower
    drawn = [torch.rand(width.shape, generator=generator) for _ in range(4)]
    between = [region.lower + width * draw for draw in drawn[:2]]
    corners = [torch.where(draw > 0.5, region.lower, region.upper) for draw in drawn[2:]]
    return [torch.minimum(torch.maximum(point, region.lower), region.upper) for point in (*between, *corners)]


def margins_to(
    network: Network, region: Region, functions: Tensor, bound: Tensor, run: bool, generator: torch.Generator
) -> Tensor:
    """How far the smallest value that is reached lies above the bound: ``[n, m]``.

    Of real numbers: a float64 run, whose own errors are some 1e-16. Of runs: float32, alone and in a batch.
    """
    graph = network.graph if run else network.graph.to(torch.float64)
    lowest = torch.full(bound.shape, torch.inf, dtype=torch.float64)
    for point in points_of(region, generator):
        outputs = [graph.forward(point.to(graph.dtype))]
        if run:
            outputs.append(torch.cat([graph.forward(row[None]) for row in point]))
        for output in outputs:
            value = torch.bmm(functions, output.flatten(1).double()[:, :, None])[:, :, 0]
            lowest = torch.minimum(lowest, value)
    return lowest - bound.double()


def bound_of(found: RoundedBounds, run: bool) -> Tensor:
    """Of runs, which are bounds of real numbers too; or of real numbers alone."""
    return found.runs if run else found.reals


def asked_of(network: Network, generator: torch.Generator) -> Tensor:
    """Functions ``[3, 4, outputs]`` of exact float32 numbers, differences among them."""
    functions = torch.randn(3, 4, network.graph.outputs, generator=generator)
    functions[:, 0] = 0
    functions[:, 0, 0], functions[:, 0, -1] = 1, -1
    return functions.double()


@pytest.mark.parametrize("run", [False, True], ids=["real", "run"])
@pytest.mark.parametrize("apart", [False, True], ids=["alone", "beside runs"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_run_and_no_real_value_leaves_float32_bounds(name: str, run: bool, apart: bool) -> None:
    if run and not apart:
        return
    module, shape = build(name)
    network = Network(trace(module.float().requires_grad_(False), shape, device=CPU))
    generator = torch.Generator().manual_seed(5)
    functions = asked_of(network, generator)
    for radius, scale, method in ASKED:
        region = small_boxes(shape, radius, scale, generator)
        found = rounded_bounds(network, region, functions, method, run=apart)
        bound = bound_of(found, run)
        paid = (found.computed - bound).nan_to_num(0.0)
        over = margins_to(network, region, functions, bound, run, generator)
        slack = 0.0 if run else 1e-13 * float(bound.abs().nan_to_num(0, 0, 0).max())
        assert not bool((over < -slack).any()), (method, radius, scale, over.min())
        assert scale > 1 or method == "zonotope" or bool((paid < 5e-3 * (1 + bound.abs())).all())


def small_balls(shape: tuple[int, ...], norm: str, radius: float, generator: torch.Generator) -> Region:
    """Three balls of float32 numbers, some of their boxes cut."""
    middle = 2 * torch.rand(3, *shape, generator=generator) - 1
    reach = 1.0 if norm == "l0" else radius
    cut = torch.where(torch.rand(middle.shape, generator=generator) > 0.5, 0.3, 1.0)
    ends = middle - reach * cut, middle + reach
    pixels = torch.tensor([0, 1, 2]) if norm == "l0" else None
    radii = torch.full((3,), 2 * max(1.0, float(len(shape))) if norm == "l0" else radius)
    return Region(*ends, middle, radii, norm, pixels)


def ball_points(region: Region, functions: Tensor, network: Network, generator: torch.Generator) -> list[Tensor]:
    """Centres, and float32 points of the balls in the directions that lower the functions (and some other)."""
    center = region.center
    assert center is not None
    assert region.radius is not None
    point = center.double().clone().requires_grad_(True)
    outputs = network.graph.to(torch.float64).forward(point).flatten(1)
    (slope,) = torch.autograd.grad((functions[:, 0] * outputs).sum(), point)
    directions = torch.stack([slope.flatten(1), torch.randn(slope.flatten(1).shape, generator=generator).double()], 1)
    moved = region.to(torch.float64).minimiser(torch.nan_to_num(directions))
    shrunk = center.double()[:, None].flatten(2) + (moved - center.double()[:, None].flatten(2)) * (1 - 1e-6)
    return [center, *(shrunk[:, row].reshape(center.shape).float() for row in range(2))]


@pytest.mark.parametrize("run", [False, True], ids=["real", "run"])
@pytest.mark.parametrize("norm", ["l2", "l1", "l0"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_run_and_no_real_value_leaves_float32_bounds_over_balls(name: str, norm: str, run: bool) -> None:
    module, shape = build(name)
    network = Network(trace(module.float().requires_grad_(False), shape, device=CPU))
    generator = torch.Generator().manual_seed(6)
    functions = asked_of(network, generator)
    for radius, method in ((0.0, "crown"), (1e-6, "crown"), (1e-6, "interval"), (1e-6, "zonotope")):
        region = small_balls(shape, norm, radius, generator)
        bound = bound_of(rounded_bounds(network, region, functions, method, run=run), run)
        graph = network.graph if run else network.graph.to(torch.float64)
        for point in ball_points(region, functions, network, generator):
            output = graph.forward(point.to(graph.dtype)).flatten(1).double()
            over = torch.bmm(functions, output[:, :, None])[:, :, 0] - bound.double()
            slack = 0.0 if run else 1e-13 * float(bound.abs().nan_to_num(0, 0, 0).max())
            assert not bool((over < -slack).any()), (method, radius, over.min())


def test_without_the_allowance_values_do_leave_float32_bounds() -> None:
    broken = 0
    for name in ARCHITECTURES:
        module, shape = build(name)
        network = Network(trace(module.float().requires_grad_(False), shape, device=CPU))
        generator = torch.Generator().manual_seed(5)
        functions, region = asked_of(network, generator), small_boxes(shape, 0.0, 1.0, generator)
        bound = lower_bounds(network, region, functions, "crown")
        broken += bool((margins_to(network, region, functions, bound, False, generator) < -1e-9).any())
    assert broken > len(ARCHITECTURES) / 4


@given(
    seed=st.integers(0, 10_000),
    depth=st.integers(1, 5),
    width=st.integers(1, 24),
    scale=st.sampled_from([1e-41, 1e-30, 1e-3, 1.0, 1e4, 1e8]),
    radius=st.sampled_from(RADII),
    method=st.sampled_from(sorted(TRIED)),
    digits=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    at_zero=st.booleans(),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_random_networks_of_all_magnitudes(
    seed: int, depth: int, width: int, scale: float, radius: float, method: str, digits: torch.dtype, at_zero: bool
) -> None:
    """Numbers too small for float32's full precision, biases that cancel, weights of few digits, rectifiers at zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        module = nn.Sequential(*layers, nn.Linear(width, 3)).requires_grad_(False)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            parameter.mul_(0.0 if at_zero else scale)  # cancellation: large biases, small differences
        parameter.copy_(parameter.to(digits).float().nan_to_num(0.0, 3e4, -3e4))
    network = Network(trace(module, (width,), device=CPU))
    generator = torch.Generator().manual_seed(seed)
    functions, region = asked_of(network, generator), small_boxes((width,), radius, scale, generator)
    if at_zero:
        region = Region(torch.zeros_like(region.lower), torch.zeros_like(region.upper))
    for run in (False, True):
        bound = bound_of(rounded_bounds(network, region, functions, TRIED[method], run=True), run)
        over = margins_to(network, region, functions, bound, run, generator)
        slack = 0.0 if run else 1e-12 * scale
        assert not bool((over < -slack).any()), over.min()


def exact_output(layers: list[nn.Linear], point: list[Fraction]) -> list[Fraction]:
    """Of a ReLU network, in rational numbers."""
    values = point
    for place, layer in enumerate(layers):
        rows = [[Fraction(float(w)) for w in row] for row in layer.weight]
        values = [
            sum((w * v for w, v in zip(row, values, strict=True)), Fraction(float(b)))
            for row, b in zip(rows, layer.bias, strict=True)
        ]
        if place < len(layers) - 1:
            values = [max(v, Fraction(0)) for v in values]
    return values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(20))
def test_bounds_at_a_point_stay_below_the_rational_value(dtype: torch.dtype, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    layers = [nn.Linear(6, 9), nn.Linear(9, 9), nn.Linear(9, 2)]
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data = 3 * torch.randn(parameter.shape, generator=generator)
    module = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).requires_grad_(False)
    network = Network(trace(module, (6,), device=CPU)).to(dtype)
    point = torch.randn(1, 6, generator=generator).to(dtype)
    functions = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]], dtype=torch.float64)
    outputs = exact_output(layers, [Fraction(float(v)) for v in point[0]])
    difference = outputs[0] - outputs[1]
    for method in TRIED.values():
        found = rounded_bounds(network, Region(point, point), functions, method, run=False)
        low, high = (Fraction(float(found.reals[0, row])) for row in (0, 1))
        assert low <= difference <= -high
        width = float(-high - low)
        unit = torch.finfo(dtype).eps
        assert 0 < width < 1e5 * unit * (1 + abs(float(difference)))


def test_where_it_is_not_known_it_is_not_asked() -> None:
    module, shape = build("convolutional")
    network = Network(trace(module.float().requires_grad_(False), shape, device=CPU))
    assert dependable(network)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert not dependable(network)
        assert dependable(network.to(torch.float64))
    finally:
        torch.set_float32_matmul_precision(before)


def test_sums_that_lose_too_much_are_not_bounded() -> None:
    assert gamma(1, 2.0**-24) == pytest.approx(2.0**-24, rel=1e-6)
    assert gamma(10**6, 2.0**-24) == float("inf")


def test_limits_of_work_do_not_change_what_is_charged() -> None:
    module, shape = build("convolutional")
    network = Network(trace(module.float().requires_grad_(False), shape, device=CPU))
    generator = torch.Generator().manual_seed(1)
    functions, region = asked_of(network, generator), small_boxes(shape, 0.05, 1.0, generator)
    whole = rounded_bounds(network, region, functions, "crown", run=True)
    small = rounded_bounds(network, region, functions, "crown", Effort(bytes=1), run=True)
    for one, other in ((whole.runs, small.runs), (whole.reals, small.reals), (whole.computed, small.computed)):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
