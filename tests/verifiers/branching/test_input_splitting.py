"""Input splitting against hand-derived answers, a grid, Z3's exact answers, and its own bookkeeping."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.graph import trace
from robust.properties import Box, Halfspaces, L2Ball, Property, UnsafeSet
from robust.record import Verdict
from verifiers import Deadline, Network
from verifiers.bounding import lower_bounds
from verifiers.branching.clipping import clipped
from verifiers.branching.input_splitting import split_inputs
from verifiers.branching.outcome import Outcome
from verifiers.branching.questions import Questions
from verifiers.region import region_of

CPU = torch.device("cpu")


def hat() -> Network:
    """``y = |x1| + |x2| - |x1 + x2|``, which is at least 0, and 0 wherever both have one sign."""
    module = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 1))
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    with torch.no_grad():
        module[0].weight.copy_(torch.cat([first, -first]))
        module[0].bias.zero_()
        module[2].weight.copy_(torch.tensor([[1.0, 1.0, -1.0, 1.0, 1.0, -1.0]]))
        module[2].bias.zero_()
    return Network(trace(module, (2,), device=CPU))


def below(level: float, low: float = -1.0, high: float = 1.0) -> Property:
    box = Box(torch.full((2,), low).double(), torch.full((2,), high).double())
    return Property(
        box, UnsafeSet((Halfspaces(torch.ones(1, 1).double(), torch.tensor([level], dtype=torch.float64)),))
    )


def replayed(network: Network, cases: list[Property]):  # type: ignore[no-untyped-def]
    def replay(place: int, points: Tensor) -> Tensor | None:
        reached = cases[place].unsafe.contains(network.graph.forward(points).double())
        inside = cases[place].inputs.contains(points)
        return points[reached & inside][0] if bool((reached & inside).any()) else None

    return replay


def answer(network: Network, case: Property, seconds: float = 20.0) -> Outcome:
    return split_inputs(network, [case], Deadline(seconds), replay=replayed(network, [case]))[0]


def test_splits_prove_what_crown_cannot() -> None:
    """The true minimum is 0; CROWN alone stays below -0.1 over the whole square."""
    network, case = hat(), below(-0.1)
    crown = lower_bounds(network, region_of([case.inputs]), torch.ones(1, 1, 1), "crown")
    assert float(crown) < -0.1
    found = answer(network, case)
    assert found.verdict is Verdict.VERIFIED
    assert found.domains > 1
    assert found.open == 0
    assert found.bound is not None
    assert 0 <= found.bound <= 0.1  # 0 where parts were cut away


def test_a_witness_is_found_at_minimisers() -> None:
    network = hat()
    above = Halfspaces(-torch.ones(1, 1).double(), torch.tensor([-1.9]).double())
    case = Property(below(0).inputs, UnsafeSet((above,)))
    found = answer(network, case)  # y >= 1.9 only near (1, -1) and (-1, 1)
    assert found.verdict is Verdict.FALSIFIED
    assert found.witness is not None
    assert float(network.graph.forward(found.witness[None])) >= 1.9


def test_without_replay_nothing_is_falsified_and_nothing_false_is_verified() -> None:
    case = below(0.05)
    found = split_inputs(hat(), [case], Deadline(1.0))[0]
    assert found.verdict is Verdict.UNKNOWN
    assert found.open > 0


def test_a_tie_with_the_threshold_is_never_verified() -> None:
    """``y <= 0`` is reached, on a set of full measure; ``y <= -1e-12`` is not, but lies within rounding of it."""
    network = hat()
    assert answer(network, below(0.0)).verdict is Verdict.FALSIFIED
    found = answer(network, below(-1e-12), seconds=5)
    assert found.verdict is Verdict.UNKNOWN


def test_time_is_honoured_and_said() -> None:
    start = time.monotonic()
    found = split_inputs(hat(), [below(0.05)], Deadline(0.0))[0]
    assert time.monotonic() - start < 5
    assert found.verdict is Verdict.UNKNOWN
    assert "time" in found.reason


def test_the_first_witness_ends_all_cases_and_says_so_of_the_others() -> None:
    network, cases = hat(), [below(-0.1), below(0.5)]
    found = split_inputs(network, cases, Deadline(20.0), replay=replayed(network, cases))
    assert found[1].verdict is Verdict.FALSIFIED
    assert found[0].verdict in (Verdict.UNKNOWN, Verdict.VERIFIED)


def test_a_single_point_is_decided_or_stuck() -> None:
    network = hat()
    point = Box(torch.tensor([0.5, -0.5]).double(), torch.tensor([0.5, -0.5]).double())  # y = 1
    for level, verdict in ((0.9, Verdict.VERIFIED), (1.1, Verdict.FALSIFIED), (1 - 1e-9, Verdict.UNKNOWN)):
        assert answer(network, Property(point, below(level).unsafe)).verdict is verdict


def test_balls_are_refused() -> None:
    ball = L2Ball(torch.zeros(2).double(), 0.1, Box(-torch.ones(2).double(), torch.ones(2).double()))
    case = Property(ball, below(0).unsafe)
    with pytest.raises(PropertyError, match="boxes"):
        split_inputs(hat(), [case], Deadline(1.0))


def random_network(seed: int, widths: tuple[int, ...]) -> Network:
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / before**0.5)
            layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator) * 0.3)
        layers += [layer, nn.ReLU() if seed % 2 else nn.Tanh()]
    return Network(trace(nn.Sequential(*layers[:-1]), (widths[0],), device=CPU))


def random_case(seed: int, inputs: int, outputs: int, quantile: float, network: Network) -> Property:
    """A union of two conjunctions of two constraints, with thresholds near what the network reaches."""
    generator = torch.Generator().manual_seed(seed + 1)
    middle = torch.randn(inputs, generator=generator).double() * 0.5
    half = torch.rand(inputs, generator=generator).double() * 0.6
    half[0] = 0 if seed % 3 == 0 else half[0]
    x = middle + (2 * torch.rand(400, inputs, generator=generator).double() - 1) * half
    y = network.to(torch.float64).graph.forward(x)
    clauses = []
    for _ in range(2):
        matrix = torch.randn(2, outputs, generator=generator).double()
        values = y @ matrix.T
        clauses.append(Halfspaces(matrix, values.quantile(quantile, 0) - quantile / 10))
    return Property(Box(middle - half, middle + half), UnsafeSet(tuple(clauses)))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.02, 0.2]))
@example(94, 0.2)  # every minimiser is a corner that float32 rounds out of the box
def test_verified_cases_have_no_witness_and_falsified_ones_do(seed: int, quantile: float) -> None:
    """Against 20,000 samples of the box, its corners included: a second opinion that shares nothing with bounds."""
    network = random_network(seed, (3, 8, 8, 3))
    case = random_case(seed, 3, 3, quantile, network)
    found = answer(network, case, seconds=3)
    box = case.inputs.bounding_box()
    generator = torch.Generator().manual_seed(seed + 2)
    share = torch.rand(20_000, 3, generator=generator).double()
    share[:8] = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).double()
    y = network.to(torch.float64).graph.forward(box.lower + share * (box.upper - box.lower))
    if found.verdict is Verdict.VERIFIED:
        assert not bool(case.unsafe.contains(y).any())
        assert float(case.unsafe.distance(y).min()) >= float(found.bound or 0.0) - 1e-9
    if found.verdict is Verdict.FALSIFIED:
        assert found.witness is not None
        assert bool(case.inputs.contains(found.witness[None]).all())
        assert bool(case.unsafe.contains(network.graph.forward(found.witness[None]).double()).all())
    elif quantile == 0.2 and bool(case.unsafe.contains(y).float().mean() > 0.05):
        pytest.fail("a twentieth of the box is unsafe, and no witness was found")


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 100_000))
def test_clipping_keeps_every_point_that_satisfies_the_rows(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    lower = torch.randn(4, 3, generator=generator).double()
    upper = lower + torch.rand(4, 3, generator=generator).double()
    slopes = torch.randn(4, 2, 3, generator=generator).double()
    slopes[torch.rand(4, 2, 3, generator=generator) < 0.2] = 0
    constants = torch.randn(4, 2, generator=generator).double()
    low, high = clipped(lower, upper, slopes, constants)
    points = lower[:, None] + torch.rand(4, 2000, 3, generator=generator).double() * (upper - lower)[:, None]
    satisfied = (points @ slopes.transpose(1, 2) + constants[:, None] <= 0).all(2)
    inside = ((points >= low[:, None]) & (points <= high[:, None])).all(2)
    assert not bool((satisfied & ~inside).any())
    assert bool((low >= lower).all())
    assert bool((high <= upper).all())


def test_clipping_by_hand() -> None:
    """``x1 + x2 <= 0.5`` cuts the unit square to halves; a row that says nothing cuts nothing."""
    unit = torch.zeros(3, 2).double(), torch.ones(3, 2).double()
    slopes = torch.tensor([[[1.0, 1.0]], [[1.0, 1.0]], [[0.0, 0.0]]]).double()
    low, high = clipped(*unit, slopes, torch.tensor([[-0.5], [-torch.inf], [2.0]]).double())
    assert torch.allclose(high[0], torch.tensor([0.5, 0.5]).double(), atol=1e-6)
    assert low[:2].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert high[1].tolist() == [1.0, 1.0]


def test_questions_pad_and_keep_clauses_that_contain_everything() -> None:
    everything = Halfspaces(torch.zeros(0, 2).double(), torch.zeros(0).double())
    one = Halfspaces(torch.eye(2).double(), torch.zeros(2).double())
    box = Box(torch.zeros(1).double(), torch.ones(1).double())
    asked = Questions.of(
        [Property(box, UnsafeSet((one,))), Property(box, UnsafeSet((one, everything)))], torch.float64, CPU
    )
    owner = torch.tensor([0, 1])
    margins = asked.margins(asked.excess(torch.tensor([[1.0, -1.0, 9.0, 9.0]] * 2).double(), owner), owner)
    assert margins[0].tolist() == [1.0, torch.inf]  # a clause that is not there excludes itself
    assert margins[1, 0] == 1.0
    assert not bool(margins[1, 1] > 9.0)
    overflowed = asked.excess(torch.full((2, 4), torch.inf).double(), owner)
    assert not bool((asked.margins(overflowed, owner)[1] > 0).any())  # an overflow proves nothing
    distance = asked.distance(torch.tensor([[[5.0, 5.0]]] * 2).double(), owner)
    assert distance[0, 0] == 5.0
    assert distance[1, 0] <= 0  # everything is unsafe


def inside(points: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    return ((points >= lower) & (points <= upper)).all(1)


def test_the_tree_of_a_proof_covers_the_input_set(tmp_path: Path) -> None:
    """Children tile what their parent left, by volume and inclusion; no sample of a leaf or of a cut is unsafe."""
    network = random_network(3, (3, 12, 12, 2))
    draws = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0))
    y = network.graph.forward(2 * draws - 1).double()
    level = float(y[:, 0].min()) - 0.02
    box = Box(-torch.ones(3).double(), torch.ones(3).double())
    row, offset = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([level], dtype=torch.float64)
    other = Property(box, UnsafeSet((Halfspaces(row, offset - 1),)))
    case = Property(box, UnsafeSet((Halfspaces(row, offset),)))
    found = split_inputs(network, [other, case], Deadline(60), keep_proof=True)
    assert [outcome.verdict for outcome in found] == [Verdict.VERIFIED] * 2
    assert found[1].proof is not None
    found[1].proof.save(tmp_path / "tree.npz")
    tree = {name: torch.from_numpy(value) for name, value in np.load(tmp_path / "tree.npz").items() if value.ndim}
    assert tree["varying"].tolist() == [0, 1, 2]
    assert int((tree["parent"] == -1).sum()) == 1
    assert tree["lower"][0].tolist() == [-1, -1, -1]
    assert len(tree["parent"]) == found[1].domains > 1
    double = network.to(torch.float64).graph
    for place in range(len(tree["parent"])):
        lower, upper = tree["lower"][place], tree["upper"][place]
        points = lower + torch.rand(200, 3).double() * (upper - lower)
        far = case.unsafe.distance(double.forward(points))
        children = torch.nonzero(tree["parent"] == place)[:, 0]
        if tree["bound"][place] > 0:
            assert not len(children)
            assert bool((far >= tree["bound"][place]).all())
            continue
        low, high = tree["cut_lower"][place], tree["cut_upper"][place]
        assert bool((far[~inside(points, low, high)] > 0).all())
        left = (high - low).clamp_min(0).prod() if bool((low <= high).all()) else torch.tensor(0.0).double()
        sizes = (tree["upper"][children] - tree["lower"][children]).prod(1)
        assert torch.isclose(sizes.sum(), left, rtol=1e-9)
        assert bool((tree["lower"][children] >= low).all())
        assert bool((tree["upper"][children] <= high).all())
