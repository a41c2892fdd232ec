"""Zonotopes: by hand, exact where they must be, sound at any limit of symbols, the same alone and in a batch.

``test_soundness.py`` and ``tests/agreement`` run this method over all architectures with the others.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robust.graph import Kind, trace
from robust.properties import Box
from tests.graph.architectures import ARCHITECTURES, build
from tests.verifiers.test_bounds_by_hand import both_ends, box, butterfly, close
from tests.verifiers.test_soundness import lowest_found
from verifiers import METHODS, Effort, Method, Network, Region, ball_region, certify, lower_bounds
from verifiers.certify import attempts
from verifiers.interval import absolute_coefficients
from verifiers.linear_part import apply_absolute, apply_linear
from verifiers.methods import method_of
from verifiers.propagation import propagate

CPU = torch.device("cpu")
COUNTS = [0, 1, 5, 7, 12, 40]
"""Limits of symbols; the networks below have 5 inputs and dozens of neurons."""


def chain(*weights: list[list[float]]) -> Network:
    """Linear layers without biases, ReLU between them."""
    layers: list[nn.Module] = []
    for rows in weights:
        layer = nn.Linear(len(rows[0]), len(rows), bias=False)
        layer.weight.data = torch.tensor(rows, dtype=torch.float32)
        layers += [layer, nn.ReLU()]
    return Network(trace(nn.Sequential(*layers[:-1]), (len(weights[0][0]),), device=CPU))


def deep(seed: int, *, inputs: int = 5, kind: type[nn.Module] = nn.ReLU) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Linear(inputs, 16), kind(), nn.Linear(16, 16), kind(), nn.Linear(16, 16), kind(), nn.Linear(16, 3)]
        return nn.Sequential(*layers).double().requires_grad_(False)


def signed(outputs: int) -> Tensor:
    unit = torch.eye(outputs, dtype=torch.float64)
    return torch.cat([unit, -unit])[None]


def test_one_layer_by_hand() -> None:
    # relu(z) = z / 2 + 1/2 + e / 2 on [-2, 2], so y1 = x1 + 1 + (e1 + e2) / 2 in [-1, 3], and intervals say [0, 4];
    # y2 = x2 + (e1 - e2) / 2 in [-2, 2].
    assert close(both_ends(butterfly(), box([-1, -1], [1, 1]), "zonotope"), [(0, 3), (-2, 2)])


def test_two_layers_by_hand() -> None:
    # Of the y above, relu(y1) = y1 on [0, 3], and relu(y2) = y2 / 2 + 1/2 + e3 / 2 on [-2, 2]. Their sum is
    # x1 + x2 / 2 + 3/2 + 3/4 e1 + 1/4 e2 + 1/2 e3 in 3/2 +- 3, at most 4.5; intervals say [0, 3 + 2].
    # y1 / 2 less relu(y2) is (x1 - x2 + e2 - e3) / 2 in +- 2; intervals say [-2, 1.5].
    network = chain([[1, 1], [1, -1]], [[1, 1], [1, -1]], [[1, 1], [0.5, -1]])
    assert close(both_ends(network, box([-1, -1], [1, 1]), "zonotope"), [(0, 4.5), (-2, 1.5)])
    assert close(both_ends(network, box([-1, -1], [1, 1]), "interval"), [(0, 6), (-2, 2)])


def test_shared_symbols_cancel() -> None:
    class Difference(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(x)
            return (h * 3 - h - h - h + 1).sum(1, keepdim=True)

    network = Network(trace(Difference(), (2,), device=CPU))
    assert close(both_ends(network, box([-1, -1], [1, 1]), "zonotope"), [(2, 2)])


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1.0), ("l2", 2.0), ("l1", float("inf")), ("l0", None)])
def test_affine_networks_are_exact_over_every_ball(norm: str, dual: float | None) -> None:
    """Least of ``w x + b`` over a ball is at the centre less radius times the dual norm; two pixels: two largest."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)).double().requires_grad_(False)
    center = torch.rand(2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.2
    wide = Box(torch.full((6,), -1.0).double(), torch.full((6,), 1.0).double())
    radius = 2.0 if norm == "l0" else 0.25
    region = ball_region(center, radius, norm, wide)
    rows = module[1].weight @ module[0].weight
    middle = module(center)
    if dual is None:
        gains = torch.maximum(rows[:, None] * (center + 1), rows[:, None] * (center - 1))
        wanted = middle - gains.sort(2).values[:, :, -2:].sum(2).T
    else:
        wanted = middle - radius * torch.linalg.vector_norm(rows, ord=dual, dim=1)
    found = propagate(Network(trace(module, (6,), device=CPU)), region, METHODS["zonotope"], Effort()).output
    assert found is not None
    assert bool((found.minimum(torch.eye(3)[None].double()) <= wanted + 1e-12).all())
    torch.testing.assert_close(found.minimum(torch.eye(3)[None].double()), wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.bounds()[0], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_linear_parts_are_what_affine_nodes_do_to_differences(name: str) -> None:
    module, shape = build(name)
    graph = trace(module.double(), shape, device=CPU).to(torch.float64)
    generator = torch.Generator().manual_seed(0)
    for node in graph.nodes:
        if node.kind is not Kind.AFFINE:
            continue
        sources = [graph.nodes[index] for index in node.inputs]
        draws = [torch.randn(2, 3, source.elements, generator=generator, dtype=torch.float64) for source in sources]
        shaped = [draw.reshape(source.batched(6)) for draw, source in zip(draws, sources, strict=True)]
        offset = node.apply([torch.zeros_like(value) for value in shaped], 6).reshape(2, 3, -1)
        wanted = node.apply(shaped, 6).reshape(2, 3, -1) - offset
        torch.testing.assert_close(apply_linear(graph, node, draws), wanted, rtol=1e-9, atol=1e-9)
        radii = apply_absolute(graph, node, [draw[:, 0].abs() for draw in draws])
        assert bool((wanted[:, 0].abs() <= radii * (1 + 1e-12) + 1e-12).all()), node.op


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
@pytest.mark.parametrize("symbols", COUNTS)
@pytest.mark.parametrize("kind", [nn.ReLU, nn.Tanh])
def test_a_limit_on_symbols_stays_sound(kind: type[nn.Module], symbols: int, norm: str) -> None:
    module = deep(symbols, kind=kind)
    network = Network(trace(module, (5,), device=CPU))
    samples = torch.rand(3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64) - 0.5
    region = ball_region(samples, 2.0 if norm == "l0" else 0.4, norm, Box(-torch.ones(5), torch.ones(5)))
    rows = signed(3).expand(3, -1, -1)
    found = lower_bounds(network, region, rows, "zonotope", Effort(symbols=symbols))
    inside = region if norm in ("linf", "l2") else Region(samples, samples)
    reached = lowest_found(module, inside, rows, torch.Generator().manual_seed(0))
    reached = torch.minimum(reached, _descended(module, region, rows))
    interval = lower_bounds(network, region, rows, "interval")
    assert bool((found <= reached + 1e-9).all())
    assert bool((found >= interval - 1e-9).all())


def _descended(module: nn.Module, region: Region, rows: Tensor) -> Tensor:
    """Values at the minimisers of the gradients, step after step: points of balls of every norm."""
    best = torch.full(rows.shape[:2], torch.inf, dtype=torch.float64)
    for row in range(rows.shape[1]):
        points = (region.lower + region.upper) / 2 if region.center is None else region.center
        for _ in range(6):
            points = points.detach().requires_grad_(True)
            values = (module(points) * rows[:, row]).sum(1)
            best[:, row] = torch.minimum(best[:, row], values.detach())
            (gradient,) = torch.autograd.grad(values.sum(), points)
            points = region.minimiser(gradient.flatten(1)[:, None])[:, 0]
        best[:, row] = torch.minimum(best[:, row], (module(points) * rows[:, row]).sum(1).detach())
    return best


def test_fewer_symbols_loosen_down_to_intervals() -> None:
    network = Network(trace(deep(4), (5,), device=CPU))
    region = Region(-torch.ones(1, 5).double() / 4, torch.ones(1, 5).double() / 4)
    widths = [-float(lower_bounds(network, region, signed(3), "zonotope", Effort(symbols=n)).sum()) for n in COUNTS]
    interval = -float(lower_bounds(network, region, signed(3), "interval").sum())
    assert widths[0] == pytest.approx(interval)
    assert widths[-1] < widths[-2] < widths[2] < widths[0]


def test_no_form_depends_on_more_than_its_limit() -> None:
    module, shape = build("residual")
    network = Network(trace(module.double(), shape, device=CPU).to(torch.float64))
    x = torch.rand(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for limit in (0, 50, 108, 130):
            linear = propagate(network, Region(x - 0.1, x + 0.1), METHODS["zonotope"], Effort(symbols=limit))
            assert linear.output is not None
            assert linear.output.form.symbols.shape[1] + linear.output.form.inputs.shape[1] <= limit


def test_inputs_that_do_not_vary_are_constants() -> None:
    network = Network(trace(deep(0, inputs=30), (30,), device=CPU))
    x = torch.rand(2, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide = x.clone()
    wide[0, 3] += 0.5
    wide[1, 7] += 0.25
    region = Region(x, wide)
    affine = Network(trace(nn.Linear(30, 4).double(), (30,), device=CPU))
    with torch.no_grad():
        found = propagate(affine, region, METHODS["zonotope"], Effort(symbols=2))
    assert found.output is not None
    assert found.output.form.inputs.shape[1] == 2
    assert not bool(found.output.form.radius.any())
    single = lower_bounds(network, region, signed(3), "zonotope")
    reached = lowest_found(deep(0, inputs=30), region, signed(3).expand(2, -1, -1), torch.Generator().manual_seed(0))
    assert bool((single <= reached + 1e-9).all())
    point = lower_bounds(network, Region(x, x), signed(3), "zonotope")
    exact = network.graph.forward(x)
    torch.testing.assert_close(point, torch.cat([exact, -exact], 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("symbols", [4096, 12])
@pytest.mark.parametrize("name", ["dense", "sigmoid", "gated", "residual"])
def test_bounds_are_the_same_alone_and_in_a_batch(name: str, symbols: int) -> None:
    module, shape = build(name)
    network = Network(trace(module.double(), shape, device=CPU))
    samples = torch.rand(5, *shape, generator=torch.Generator().manual_seed(5))
    radii = torch.linspace(0.01, 0.4, 5, dtype=torch.float64).reshape(5, *[1] * len(shape))
    region = Region(samples - radii, samples + radii)
    functions = torch.eye(network.graph.outputs)[None].expand(5, -1, -1)
    together = lower_bounds(network, region, functions, "zonotope", Effort(symbols=symbols))
    chunked = lower_bounds(network, region, functions, "zonotope", Effort(symbols=symbols, bytes=1))
    torch.testing.assert_close(chunked, together, rtol=1e-9, atol=1e-9)
    for row in range(5):
        part = region.take(torch.tensor([row]))
        alone = lower_bounds(network, part, functions[:1], "zonotope", Effort(symbols=symbols))
        torch.testing.assert_close(alone[0], together[row], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["dense", "convolutional", "sigmoid", "gated", "attention"])
def test_float32_is_near_float64(name: str) -> None:
    module, shape = build(name)
    network = Network(trace(module, shape, device=CPU).to(torch.float64))
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    region, rows = Region(x - 0.05, x + 0.05), signed(network.graph.outputs)
    double = lower_bounds(network, region, rows, "zonotope")
    single = lower_bounds(network.to(torch.float32), region, rows, "zonotope").double()
    assert bool(torch.isfinite(double).all())
    torch.testing.assert_close(single, double, rtol=1e-3, atol=1e-3)  # of two bands as wide either may be taken


def test_tighter_than_backward_bounds_over_intervals_and_feeds_them() -> None:
    network = Network(trace(deep(1), (5,), device=CPU))
    x = torch.rand(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    region = Region(x - 0.2, x + 0.2)
    both = Method(inner=False, forward=True)
    width = {name: -float(lower_bounds(network, region, signed(3), name).sum()) for name in METHODS}
    assert width["zonotope"] < width["crown-ibp"] < width["interval"]
    assert -float(lower_bounds(network, region, signed(3), both).sum()) <= width["zonotope"] + 1e-9


def test_certify_asks_cheaper_methods_first() -> None:
    assert attempts("zonotope") == ("interval", "crown-ibp", "zonotope")
    assert attempts("alpha-crown") == ("interval", "crown-ibp", "crown", "alpha-crown")
    assert method_of("zonotope").forward
    module = deep(3).float()
    x = torch.rand(20, 5, generator=torch.Generator().manual_seed(0))
    graph = trace(module, (5,), device=CPU)
    labels = module(x).argmax(1)
    unit = Box(torch.zeros(5), torch.ones(5))
    counts = {
        method: int(certify(graph, x, labels, [0.1], norm="linf", box=unit, method=method).sum())
        for method in ("interval", "zonotope")
    }
    assert counts["interval"] < counts["zonotope"]


def test_coefficients_are_made_once() -> None:
    module, shape = build("dense")
    node = next(node for node in trace(module, shape, device=CPU).nodes if node.op == "linear")
    assert absolute_coefficients(node) is absolute_coefficients(node)
