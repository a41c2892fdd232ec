from __future__ import annotations

import pytest
import torch

from attacks.fooling.archive import Archive
from attacks.fooling.nearest import nearest_distances
from attacks.fooling.operators import polynomial_mutation, simulated_binary_crossover


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mutation_moves_the_wanted_share_by_the_wanted_amount() -> None:
    parents = torch.full((400, 50), 0.5)
    children = polynomial_mutation(parents, 0.1, 15.0, seeded())
    moved = children != parents
    assert float(moved.float().mean()) == pytest.approx(0.1, abs=0.01)
    delta = (children - parents)[moved]
    # E|delta| = 1 - E[(2u)^(1/16) | u < 1/2] = 1 - 16/17
    assert float(delta.abs().mean()) == pytest.approx(1 / 17, rel=0.05)
    assert float(delta.mean()) == pytest.approx(0.0, abs=0.005)


def test_no_child_is_a_copy() -> None:
    parents = torch.full((300, 3), 0.5)
    children = polynomial_mutation(parents, 0.01, 15.0, seeded())
    assert bool((children != parents).any(1).all())


def test_children_stay_in_the_unit_cube() -> None:
    edge = torch.cat([torch.zeros(50, 8), torch.ones(50, 8)])
    mutated = polynomial_mutation(edge, 0.9, 1.0, seeded())
    crossed = simulated_binary_crossover(edge, edge.flip(0), 1.0, 1.0, seeded())
    for children in (mutated, crossed):
        assert float(children.min()) >= 0
        assert float(children.max()) <= 1


def test_crossover_keeps_equal_parents_and_the_rate() -> None:
    parents = torch.rand(64, 5, generator=seeded())
    equal = simulated_binary_crossover(parents, parents, 1.0, 10.0, seeded())
    assert torch.allclose(equal, parents, atol=1e-6)
    first, second = torch.full((2000, 6), 0.4), torch.full((2000, 6), 0.6)
    children = simulated_binary_crossover(first, second, 0.5, 10.0, seeded())
    assert float((children != first).float().mean()) == pytest.approx(0.25, abs=0.02)  # half the pairs, half the genes
    assert torch.equal(simulated_binary_crossover(first, second, 0.0, 10.0, seeded()), first)


def test_every_child_is_offered_to_every_class() -> None:
    archive = Archive(3, (2,), torch.device("cpu"))
    children = torch.tensor([[0.1, 0.1], [0.2, 0.2]])
    scores = torch.tensor([[-1.0, -5.0, -3.0], [-2.0, -0.5, -3.0]], dtype=torch.float64)
    assert archive.offer(children, scores).tolist() == [True, True, True]
    assert archive.elites[:, 0].tolist() == pytest.approx([0.1, 0.2, 0.1])
    worse = archive.offer(torch.tensor([[0.9, 0.9]]), torch.tensor([[-1.0, -0.4, -9.0]], dtype=torch.float64))
    assert worse.tolist() == [False, True, False]  # a tie does not replace
    assert archive.elites[:, 0].tolist() == pytest.approx([0.1, 0.9, 0.1])
    assert archive.scores.tolist() == [-1.0, -0.4, -3.0]


def test_nearest_distances_by_hand() -> None:
    samples = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    assert nearest_distances(torch.tensor([[0.0, 1.0], [3.0, 4.5]]), samples).tolist() == [1.0, 0.5]
    assert nearest_distances(samples, samples, skip_self=True).tolist() == [5.0, 1.0, 1.0]
