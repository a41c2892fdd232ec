"""Domains of people and their counterparts, by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from robust.errors import PropertyError
from robust.properties.counterparts import Counterparts
from robust.properties.lattice import LatticeBox
from robust.properties.people import Attribute, People, one_hot, whole


def small() -> People:
    return People(
        [whole("age", 0, 20, 24), one_hot("job", (2, 3, 1), ("cook", "clerk", "none")), whole("sex", 4, 0, 1)]
    )


def test_people_become_inputs_and_come_back() -> None:
    people = small()
    numbers = torch.tensor([[0.0, 2.0, 1.0], [4.0, 0.0, 0.0]], dtype=torch.float64)
    assert people.inputs(numbers).tolist() == [[20, 1, 0, 0, 1], [24, 0, 1, 0, 0]]
    back, known = people.numbers(people.inputs(numbers))
    assert torch.equal(back, numbers)
    assert bool(known.all())
    strange = torch.tensor([[20.5, 1, 0, 0, 1], [20, 1, 1, 0, 1], [30, 1, 0, 0, 1]])
    assert people.numbers(strange)[1].tolist() == [False, False, False]


def test_boxes_hold_all_their_people_and_shares_add_up() -> None:
    people = small()
    lower = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    upper = torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64)
    low, high = people.ends(lower, upper)
    assert low.tolist() == [[21, 0, 0, 0, 0]]
    assert high.tolist() == [[23, 1, 0, 1, 1]]
    assert float(people.share(lower, upper)) == pytest.approx(3 / 5 * 2 / 3)
    for person in itertools.product((1, 2, 3), (1, 2), (0, 1)):
        inputs = people.inputs(torch.tensor([person], dtype=torch.float64)).double()
        assert bool(((inputs >= low) & (inputs <= high)).all())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Attribute("age", (0,), None, 3.0, 3.0), "'age' has no width"),
        (lambda: Attribute("age", (0,), (1.0, 1.0)), "'age' do not increase"),
        (lambda: Attribute("age", (0,), (1.0, float("nan"))), "'age'"),
        (lambda: whole("age", 0, 5, 4), "'age'"),
        (lambda: Attribute("job", (0, 1), (0.0,)), "'job'"),
        (lambda: Attribute("job", (), (0.0,)), "'job'"),
        (lambda: People([whole("a", 0, 0, 1), whole("b", 2, 0, 1)]), "cover"),
        (lambda: small().index("sx"), "no column 'sx'"),
        (lambda: Counterparts(People([Attribute("x", (0,), None, 0.0, 1.0)]), 0), "'x' cannot change"),
        (lambda: Counterparts(People([whole("x", 0, 1, 1)]), 0), "'x' cannot change"),
        (lambda: Counterparts(small(), 2, {1: 1.0}), "'job' means nothing"),
        (lambda: Counterparts(small(), 2, {2: 1.0}), "'sex' is protected"),
        (lambda: Counterparts(small(), 2, {0: 0.5}), "'age'"),
        (lambda: Counterparts(small(), 2, {0: float("inf")}), "'age'"),
    ],
)
def test_impossible_domains_name_the_column(make: object, words: str) -> None:
    with pytest.raises(PropertyError, match=words):
        make()  # type: ignore[operator]


def test_the_product_network_sees_both_people() -> None:
    people = small()
    counterparts = Counterparts(people, 1, {0: 2.0})
    network = nn.Linear(5, 2)
    pair = counterparts.paired(network)
    numbers = torch.tensor([[1.0, 0.0, 1.0, 2.0], [4.0, 0.0, 0.0, -1.0]], dtype=torch.float64)
    step = torch.tensor([0, 1])
    first, second = counterparts.pairs(numbers, step)
    assert first.tolist() == [[1, 0, 1], [4, 1, 0]]
    assert second.tolist() == [[3, 1, 1], [3, 2, 0]]
    low, high = counterparts.region(numbers, numbers, step)
    assert torch.equal(low, high)
    wanted = torch.cat([network(people.inputs(first)), network(people.inputs(second))], 1)
    assert torch.allclose(pair(low.float()), wanted, atol=1e-6)


def test_differences_are_cut_to_those_that_somebody_can_have() -> None:
    counterparts = Counterparts(small(), 2, {0: 2.0})
    lower = torch.tensor([[0.0, 0.0, 0.0, -2.0], [4.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    upper = torch.tensor([[1.0, 2.0, 0.0, 2.0], [4.0, 2.0, 0.0, 2.0]], dtype=torch.float64)
    low, high, empty = counterparts.fitted(lower, upper)
    assert (float(low[0, 3]), float(high[0, 3])) == (-1.0, 2.0)
    assert empty.tolist() == [False, True]


def test_a_lattice_holds_table_rows_only() -> None:
    box = LatticeBox(torch.zeros(4), torch.tensor([3.0, 1, 1, 1]), (0,), ((1, 2, 3),))
    points = torch.tensor([[2.0, 0, 1, 0], [2.5, 0, 1, 0], [2, 1, 1, 0], [2, 0.5, 0.5, 0], [4, 0, 1, 0]])
    assert box.contains(points).tolist() == [True, False, False, False, False]
    assert bool(box.contains(box.nearest(points[:4])).all())
    with pytest.raises(PropertyError, match="outside its box"):
        LatticeBox(torch.zeros(2), torch.ones(2), (2,))


def test_boxes_hold_the_float32_numbers_that_the_model_gets() -> None:
    people = People([Attribute("x", (0,), tuple(place / 10 for place in range(8))), whole("s", 1, 0, 1)])
    counterparts = Counterparts(people, 1, {0: 0.3})
    for number in range(8):
        for move in range(-3, 4):
            if not 0 <= number + move <= 7:
                continue
            point = torch.tensor([[number, 0.0, move]], dtype=torch.float64)
            first, second = counterparts.pairs(point, torch.tensor([0]))
            low, high = counterparts.region(point, point, torch.tensor([0]))
            difference = people.inputs(second).double()[0, 0] - people.inputs(first).double()[0, 0]
            assert float(low[0, 0]) == float(people.inputs(first)[0, 0]) == float(high[0, 0])
            assert float(low[0, 3]) <= float(difference) <= float(high[0, 3])
