from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.scales import LinearScale, domain, nice_ticks, tick_labels

floats = st.floats(allow_nan=False, allow_infinity=False)


def test_a_scale_maps_its_ends_and_its_middle() -> None:
    scale = LinearScale(2.0, 4.0, 100.0, 0.0)
    assert [scale(v) for v in (2.0, 3.0, 4.0, 5.0)] == [100.0, 50.0, 0.0, -50.0]
    assert LinearScale(-1.7e308, 1.7e308, 0.0, 1.0)(0.0) == 0.5


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.0, 0.3, [0.0, 0.1, 0.2, 0.3]),
        (-1.0, 1.0, [-1, -0.5, 0, 0.5, 1]),
        (3.0, 47.0, [10, 20, 30, 40]),
    ],
)  # fmt: skip
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_labels_have_equal_decimals() -> None:
    assert tick_labels([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert tick_labels([-10.0, 0.0]) == ["−10", "0"]
    assert tick_labels([0.0, 1e9]) == ["0", "1e+09"]
    assert tick_labels([]) == []


def test_domains_of_nothing_one_point_and_wanted_ranges() -> None:
    assert domain([]) == (0.0, 1.0)
    assert domain([5.0]) == (4.5, 5.5)
    assert domain([0.0]) == (0.0, 1.0)
    assert domain([0.4], (0.0, 1.0)) == (0.0, 1.0)
    assert domain([1.5], (1.0, 0.0)) == (0.0, 1.5)


@given(st.lists(floats, max_size=4), st.one_of(st.none(), st.tuples(floats, floats)))
def test_every_value_lands_on_the_page(values: list[float], wanted: tuple[float, float] | None) -> None:
    low, high = domain(values, wanted)
    assert low < high
    scale = LinearScale(low, high, 0.0, 100.0)
    for value in values:
        assert -1e-6 <= scale(value) <= 100.0 + 1e-6
    ticks = nice_ticks(low, high)
    assert 1 <= len(ticks) <= 24
    assert all(math.isfinite(scale(tick)) and -0.01 <= scale(tick) <= 100.01 for tick in ticks)
    assert len(tick_labels(ticks)) == len(ticks)
