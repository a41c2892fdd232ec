"""The claims of the Grad-CAM paper (Selvaraju et al. 2017), each on networks whose reason is known, with a control.

It points at the object (pointing game); it agrees with occlusion; it shows what a biased model uses; it stays under an
adversarial change. And what was asked later: it is another map when the weights are others (Adebayo et al. 2018).
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from robust.explanation import (
    Explainer,
    Method,
    attacked,
    mass_inside,
    pointing_hits,
    rank_correlation,
    unrelated_correlation,
)
from robust.subjects import TorchClassifier

SIDE, COUNT = 12, 60
BASELINE = torch.full((1, SIDE, SIDE), 0.3)
GENERAL: tuple[Method, ...] = ("grad_cam", "integrated_gradients")


def pictures(count: int, seed: int, *, cue: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A horizontal or a vertical bar somewhere in the upper part; ``cue``: with it a bright or a chequered patch in a
    corner below, by class. Images, labels, masks of the bars and of the patches."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.3 + 0.1 * torch.rand(count, 1, SIDE, SIDE, generator=generator)
    y = torch.arange(count) % 2
    bars, corners = (torch.zeros(count, SIDE, SIDE, dtype=torch.bool) for _ in range(2))
    places = torch.randint(0, 4, (count, 2), generator=generator).tolist()
    for sample, (row, column) in enumerate(places):
        if y[sample]:
            bars[sample, row : row + 4, column + 3 : column + 4] = True
        else:
            bars[sample, row + 2 : row + 3, column : column + 4] = True
        corners[sample, SIDE - 3 :, SIDE - 3 :] = True
    x[bars[:, None]] = 0.95
    if cue:
        chequered = torch.tensor([[0.95, 0.0, 0.95], [0.0, 0.95, 0.0], [0.95, 0.0, 0.95]])
        x[:, 0, SIDE - 3 :, SIDE - 3 :] = torch.where(y[:, None, None] == 1, 0.95, chequered)
    return x, y, bars, corners


def trained(*, cue: bool) -> Explainer:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 2),
    )  # fmt: skip
    x, y, _, _ = pictures(400, 1, cue=cue)
    optimiser = torch.optim.Adam(module.parameters(), 2e-2)
    for _ in range(120):
        optimiser.zero_grad()
        functional.cross_entropy(module(x), y).backward()
        optimiser.step()
    module.eval().requires_grad_(False)
    return Explainer.of(TorchClassifier(module, (1, SIDE, SIDE), name="bars"), BASELINE)


@pytest.fixture(scope="module")
def honest() -> Explainer:
    return trained(cue=False)


@pytest.fixture(scope="module")
def biased() -> Explainer:
    return trained(cue=True)


def random_maps(seed: int) -> Tensor:
    return torch.rand(COUNT, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def test_the_models_are_right(honest: Explainer, biased: Explainer) -> None:
    for explainer, cue in ((honest, False), (biased, True)):
        x, y, _, _ = pictures(200, 2, cue=cue)
        assert float((explainer.logits(x).argmax(1) == y).float().mean()) > 0.95


@pytest.mark.parametrize("method", GENERAL)
def test_it_points_at_the_object(method: Method, honest: Explainer) -> None:
    x, y, bars, _ = pictures(COUNT, 3, cue=False)
    near = functional.max_pool2d(bars[:, None].float(), 3, 1, 1)[:, 0] > 0  # a pixel beside it counts too
    hits, chance = (
        float(pointing_hits(maps, near).float().mean()) for maps in (honest.maps(method, x, y), random_maps(0))
    )
    assert hits > chance + 0.3


@pytest.mark.parametrize("method", GENERAL)
def test_it_agrees_with_occlusion(method: Method, honest: Explainer) -> None:
    x, y, _, _ = pictures(COUNT, 3, cue=False)
    occluded = honest.maps("occlusion", x, y)
    found, chance = (rank_correlation(maps, occluded) for maps in (honest.maps(method, x, y), random_maps(1)))
    assert float(found.median()) > float(chance.median()) + 0.1


@pytest.mark.parametrize("method", GENERAL)
def test_it_shows_what_a_biased_model_uses(method: Method, honest: Explainer, biased: Explainer) -> None:
    """Mass in the corner, for the model that learnt it and for the one that never saw it."""
    x, y, _, corners = pictures(COUNT, 3, cue=True)
    with_bias, without = (mass_inside(explainer.maps(method, x, y), corners).mean() for explainer in (biased, honest))
    area = float(corners.float().mean())
    assert float(with_bias) > 2 * area
    assert float(with_bias) > float(without) + 0.1


@pytest.mark.parametrize("method", ["grad_cam"])
def test_it_stays_for_the_true_class_under_an_attack(method: Method, honest: Explainer) -> None:
    x, y, _, _ = pictures(COUNT, 3, cue=False)
    moved = attacked(honest.logits, x, y, honest.box, 0.05)
    before, after = honest.maps(method, x, y), honest.maps(method, moved, y)
    same = rank_correlation(before, after)
    assert float(same.median()) > float(unrelated_correlation(before).median()) + 0.2


@pytest.mark.parametrize("method", GENERAL)
def test_it_is_another_map_when_the_weights_are_others(method: Method, honest: Explainer) -> None:
    """Over many images, against the null of maps of other images of the same model."""
    x, y, _, _ = pictures(COUNT, 3, cue=False)
    kept = honest.maps(method, x, y)
    shuffled = [
        rank_correlation(kept, honest.randomised(torch.Generator().manual_seed(seed)).maps(method, x, y)).median()
        for seed in range(3)
    ]
    assert float(torch.stack(shuffled).mean()) < 0.5
    torch.testing.assert_close(rank_correlation(kept, honest.maps(method, x, y)).median(), torch.tensor(1.0).double())


def test_counterfactual_maps_show_what_speaks_against_a_class(honest: Explainer) -> None:
    x, y, _, _ = pictures(COUNT, 3, cue=False)
    against = honest.maps("counterfactual_grad_cam", x, y)
    other = honest.maps("grad_cam", x, 1 - y)
    assert bool((against >= 0).all())
    # Of two classes what speaks against one is nearly what speaks for the other.
    assert float(rank_correlation(against, other).nan_to_num().mean()) > 0.3
