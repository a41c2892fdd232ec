"""Patches, universal perturbations, codes of a generator, rows of a table: what must be found, by hand or counted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks import APGD, NoGradientError, Targeted
from attacks.boundary import Boundary
from attacks.latent import Latent
from attacks.patch import PatchAttack
from attacks.tabular import TabularAttack
from attacks.transfer import Transfer
from attacks.universal import UniversalAttack
from robust.errors import DataRangeError, DataShapeError, ModelShapeError, PropertyError, UsageError
from robust.properties import Box
from robust.properties.people import Attribute, People, one_hot, whole
from tests.doubles import ModuleClassifier, linear


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- patches


class Window(nn.Module):
    """Class 1 when the sum over one 2 x 2 window exceeds 3, on pictures ``[1, 6, 5]``."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 5))
        self.weight.data[row : row + 2, column : column + 2] = 1

    def forward(self, x: Tensor) -> Tensor:
        side = (x[:, 0] * self.weight).sum((1, 2)) - 3
        return torch.stack([-side, side], 1)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (4, 3), (2, 1)])
def test_a_patch_is_put_where_it_counts(row: int, column: int) -> None:
    subject = ModuleClassifier(Window(row, column), (1, 6, 5), 2)
    x, labels = torch.full((2, 1, 6, 5), 0.1), torch.zeros(2, dtype=torch.int64)
    found = PatchAttack(height=2, width=2, places=3, steps=5)(subject, x, labels, seeded())
    assert found.attempt.success.tolist() == [True, True]
    assert found.corners.tolist() == [[row, column]] * 2
    moved = (found.attempt.adversarials != x)[:, 0]
    assert int(moved.sum(0).bool().sum()) == 4
    small = PatchAttack(height=1, width=2, places=30, steps=5)(subject, x, labels, seeded())  # at most 2 + .2 < 3
    assert not bool(small.attempt.success.any())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4))
def test_what_differs_lies_in_one_rectangle_and_in_the_box(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Flatten(), nn.Linear(60, 8), nn.ReLU(), nn.Linear(8, 3))
    subject = ModuleClassifier(module, (3, 5, 4), 3)
    x = torch.rand(4, 3, 5, 4, generator=seeded(seed))
    labels = subject.replay(x).argmax(1)
    attack = PatchAttack(height=height, width=width, places=4, steps=8)
    one, two = (attack(subject, x, labels, seeded(seed)) for _ in range(2))
    assert torch.equal(one.attempt.best, two.attempt.best)
    for points in (one.attempt.best, one.attempt.adversarials):
        assert bool(subject.input_box.contains(points).all())
        for moved in (points != x).any(1):
            rows, columns = torch.nonzero(moved, as_tuple=True)
            if len(rows):
                assert int(rows.max() - rows.min()) < height
                assert int(columns.max() - columns.min()) < width
    answers = subject.replay(one.attempt.adversarials).argmax(1)
    assert ((answers != labels) == one.attempt.success).all()


def test_patches_that_do_not_fit_are_refused() -> None:
    subject = ModuleClassifier(Window(0, 0), (1, 6, 5), 2)
    x, labels = torch.zeros(1, 1, 6, 5), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(DataShapeError):
        PatchAttack(height=7, width=2)(subject, x, labels, seeded())
    with pytest.raises(DataShapeError):
        PatchAttack(height=1, width=1)(linear(torch.eye(3)), torch.zeros(1, 3), labels, seeded())
    with pytest.raises(UsageError):
        PatchAttack(height=0, width=2)


# --- universal perturbations


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_direction_for_all_of_a_linear_model(norm: str) -> None:
    """``x0 > 0.5`` decides: moving ``x0`` down by e breaks exactly the samples with x0 - 0.5 < e."""
    subject = linear(torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([0.5, -0.5]))
    x = torch.rand(400, 3, generator=seeded()) * torch.tensor([0.3, 1.0, 1.0]) + torch.tensor([0.55, 0.0, 0.0])
    labels = torch.ones(400, dtype=torch.int64)
    found = UniversalAttack(norm=norm, passes=5)(subject, x[:300], labels[:300], 0.2, seeded())  # type: ignore[arg-type]
    torch.testing.assert_close(float(found.perturbation[0]), -0.2, atol=1e-3, rtol=0)
    breaks = found.breaks(subject, x[300:], labels[300:])
    clear = (x[300:, 0] - 0.7).abs() > 2e-3
    assert torch.equal(breaks[clear], (x[300:, 0] < 0.7)[clear])
    moved = found.on(subject, x) - x
    size = moved.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(moved.double(), dim=1)
    assert bool((size <= 0.2 + 1e-7).all())
    assert (found.forward, found.backward) == (1500, 1500)


def test_a_universal_perturbation_needs_samples_and_a_radius() -> None:
    subject = linear(torch.eye(2))
    none = torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)
    with pytest.raises(DataShapeError):
        UniversalAttack()(subject, *none, 0.1, seeded())
    with pytest.raises(PropertyError):
        UniversalAttack()(subject, torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), -0.1, seeded())
    with pytest.raises(UsageError):
        UniversalAttack(norm="l1")  # type: ignore[arg-type]
    found = UniversalAttack()(subject, torch.rand(3, 2), torch.zeros(3, dtype=torch.int64), 0.1, seeded())
    with pytest.raises(DataShapeError):
        found.on(linear(torch.eye(3)), torch.zeros(1, 3))


# --- surrogates and answers alone


def test_what_breaks_a_surrogate_is_shown_to_the_subject_once() -> None:
    """Subject and surrogate agree on the first feature; the subject gives no gradients."""
    weight = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    subject = linear(weight, torch.tensor([0.5, -0.5]), differentiable=False)
    helpful, useless = linear(weight, torch.tensor([0.4, -0.4])), linear(weight.flip(1))
    x, labels = torch.tensor([[0.6, 0.5], [0.8, 0.5]]), torch.ones(2, dtype=torch.int64)
    found = Transfer([helpful])(subject, x, labels, 0.2, seeded())
    assert found.success.tolist() == [True, False]  # .1 and .3 away
    assert found.forward.tolist() == [2, 2]
    assert found.backward.tolist() == [0, 0]
    assert not bool(Transfer([useless])(subject, x, labels, 0.2, seeded()).success.any())
    both = Transfer([useless, helpful])(subject, x, labels, 0.2, seeded())
    assert both.success.tolist() == [True, False]
    assert both.broken_in.tolist() == [1, -1]
    assert both.forward.tolist() == [3, 4]
    target = Transfer([helpful], norm="l2")(subject, x, Targeted(labels, 1 - labels), 0.15, seeded())
    assert target.success.tolist() == [True, False]


def test_surrogates_of_another_kind_are_refused() -> None:
    subject, x, labels = linear(torch.eye(2)), torch.full((1, 2), 0.5), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(UsageError):
        Transfer([])
    with pytest.raises(UsageError):
        Transfer([subject], norm="l1")
    moved = x + torch.tensor([[0.1, 0.0]])
    with pytest.raises(ModelShapeError):
        Transfer([linear(torch.eye(3))])(subject, moved, labels, 0.1, seeded())
    with pytest.raises(NoGradientError):
        Transfer([linear(torch.eye(2), differentiable=False)])(subject, moved, labels, 0.1, seeded())


def test_a_walk_on_answers_comes_near_the_line() -> None:
    """Class by ``x0 + x1 > 1`` in four dimensions; the distance in L2 is known, and the budget is kept."""
    weight = torch.tensor([[-1.0, -1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    subject = linear(weight, torch.tensor([1.0, -1.0]), differentiable=False)
    x = torch.tensor([[0.3, 0.4, 0.5, 0.5], [0.8, 0.5, 0.1, 0.9]])
    labels = torch.tensor([0, 1])
    attempt = Boundary(queries=2000)(subject, x, labels, seeded())
    exact = torch.tensor([0.3, 0.3], dtype=torch.float64) / 2**0.5
    assert attempt.success.tolist() == [True, True]
    assert bool((attempt.distances >= exact - 1e-6).all())
    assert bool((attempt.distances <= 1.1 * exact).all())
    assert bool((attempt.forward <= 2000).all())
    again = Boundary(queries=2000)(subject, x, labels, seeded())
    assert torch.equal(again.adversarials, attempt.adversarials)
    with pytest.raises(UsageError):
        Boundary(norm="linf")


# --- behind a generator


def test_attacks_search_the_codes_of_a_generator() -> None:
    """``G(z) = (z, 1 - z)``; class 1 where x0 - x1 > 0.5, so where z > 0.75: from z = .5 a move of .25 is needed."""
    classifier = linear(torch.tensor([[-1.0, 1.0], [1.0, -1.0]]), torch.tensor([0.5, -0.5]))
    generator = nn.Linear(1, 2)
    generator.weight.data = torch.tensor([[1.0], [-1.0]])
    generator.bias.data = torch.tensor([0.0, 1.0])
    subject = Latent(classifier, generator, Box(torch.zeros(1), torch.ones(1)))
    z, labels = torch.full((1, 1), 0.5), torch.zeros(1, dtype=torch.int64)
    for epsilon, breaks in ((0.24, False), (0.26, True)):
        attempt = APGD(norm="linf")(subject, z, labels, epsilon, seeded())
        assert bool(attempt.success[0]) is breaks
    made = subject.inputs(attempt.adversarials)
    assert int(classifier.replay(made).argmax()) == 1
    torch.testing.assert_close(float(made.sum()), 1.0)
    module = subject.module()
    assert module is not None
    torch.testing.assert_close(module(z), classifier.logits(generator(z)))
    with pytest.raises(DataShapeError):
        Latent(linear(torch.eye(3)), generator, Box(torch.zeros(1), torch.ones(1)))


def test_generators_of_other_weights_are_other_subjects() -> None:
    classifier, box = linear(torch.eye(2)), Box(torch.zeros(2), torch.ones(2))
    first, second = (nn.Linear(2, 2) for _ in range(2))
    same = Latent(classifier, first, box).digest
    assert Latent(classifier, first, box).digest == same
    assert Latent(classifier, second, box).digest != same


def test_what_leaves_the_input_box_is_clamped() -> None:
    subject = Latent(linear(torch.eye(2)), lambda z: z * 10, Box(torch.zeros(2), torch.ones(2)))
    assert torch.equal(subject.inputs(torch.tensor([[0.05, 0.9]])), torch.tensor([[0.5, 1.0]]))
    assert subject.module() is None


# --- tables


def domain() -> People:
    return People(
        [
            whole("age", 0, 0, 9),
            one_hot("job", (1, 2, 3)),
            Attribute("income", (4,), None, 0.0, 1.0),
            whole("kids", 5, 0, 3),
        ]
    )


def scorer(seed: int) -> ModuleClassifier:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    return ModuleClassifier(module, (6,), 2, lower=0.0, upper=10.0)


def some_people(count: int, seed: int) -> Tensor:
    draw = torch.rand(count, 4, generator=seeded(seed)).double()
    numbers = torch.stack(
        [(draw[:, 0] * 10).floor(), (draw[:, 1] * 3).floor(), draw[:, 2], (draw[:, 3] * 4).floor()], 1
    )
    return domain().inputs(numbers)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_one_change_is_found_whenever_there_is_one(seed: int) -> None:
    """Counted by hand over all levels of all attributes but the continuous one."""
    people, subject, x = domain(), scorer(seed), some_people(6, seed)
    labels = subject.replay(x).argmax(1)
    attempt = TabularAttack(people, immutable=["income"], most=1)(subject, x, labels, seeded())
    numbers = people.numbers(x)[0]
    for row in range(len(x)):
        breaks = False
        for place, levels in ((0, 10), (1, 3), (3, 4)):
            others = numbers[row].repeat(levels, 1)
            others[:, place] = torch.arange(levels, dtype=torch.float64)
            breaks |= bool((subject.replay(people.inputs(others)).argmax(1) != labels[row]).any())
        assert bool(attempt.success[row]) is breaks
        assert int(attempt.changed[row].sum()) == int(breaks)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_witnesses_are_people_and_respect_what_was_said(seed: int) -> None:
    people, subject, x = domain(), scorer(seed), some_people(12, seed)
    labels = subject.replay(x).argmax(1)
    attack = TabularAttack(
        people, immutable=["job"], directions={"age": "up"}, reach={"income": 0.2, "kids": 1}, most=3
    )
    attempt = attack(subject, x, labels, seeded())
    before, after = people.numbers(x)[0], attempt.people
    again, known = people.numbers(attempt.adversarials)
    assert bool(known.all())
    torch.testing.assert_close(again, after, atol=1e-6, rtol=0)
    assert torch.equal(after[:, 1], before[:, 1])
    assert bool((after[:, 0] >= before[:, 0]).all())
    assert bool(((after[:, 2] - before[:, 2]).abs() <= 0.2 + 1e-7).all())
    assert bool(((after[:, 3] - before[:, 3]).abs() <= 1).all())
    answers = subject.replay(attempt.adversarials).argmax(1)
    assert torch.equal(answers != labels, attempt.success)
    assert bool((attempt.changed.sum(1) <= 3).all())
    assert not bool(attempt.changed[~attempt.success].any())


def test_two_changes_where_one_is_not_enough() -> None:
    """Class 1 only where age >= 8 and kids >= 2, by a network of steps."""

    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            side = torch.minimum(x[:, 0] - 7.5, 5 * (x[:, 5] - 1.5))
            return torch.stack([-side, side], 1)

    subject = ModuleClassifier(Both(), (6,), 2, lower=0.0, upper=10.0)
    x = domain().inputs(torch.tensor([[2.0, 1.0, 0.5, 0.0], [9.0, 0.0, 0.5, 1.0]], dtype=torch.float64))
    attempt = TabularAttack(domain())(subject, x, torch.zeros(2, dtype=torch.int64), seeded())
    assert attempt.success.tolist() == [True, True]
    assert attempt.changed.tolist() == [[True, False, False, True], [False, False, False, True]]


def test_nobody_outside_the_input_box_is_asked_about() -> None:
    """Class 1 from age 8 on, but the model is declared for ages up to 7."""

    class Old(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([7.5 - x[:, 0], x[:, 0] - 7.5], 1)

    x, labels = some_people(3, 1).clamp_max(7.0), torch.zeros(3, dtype=torch.int64)
    for upper, breaks in ((7.0, False), (9.0, True)):
        subject = ModuleClassifier(Old(), (6,), 2, lower=0.0, upper=upper)
        attempt = TabularAttack(domain())(subject, x, labels, seeded())
        assert attempt.success.tolist() == [breaks] * 3


def test_bad_tables_are_refused() -> None:
    subject, x = scorer(0), some_people(2, 0)
    labels = torch.zeros(2, dtype=torch.int64)
    broken = x.clone()
    broken[1, 1:4] = 1.0
    with pytest.raises(DataRangeError, match="row 1"):
        TabularAttack(domain())(subject, broken, labels, seeded())
    with pytest.raises(DataShapeError):
        TabularAttack(domain())(subject, x[:, :5], labels, seeded())
    for options in (
        {"immutable": ["age", "job", "income", "kids"]},
        {"most": 0},
        {"directions": {"age": "sideways"}},
        {"reach": {"job": 1}},
        {"reach": {"age": -1}},
    ):
        with pytest.raises(UsageError):
            TabularAttack(domain(), **options)  # type: ignore[arg-type]
    with pytest.raises(PropertyError):
        TabularAttack(domain(), immutable=["name"])


def test_the_levels_are_all_counted() -> None:
    """What ``values`` offers for attributes of few levels is every level, itself included where it may not move."""
    attack = TabularAttack(domain(), directions={"kids": "down"})
    offered = attack.values(3, torch.tensor([2.0], dtype=torch.float64), seeded())
    assert sorted(set(offered[0].tolist())) == [0.0, 1.0, 2.0]
    assert attack.values(1, torch.tensor([2.0], dtype=torch.float64), seeded()).tolist() == [[0, 1, 2]]
