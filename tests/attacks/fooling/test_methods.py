"""One table drives both methods; linear models say what is reachable."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from attacks import NoGradientError
from attacks.fooling import FoolingMethod, GradientAscent, MapElites
from robust.errors import UsageError
from tests.doubles import ModuleClassifier, linear, mlp

METHODS: dict[str, Callable[[], FoolingMethod]] = {
    "gradient": lambda: GradientAscent(steps=60, restarts=2),
    "elites": lambda: MapElites(evaluations=6000),
    "elites one by one": lambda: MapElites(batch=1, evaluations=800),
}
table = pytest.mark.parametrize("name", list(METHODS))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_pixel_per_class(classes: int, gain: float, **options: object) -> ModuleClassifier:
    """Logit k is ``gain * x_k``: over [0, 1] the best confidence is ``1 / (1 + (classes - 1) exp(-gain))``."""
    return linear(gain * torch.eye(classes), **options)


@table
def test_a_linear_softmax_is_fooled_for_every_class(name: str) -> None:
    classifier = one_pixel_per_class(4, 30.0)
    made = METHODS[name]()(classifier, seeded())
    assert bool((made.confidences >= 0.9999).all())
    assert bool((made.reached > 0).all())
    assert int(made.reached.max()) <= made.evaluations
    assert classifier.replay(made.inputs).argmax(1).tolist() == [0, 1, 2, 3]
    assert bool(classifier.input_box.contains(made.inputs).all())


@table
def test_no_confidence_beyond_the_closed_form(name: str) -> None:
    classifier = one_pixel_per_class(3, 2.0)
    made = METHODS[name]()(classifier, seeded())
    best = 1 / (1 + 2 * math.exp(-2.0))
    assert float(made.confidences.max()) <= best + 1e-9
    assert float(made.confidences.min()) > best - 0.05
    assert made.reached.tolist() == [-1, -1, -1]


@table
def test_two_classes_any_box_and_only_the_targets(name: str) -> None:
    lower, upper = torch.tensor([-1.0, 0.0, 5.0]), torch.tensor([1.0, 0.1, 5.5])
    classifier = linear(torch.tensor([[1.0, 0.0, 0.0], [0.0, 5.0, 1.0]]), lower=lower, upper=upper)
    made = METHODS[name]()(classifier, seeded(), [1])
    assert made.targets.tolist() == [1]
    assert made.inputs.shape == (1, 3)
    assert bool(classifier.input_box.contains(made.inputs).all())
    best = torch.softmax(torch.tensor([-1.0, 6.0], dtype=torch.float64), 0)[1]
    assert float(made.confidences[0]) == pytest.approx(float(best), abs=2e-3)


@table
def test_search_only_gets_better_and_repeats(name: str) -> None:
    classifier = mlp((1, 6, 6), 5)
    module = classifier.module()
    assert module is not None
    state = torch.random.get_rng_state()
    first, second = (METHODS[name]()(classifier, seeded(3)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.inputs, second.inputs)
    assert not torch.equal(first.inputs, METHODS[name]()(classifier, seeded(4)).inputs)
    lows = [low for _, low, _ in first.history]
    assert lows == sorted(lows)
    assert lows[-1] > lows[0]
    assert [used for used, *_ in first.history] == sorted(used for used, *_ in first.history)
    assert all(p.grad is None for p in module.parameters())
    replayed = torch.softmax(classifier.replay(first.inputs).double(), 1).diagonal()
    assert torch.allclose(first.confidences, replayed, rtol=0, atol=1e-12)


@table
def test_evaluations_are_counted(name: str) -> None:
    classifier = mlp((4,), 3)
    made = METHODS[name]()(classifier, seeded())
    probes = 1 if name == "gradient" else 0  # one row, to see whether there are gradients
    assert classifier.rows == made.evaluations + probes


def test_the_budget_is_kept() -> None:
    classifier = one_pixel_per_class(3, 0.1)
    made = MapElites(batch=100, evaluations=250)(classifier, seeded())
    assert made.evaluations == 250 + 3
    assert made.history[-1][0] == 250


def test_map_elites_needs_no_gradients_and_gradient_ascent_says_so() -> None:
    classifier = mlp((4,), 2, differentiable=False)
    assert len(MapElites(evaluations=200)(classifier, seeded()).inputs) == 2
    with pytest.raises(NoGradientError, match="map_elites"):
        GradientAscent()(classifier, seeded())


def test_the_penalty_keeps_inputs_near_the_centre() -> None:
    classifier = one_pixel_per_class(3, 3.0)
    tight, loose = (GradientAscent(penalty=p, restarts=1, steps=100)(classifier, seeded()).inputs for p in (20.0, 0.0))
    assert float((tight - 0.5).abs().mean()) < 0.5 * float((loose - 0.5).abs().mean())


def test_nan_answers_are_no_confidence() -> None:
    class Sick(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x, -x], 1) * torch.where(x > 0.8, torch.nan, 1.0)

    classifier = ModuleClassifier(Sick(), (1,), 2)
    for method in (MapElites(evaluations=500), GradientAscent(steps=30)):
        made = method(classifier, seeded())
        assert bool(torch.isfinite(made.confidences).all())
        assert float(made.inputs.max()) <= 0.8
        assert float(made.confidences[0]) > 0.5


@pytest.mark.parametrize("targets", [[], [0, 0], [3], [-1]])
def test_targets_that_are_none_are_refused(targets: list[int]) -> None:
    with pytest.raises(UsageError, match="classes"):
        MapElites()(mlp((2,), 3), seeded(), targets)


def test_bad_hyperparameters_are_refused() -> None:
    for make in (
        lambda: MapElites(batch=0),
        lambda: MapElites(mutation_rate=0.0),
        lambda: GradientAscent(steps=0),
        lambda: GradientAscent(target=1.5),
    ):
        with pytest.raises(UsageError):
            make()


def test_repr_prints_the_hyperparameters() -> None:
    assert repr(MapElites(batch=7)).startswith("MapElites(batch=7, evaluations=40000, target=0.9999, ")
    assert repr(GradientAscent(steps=3)).startswith("GradientAscent(steps=3, restarts=3, rate=0.1, ")
