"""Every rule against its function in 60 digits: values, lines, families and slopes, at points of drawn intervals."""

from __future__ import annotations

import math
from itertools import pairwise

import mpmath as mp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.verifiers.relaxations.operators import OPERATORS, Operator
from verifiers.relaxations import RULES, Lines

mp.mp.dps = 60
FLOATS = {"float32": torch.float32, "float64": torch.float64}


@st.composite
def intervals(draw: st.DrawFn, operator: Operator, dtype: torch.dtype) -> tuple[float, float]:
    """Ends that are floats of ``dtype``: ordinary, huge, tiny, a few floats wide, points, at special points."""
    kind = draw(st.sampled_from(["plain", "plain", "wide", "narrow", "special", "any", "point"]))
    centre = draw(st.sampled_from(operator.points) if kind == "special" else st.floats(-6, 6))
    spread = {
        "plain": st.floats(0.01, 8), "wide": st.floats(8, 1e4), "narrow": st.floats(0, 1e-5),
        "special": st.sampled_from([0.0, 1e-30, 1e-6, 0.1, 1.0, 4.0]), "any": st.just(0.0), "point": st.just(0.0),
    }[kind]  # fmt: skip
    left, right = draw(spread), draw(spread)
    if kind == "any":
        ends = sorted(draw(st.floats(-(2.0**99), 2.0**99, width=32)) for _ in range(2))
        lower, upper = ends[0], ends[1]
    else:
        lower, upper = centre - left, centre + right
    lower, upper = torch.tensor([lower, upper], dtype=dtype).tolist()
    steps = draw(st.integers(0, 3)) if kind in ("narrow", "point") else 0
    for _ in range(steps):
        upper = float(torch.nextafter(torch.tensor(upper, dtype=dtype), torch.tensor(math.inf, dtype=dtype)))
    if operator.smallest == 0.0 and draw(st.integers(0, 9)):
        lower, upper = sorted([abs(lower), abs(upper)])
    return lower, upper


def sample(operator: Operator, lower: float, upper: float, fractions: list[float]) -> list[mp.mpf]:
    low, high = mp.mpf(lower), mp.mpf(upper)
    between = (low + (high - low) * mp.mpf(f) for f in (0.5, *fractions))
    points = {low, high, *(min(max(x, low), high) for x in between)}
    points |= {mp.mpf(p) for p in operator.points if lower <= p <= upper}
    near = mp.mpf(10) ** -9
    points |= {x for p in operator.points for x in (p - near, p + near) if low <= x <= high}
    return sorted(points)


def value_of(operator: Operator, x: mp.mpf) -> mp.mpf | None:
    """None where the function is not defined."""
    if x < operator.smallest:
        return None
    try:
        value = operator.exact(x)
    except (ZeroDivisionError, ValueError):
        return None
    return None if isinstance(value, mp.mpc) or mp.isnan(value) else mp.mpf(value)


def members(lines: Lines) -> list[tuple[Tensor, Tensor]]:
    zero = torch.zeros_like(lines.slopes[0])
    found = [(lines.slopes[0], zero if lines.intercept is None else lines.intercept)]
    if lines.family is not None:
        slopes, levels = lines.family.slopes[0], lines.family.intercept
        found += [(slope, zero if levels is None else levels[k]) for k, slope in enumerate(slopes)]
    return found


def check(operator: Operator, dtype: torch.dtype, box: list[tuple[float, float]], fractions: list[float]) -> None:
    node, rule = operator.node, RULES[operator.op]
    ends = torch.tensor(box, dtype=dtype)
    operand = (ends[:, 0][None], ends[:, 1][None])
    low, high = rule.interval(node, [operand])
    least, most = rule.slopes(node, [operand])[0]
    for relaxed in (rule.relax(node, [operand]), rule.relax(node, [operand], family=True)):
        below, above = members(relaxed.lower), members(relaxed.upper)
        for side in (below, above):
            assert not any(bool(torch.isnan(part).any()) for line in side for part in line)
            assert all(line[0].shape == low.shape and bool(torch.isfinite(line[0]).all()) for line in side)
        for family in (relaxed.lower.family, relaxed.upper.family):
            if family is not None:
                assert bool(((family.start >= 0) & (family.start <= len(family.slopes[0]) - 1)).all())
        for i, (lower, upper) in enumerate(box):
            xs = sample(operator, lower, upper, fractions)
            values = [value_of(operator, x) for x in xs]
            undefined = any(value is None for value in values)
            known = [(x, value) for x, value in zip(xs, values, strict=True) if value is not None]
            if undefined:
                assert float(low[0, i]) == -math.inf
                assert float(high[0, i]) == math.inf
                assert all(float(line[1][0, i]) == -math.inf for line in below)
                assert all(float(line[1][0, i]) == math.inf for line in above)
                continue
            for x, value in known:
                where = f"{operator} on [{lower!r}, {upper!r}] at {mp.nstr(x, 20)} = {mp.nstr(value, 20)}"
                assert mp.mpf(float(low[0, i])) <= value <= mp.mpf(float(high[0, i])), where
                for k, (slope, level) in enumerate(below):
                    line = mp.mpf(float(slope[0, i])) * x + mp.mpf(float(level[0, i]))
                    assert line <= value, f"lower line {k} of {where}: {mp.nstr(line - value, 5)} too high"
                for k, (slope, level) in enumerate(above):
                    line = mp.mpf(float(slope[0, i])) * x + mp.mpf(float(level[0, i]))
                    assert line >= value, f"upper line {k} of {where}: {mp.nstr(value - line, 5)} too low"
            if operator.op == "softplus":
                continue
            for (x, fx), (y, fy) in pairwise(known):
                if mp.isinf(fx) or mp.isinf(fy):
                    continue
                quotient = (fy - fx) / (y - x)
                tolerance = (abs(fx) + abs(fy)) / (y - x) * mp.mpf(10) ** -58
                where = f"slope of {operator} on [{lower!r}, {upper!r}]: {mp.nstr(quotient, 20)}"
                assert mp.mpf(float(least[0, i])) <= quotient + tolerance, where
                assert quotient - tolerance <= mp.mpf(float(most[0, i])), where


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_no_point_leaves_the_bounds(operator: Operator, dtype: str, data: st.DataObject) -> None:
    box = data.draw(st.lists(intervals(operator, FLOATS[dtype]), min_size=5, max_size=5))
    fractions = data.draw(st.lists(st.floats(0, 1), min_size=4, max_size=4))
    check(operator, FLOATS[dtype], box, fractions)


ROUND = [(-100.0, 8.0), (-10.0, 10.0), (-5.0, -2.0), (-2.0, 0.0), (-1.0, 1.0), (0.0, 1.0), (1.0, 2.0), (2.0, 100.0)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_round_ends_are_no_exception(operator: Operator, dtype: str) -> None:
    """A product may round to a number that looks exact: ``0.01 * -100`` is below -1."""
    boxes = [(low, high) for low, high in ROUND if low >= operator.smallest]
    check(operator, FLOATS[dtype], boxes, [0.0, 0.25, 0.5])


@pytest.mark.parametrize("operator", [each for each in OPERATORS if each.op in ("sin", "cos")], ids=str)
def test_narrow_intervals_where_the_slope_is_near_one(operator: Operator) -> None:
    """There ``1 - slope ** 2`` cancels; the first of these boxes is one that hypothesis found."""
    shift = 0.0 if operator.op == "sin" else -math.pi / 2
    boxes = [(0.009999042608828267, 0.010007419339572879)]
    boxes += [(place, place * (1 + width)) for place in (1e-3, 3e-3, 0.02, 0.07) for width in (1e-4, 1e-3, 1e-2)]
    boxes = [(low + shift, high + shift) for low, high in boxes]
    check(operator, torch.float64, boxes, [0.1, 0.3, 0.5, 0.7, 0.9])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_point_leaves_the_bounds_of_many(operator: Operator, dtype: str, data: st.DataObject) -> None:
    box = data.draw(st.lists(intervals(operator, FLOATS[dtype]), min_size=12, max_size=12))
    check(operator, FLOATS[dtype], box, [0.01, 0.2, 0.37, 0.6, 0.83, 0.995])


INFINITE = [
    (-math.inf, math.inf),
    (-math.inf, -1.5),
    (-math.inf, 2.0),
    (0.0, math.inf),
    (0.5, math.inf),
    (-3.0, math.inf),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_infinite_bounds_give_something_valid(operator: Operator, dtype: str) -> None:
    node, rule = operator.node, RULES[operator.op]
    ends = torch.tensor(INFINITE, dtype=FLOATS[dtype])
    operand = (ends[:, 0][None], ends[:, 1][None])
    low, high = rule.interval(node, [operand])
    least, most = rule.slopes(node, [operand])[0]
    assert not any(bool(torch.isnan(end).any()) for end in (low, high, least, most))
    relaxed = rule.relax(node, [operand], family=True)
    for i, (lower, upper) in enumerate(INFINITE):
        for x in (-1e30, -1e3, -3.0, -1.5, -1.0, 0.0, 0.25, 0.5, 1.0, 2.0, 50.0, 1e3, 1e30):
            value = value_of(operator, mp.mpf(x)) if lower <= x <= upper else None
            if value is None:
                continue
            assert mp.mpf(float(low[0, i])) <= value <= mp.mpf(float(high[0, i])), (lower, upper, x)
            for lines, sign in ((relaxed.lower, 1), (relaxed.upper, -1)):
                for slope, level in members(lines):
                    line = mp.mpf(float(slope[0, i])) * mp.mpf(x) + mp.mpf(float(level[0, i]))
                    assert not mp.isnan(line)
                    assert sign * line <= sign * value, (lower, upper, x, sign)
