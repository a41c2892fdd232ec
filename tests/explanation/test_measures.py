"""Measures of explanations, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from robust.explanation import (
    Explainer,
    attacked,
    insertion_deletion,
    mass_inside,
    noisy,
    pointing_hits,
    rank_correlation,
    shuffled_weights,
    unrelated_correlation,
)
from robust.properties import Box
from tests.doubles import ModuleClassifier, linear
from tests.explanation.planted import detector, planted


def test_rank_correlation_is_scipys_and_constant_maps_agree_with_nothing() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (6, 4, 3)).astype(float), rng.normal(size=(6, 4, 3))
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    made = rank_correlation(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-12)
    assert rank_correlation(torch.zeros(1, 4), torch.arange(4.0)[None]).tolist() == [0.0]
    order = torch.tensor([[1.0, 2.0, 9.0]])
    torch.testing.assert_close(rank_correlation(order, order**3), torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(rank_correlation(order, -order), -torch.ones(1, dtype=torch.float64))
    with pytest.raises(ValueError, match="not finite"):
        rank_correlation(torch.tensor([[1.0, torch.nan]]), torch.ones(1, 2))
    with pytest.raises(ValueError, match="one shape"):
        rank_correlation(torch.ones(1, 2), torch.ones(1, 3))


def test_strangers_are_never_oneself() -> None:
    maps = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    torch.testing.assert_close(unrelated_correlation(maps), torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def test_insertion_and_deletion_by_hand() -> None:
    classifier = linear(torch.tensor([[np.log(3.0), 0.0], [0.0, 0.0]]).float())
    x, classes = torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 0])
    right_and_wrong = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    curves = insertion_deletion(classifier.logits, x, classes, right_and_wrong, torch.zeros(2))
    assert curves.shares.tolist() == [0.0, 0.5, 1.0]
    expected_insertion = torch.tensor([[0.5, 0.75, 0.75], [0.5, 0.5, 0.75]]).double()
    expected_deletion = torch.tensor([[0.75, 0.5, 0.5], [0.75, 0.75, 0.5]]).double()
    torch.testing.assert_close(curves.insertion, expected_insertion, atol=1e-6, rtol=0)
    torch.testing.assert_close(curves.deletion, expected_deletion, atol=1e-6, rtol=0)
    # areas: insertion (0.5 + 2 * 0.75 + 0.75) / 4 = 0.6875 against deletion 0.5625; and the other way round
    torch.testing.assert_close(curves.score, torch.tensor([0.125, -0.125]).double(), atol=1e-6, rtol=0)


def test_a_picture_goes_place_by_place_over_all_channels() -> None:
    seen: list[Tensor] = []

    def logits(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return torch.zeros(len(x), 2)

    maps = torch.tensor([[[0.0, 3.0], [2.0, 1.0]]])
    insertion_deletion(logits, torch.ones(1, 3, 2, 2), torch.tensor([0]), maps, torch.zeros(3, 2, 2), steps=4)
    inserted = seen[::2]
    assert [float(s.sum()) for s in inserted] == [0.0, 3.0, 6.0, 9.0, 12.0]
    assert inserted[1][0, :, 0, 1].tolist() == [1.0, 1.0, 1.0]
    assert seen[3][0, :, 0, 1].tolist() == [0.0, 0.0, 0.0]


def test_maps_of_the_planted_model_beat_random_ones_and_their_own_reverse() -> None:
    x, _ = planted(30)
    baseline, classes = torch.full((1, 8, 8), 0.15), torch.ones(30, dtype=torch.int64)
    explainer = Explainer.of(ModuleClassifier(detector(), (1, 8, 8), 2), baseline)
    maps = explainer.maps("occlusion", x, classes)
    random = torch.rand(maps.shape, generator=torch.Generator().manual_seed(0))
    scores = [
        float(insertion_deletion(explainer.logits, x, classes, m, baseline).score.median())
        for m in (maps, random, -maps)
    ]
    assert scores[0] > scores[1] + 0.2
    assert scores[1] > scores[2] + 0.2


def test_shuffling_keeps_the_numbers_and_loses_their_order() -> None:
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    before = [p.detach().clone() for p in module.parameters()]
    shuffled_weights(module, torch.Generator().manual_seed(0))
    for old, new in zip(before, module.parameters(), strict=True):
        torch.testing.assert_close(new.detach().flatten().sort().values, old.flatten().sort().values)
    assert not torch.equal(before[0], module[0].weight)


def test_explanations_of_shuffled_weights_are_others() -> None:
    x, _ = planted(20)
    explainer = Explainer.of(ModuleClassifier(detector(), (1, 8, 8), 2), torch.full((1, 8, 8), 0.15))
    classes = torch.ones(20, dtype=torch.int64)
    other = explainer.randomised(torch.Generator().manual_seed(3))
    kept = explainer.maps("integrated_gradients", x, classes)
    same = rank_correlation(kept, explainer.maps("integrated_gradients", x, classes))
    torch.testing.assert_close(same, torch.ones(20, dtype=torch.float64))
    assert float(rank_correlation(kept, other.maps("integrated_gradients", x, classes)).median()) < 0.6


def test_perturbed_inputs_stay_near_and_in_the_box() -> None:
    box = Box(torch.tensor([0.0, -2.0]), torch.tensor([1.0, 2.0]))
    x = torch.tensor([[0.0, 1.9], [0.5, 0.0]])
    moved = noisy(x, box, 0.1, torch.Generator().manual_seed(0))
    assert box.contains(moved).all()
    assert ((moved - x).abs() <= torch.tensor([0.1, 0.4]) + 1e-6).all()
    classifier = linear(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))
    stepped = attacked(classifier.logits, x, torch.tensor([0, 0]), box, 0.1)
    torch.testing.assert_close(stepped, torch.tensor([[0.0, 2.0], [0.4, 0.4]]))


def test_pointing_and_mass_by_hand() -> None:
    masks = torch.tensor([[True, False, False]]).expand(4, 3)
    maps = torch.tensor([[3.0, 1.0, -5.0], [1.0, 3.0, 0.0], [1.0, 1.0, 1.0], [-1.0, -2.0, -3.0]])
    assert pointing_hits(maps, masks).tolist() == [True, False, False, True]
    torch.testing.assert_close(mass_inside(maps, masks), torch.tensor([0.75, 0.25, 1 / 3, 0.0]).double())
    with pytest.raises(ValueError, match="masks of the maps' shape"):
        pointing_hits(maps, masks[:2])
