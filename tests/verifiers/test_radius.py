"""Largest certified radii: closed forms, and no more than ``certify`` proves."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.errors import LabelError, PropertyError
from robust.graph import trace
from robust.properties import Box
from tests.graph.architectures import build
from tests.verifiers.test_certify import linear_net
from tests.verifiers.test_soundness import lowest_found
from verifiers import Network, ball_region, certify
from verifiers.certify import rival_matrices
from verifiers.radius import balls, certified_radii

CPU = torch.device("cpu")
WIDE = Box(torch.full((6,), -100.0), torch.full((6,), 100.0))


def unit_box(shape: tuple[int, ...]) -> Box:
    return Box(torch.zeros(shape), torch.ones(shape))


@pytest.mark.parametrize("method", ["interval", "zonotope", "crown"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_linear_network_equals_the_closed_form(norm: str, method: str) -> None:
    """Margin over the dual norm of the row difference, where the box does not cut."""
    layer, network = linear_net()
    samples = 0.5 + 0.3 * torch.randn(60, 6, generator=torch.Generator().manual_seed(3))
    labels = layer(samples).argmax(1)
    rows = rival_matrices(labels, 4)
    differences = (rows @ layer.weight).detach().double()
    margins = torch.bmm(rows, layer(samples)[:, :, None])[:, :, 0].detach().double()
    dual = differences.abs().sum(2) if norm == "linf" else torch.linalg.vector_norm(differences, dim=2)
    exact = (margins / dual).amin(1)
    found = certified_radii(network, samples, labels, norm=norm, box=WIDE, method=method, most=10.0, least=1e-3)
    told = exact > 1.1e-3
    assert int(told.sum()) > 50
    assert bool((found.radii <= exact).all())
    assert bool((found.radii[told] >= exact[told] / 1.011 - 2e-5).all())
    assert bool((found.radii[exact < 1e-3] == 0).all())
    above = found.radii > 0
    assert bool((found.unproved[above] <= found.radii[above] * (1 + found.tolerance) * (1 + 1e-12)).all())


def convolutional() -> tuple[torch.nn.Module, Network, torch.Tensor, torch.Tensor, Box]:
    module, shape = build("convolutional")
    samples = torch.rand(30, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = module(samples).argmax(1)
    labels[::5] = (labels[::5] + 1) % 3
    return module, Network(trace(module, shape, device=CPU)), samples, labels, unit_box(shape)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_certify_proves_each_radius_and_none_is_given_to_wrong_answers(norm: str) -> None:
    _, network, samples, labels, box = convolutional()
    found = certified_radii(network, samples, labels, norm=norm, box=box, method="crown", tolerance=0.05)
    for row in range(len(samples)):
        radius, unproved = float(found.radii[row]), float(found.unproved[row])
        if row % 5 == 0:
            assert (radius, unproved) == (0.0, 0.0)
            continue
        arguments = {"norm": norm, "box": box, "method": "crown"}
        one, label = samples[row : row + 1], labels[row : row + 1]
        assert radius > 0
        assert bool(certify(network, one, label, [radius], **arguments)[0])  # type: ignore[arg-type]
        assert not bool(certify(network, one, label, [unproved * 1.1], **arguments)[0])  # type: ignore[arg-type]


def test_a_sample_gets_the_same_radius_alone_and_in_a_batch() -> None:
    _, network, samples, labels, box = convolutional()
    together = certified_radii(network, samples, labels, norm="linf", box=box, method="crown")
    assert len(set(together.radii.tolist())) > 10
    for row in (0, 1, 7, 29):
        alone = certified_radii(
            network, samples[row : row + 1], labels[row : row + 1], norm="linf", box=box, method="crown"
        )
        assert float(alone.radii[0]) == pytest.approx(float(together.radii[row]), rel=0.011)


def test_tighter_bounds_and_more_slack_are_nested() -> None:
    _, network, samples, labels, box = convolutional()
    arguments = {"norm": "linf", "box": box, "tolerance": 1e-3}
    interval, crown, slack = (
        certified_radii(network, samples, labels, method=method, slack=slack, **arguments).radii  # type: ignore[arg-type]
        for method, slack in (("interval", 0.0), ("crown", 0.0), ("crown", 0.05))
    )
    assert bool((interval <= crown * (1 + 1e-3)).all())
    assert bool((slack <= crown * (1 + 1e-3)).all())
    assert float(crown.sum()) > float(interval.sum())
    assert float(crown.sum()) > float(slack.sum())


@given(seed=st.integers(0, 10_000), norm=st.sampled_from(["linf", "l2"]))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_nothing_in_the_ball_of_a_certified_radius_changes_the_answer(seed: int, norm: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        samples = torch.rand(5, 4)
    with torch.no_grad():
        labels = module(samples).argmax(1)
    box = unit_box((4,))
    found = certified_radii(
        Network(trace(module, (4,), device=CPU)), samples, labels, norm=norm, box=box, method="crown"
    )
    module.double().requires_grad_(False)
    region = balls(samples, found.radii, norm, box)
    lowest = lowest_found(module, region, rival_matrices(labels, 3).double(), torch.Generator().manual_seed(seed))
    assert not bool(((found.radii > 0) & (lowest <= 0).any(1)).any())


def test_an_answer_that_never_changes_reaches_the_largest_radius() -> None:
    layer = torch.nn.Linear(3, 2)
    layer.weight.data.zero_()
    layer.bias.data = torch.tensor([1.0, 0.0])
    network = Network(trace(layer, (3,), device=CPU))
    samples, labels = torch.full((2, 3), 0.5), torch.tensor([0, 1])
    for norm, most in (("linf", 1.0), ("l2", math.sqrt(3))):
        found = certified_radii(network, samples, labels, norm=norm, box=unit_box((3,)), method="crown")
        assert found.radii.tolist() == pytest.approx([most, 0.0])
        assert found.unproved.tolist() == [math.inf, 0.0]
        assert 2 <= found.evaluations < 20


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_balls_of_one_radius_each_are_those_of_ball_region(norm: str) -> None:
    samples, box = torch.rand(7, 2, 3, generator=torch.Generator().manual_seed(0)), unit_box((2, 3))
    radii = torch.tensor([0.3, 0.1, 0.0, 0.3, 2.0, 0.1, 0.25], dtype=torch.float64)
    found = balls(samples, radii, norm, box)
    for row, radius in enumerate(radii.tolist()):
        wanted = ball_region(samples[row : row + 1], radius, norm, box)
        assert torch.equal(found.lower[row], wanted.lower[0])
        assert torch.equal(found.upper[row], wanted.upper[0])
        if norm == "l2":
            assert found.radius is not None
            assert wanted.radius is not None
            assert found.center is not None
            assert float(found.radius[row]) == float(wanted.radius[0])
            assert torch.equal(found.center[row], samples[row].double())


def test_nonsense_is_a_typed_error() -> None:
    _, network = linear_net()
    inside, label = torch.full((1, 6), 0.5), torch.tensor([0])
    arguments = {"norm": "linf", "box": unit_box((6,)), "method": "interval"}
    for wrong in ({"least": 0.0}, {"least": 2.0, "most": 1.0}, {"tolerance": 0.0}, {"most": math.inf}, {"slack": -1.0}):
        with pytest.raises(PropertyError):
            certified_radii(network, inside, label, **(arguments | wrong))  # type: ignore[arg-type]
    with pytest.raises(PropertyError, match="outside"):
        certified_radii(network, inside + 1, label, **arguments)  # type: ignore[arg-type]
    with pytest.raises(LabelError):
        certified_radii(network, inside, label + 4, **arguments)  # type: ignore[arg-type]
    none = certified_radii(network, inside[:0], label[:0], **arguments)  # type: ignore[arg-type]
    assert none.radii.shape == (0,)
