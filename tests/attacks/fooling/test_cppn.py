"""Pattern networks against a node-by-node evaluation, and what their changes of structure keep."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.fooling import PatternElites
from attacks.fooling.cppn import COORDINATES, Canvas, FixedTopology, Genomes, Rates, random_genomes, restructured
from robust.errors import UsageError
from robust.graph import trace
from robust.properties import Box
from tests.doubles import linear, mlp
from verifiers import Network, Region
from verifiers.bounding import lower_bounds

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grown(seed: int, count: int = 20, hidden: int = 5, channels: int = 1, steps: int = 12) -> Genomes:
    generator = seeded(seed)
    found = random_genomes(count, channels, hidden, generator, CPU)
    for _ in range(steps):
        found = restructured(found, Rates(), generator)
    return found


def value_at(genomes: Genomes, row: int, across: float, down: float) -> list[float]:
    """Channels of one pixel, one node after the other."""
    values = [across, down, math.hypot(across, down), 1.0]
    weights = genomes.weights[row].tolist()
    for place in range(COORDINATES, len(weights)):
        x = sum(values[i] * weights[i][place] for i in range(place))
        function = int(genomes.functions[row, place])
        made = [math.sin(math.pi * x), 1 / (1 + math.exp(-2 * x)), math.exp(-x * x), x][function]
        if place >= COORDINATES + genomes.hidden:
            made = min(max((made + 1) / 2 if function in (0, 3) else made, 0.0), 1.0)
        values.append(made)
    return values[COORDINATES + genomes.hidden :]


def test_a_pixel_has_the_value_of_its_network() -> None:
    genomes = grown(0, channels=3)
    drawn = genomes.draw(Canvas.of((3, 5, 9)))
    assert drawn.shape == (20, 3, 5, 9)
    for row, i, j in ((0, 0, 0), (3, 4, 8), (19, 2, 5), (7, 1, 3)):
        across, down = (2 * j - 8) / 8, (2 * i - 4) / 8
        assert drawn[row, :, i, j].tolist() == pytest.approx(value_at(genomes, row, across, down), abs=1e-5)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_changes_keep_networks_without_cycles(seed: int) -> None:
    genomes = grown(seed)
    weights, last = genomes.weights, COORDINATES + genomes.hidden
    assert torch.equal(weights, weights.triu(1))
    assert not bool(weights[:, :, :COORDINATES].any())
    assert not bool(weights[:, last:].any())
    assert bool(((genomes.functions >= 0) & (genomes.functions < 4)).all())
    assert torch.equal(Genomes.unpacked(genomes.packed(), 5).weights, weights)


def test_structures_grow_and_shrink() -> None:
    start = random_genomes(200, 1, 6, seeded(), CPU)
    more = restructured(start, Rates(1.0, 0.0, 1.0, 0.0, 0.0), seeded(1))
    last = COORDINATES + 6
    used = (more.weights[:, :, COORDINATES:last] != 0).any(1).sum(1)
    assert bool((used == 1).all())
    assert bool(((more.weights != 0).sum((1, 2)) >= 5).all())  # one connection became two
    less = restructured(more, Rates(0.0, 1.0, 0.0, 1.0, 0.0), seeded(2))
    assert not bool((less.weights[:, :, COORDINATES:last] != 0).any())
    assert bool(((less.weights != 0).sum((1, 2)) < (more.weights != 0).sum((1, 2))).all())


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 6), (8, 6, 3), (7, 5), (12,), (4, 8, 8)])
def test_every_layout_is_painted_and_replays(shape: tuple[int, ...]) -> None:
    classifier = mlp(shape, 4)
    made = PatternElites(evaluations=400)(classifier, seeded())
    assert made.inputs.shape == (4, *shape)
    assert bool(classifier.input_box.contains(made.inputs).all())
    replayed = torch.softmax(classifier.replay(made.inputs).double(), 1).diagonal()
    assert torch.allclose(made.confidences, replayed, rtol=0, atol=1e-12)


def test_stripes_are_found() -> None:
    """Two classes that look at even and odd columns: stripes are the surest picture, and a network paints them."""
    columns = (torch.arange(10) % 2 * 2.0 - 1).repeat(10, 1).flatten() / 5
    classifier = linear(torch.stack([columns, -columns]))
    made = PatternElites(evaluations=8000, target=0.99)(classifier, seeded())
    assert float(made.confidences.min()) > 0.9


def test_a_search_goes_on_where_it_was() -> None:
    classifier = mlp((1, 6, 6), 3)
    method = PatternElites(evaluations=300)
    state = method.begin(classifier)
    first = method.evolve(classifier, seeded(), progress=state)
    assert state.used == 300
    further = PatternElites(evaluations=900).evolve(classifier, seeded(1), progress=state)
    assert state.used == 900
    assert bool((further.confidences >= first.confidences - 1e-12).all())


def test_bad_hyperparameters_are_refused() -> None:
    for options in ({"hidden": 0}, {"batch": 0}, {"connect": 1.5}):
        with pytest.raises(UsageError):
            PatternElites(**options)


@pytest.mark.parametrize("seed", range(6))
def test_a_fixed_topology_is_its_network_and_can_be_bounded(seed: int) -> None:
    """As a function of its weights it draws what the genome draws; no picture of a box of them leaves its bounds."""
    generator = torch.Generator().manual_seed(seed)
    genomes = random_genomes(1, 1, 4, generator, torch.device("cpu"))
    for _ in range(6):
        genomes = restructured(genomes, Rates(disconnect=0.0, shrink=0.0), generator)
    canvas = Canvas.of((1, 5, 5))
    module = FixedTopology(genomes, canvas)
    weights = module.get_buffer("weights")
    torch.testing.assert_close(module(weights[None]), genomes.draw(canvas))
    box = Box(weights - 0.05, weights + 0.05)
    network = Network(trace(module, tuple(weights.shape), device=torch.device("cpu"), box=box))
    unit = torch.eye(25)
    region = Region(box.lower[None], box.upper[None])
    low, negative = lower_bounds(network, region, torch.cat([unit, -unit])[None], "crown")[0].split(25)
    drawn = module(box.lower + torch.rand(200, len(weights), generator=generator) * (box.upper - box.lower)).flatten(1)
    assert bool((drawn >= low - 1e-5).all())
    assert bool((drawn <= -negative + 1e-5).all())
