"""Bands against their functions in 60 digits, and against widths that paper gives."""

from __future__ import annotations

import math

import mpmath as mp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.graph import Kind, Node
from tests.verifiers.relaxations.operators import OPERATORS, Operator, node_of
from tests.verifiers.relaxations.test_soundness import FLOATS, intervals, sample, value_of
from verifiers.bands import Band, line_band, maximum_band
from verifiers.relaxations import RULES
from verifiers.relaxations.maximum import maximum_lines


def band_of(op: str, arguments: dict[str, object], *ends: tuple[float, float], dtype: torch.dtype) -> Band:
    """Of one element; the operands are different nodes."""
    node = node_of(op, arguments, tuple(range(len(ends))))
    operands = [(torch.tensor([[low]], dtype=dtype), torch.tensor([[high]], dtype=dtype)) for low, high in ends]
    relaxed = RULES[op].relax(node, operands, family=True)
    stacked = (torch.stack([low for low, _ in operands]), torch.stack([high for _, high in operands]))
    return line_band(relaxed.lower, relaxed.upper, stacked, RULES[op].interval(node, operands))


@pytest.mark.parametrize("single", [True, False], ids=["float32", "float64"])
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
@given(data=st.data(), fractions=st.lists(st.floats(0, 1), min_size=3, max_size=3))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_function_stays_in_the_band(
    operator: Operator, single: bool, data: st.DataObject, fractions: list[float]
) -> None:
    dtype = FLOATS["float32" if single else "float64"]
    lower, upper = data.draw(intervals(operator, dtype))
    band = band_of(operator.op, dict(operator.arguments), (lower, upper), dtype=dtype)
    assert not any(bool(part.isnan().any()) for part in (band.slopes, band.middle, band.half))
    slope, middle, half = (mp.mpf(float(part)) for part in (band.slopes, band.middle, band.half))
    for x in sample(operator, lower, upper, fractions):
        value = value_of(operator, x)
        if value is None:
            assert half == mp.inf
        else:
            assert abs(value - slope * x - middle) <= half, (lower, upper, x)


@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (-1.0, 3.0), (-3.0, 1.0)])
def test_relu_has_the_band_of_the_paper(low: float, high: float) -> None:
    """Theorem 3.1: slope u / (u - l), middle and half width -u l / (2 (u - l)): the smallest of all."""
    band = band_of("relu", {}, (low, high), dtype=torch.float64)
    assert float(band.slopes) == pytest.approx(high / (high - low), abs=1e-12)
    assert float(band.middle) == pytest.approx(-high * low / (2 * (high - low)), abs=1e-12)
    assert float(band.half) == pytest.approx(-high * low / (2 * (high - low)), abs=1e-12)


@pytest.mark.parametrize("ends", [(1.0, 3.0), (-3.0, -1.0), (0.0, 2.0), (-2.0, 0.0), (5.0, 5.0)])
def test_what_is_linear_has_no_band(ends: tuple[float, float]) -> None:
    band = band_of("relu", {}, ends, dtype=torch.float32)
    assert (float(band.slopes * (ends[1] != 0)), float(band.half)) == (float(ends[0] >= 0 and ends[1] != 0), 0.0)


def test_a_square_between_its_chord_and_the_tangent_of_the_same_slope() -> None:
    """x^2 over [1, 3]: chord 4 x - 3, tangent at 2 is 4 x - 4."""
    band = band_of("pow", {"exponent": 2}, (1.0, 3.0), dtype=torch.float64)
    assert [float(part) for part in (band.slopes, band.middle, band.half)] == pytest.approx([4, -3.5, 0.5], abs=1e-9)


def test_a_product_has_the_product_of_the_half_widths() -> None:
    """x y = 2 y + 3 x - 6 + (x - 2)(y - 3) around the middles 2 and 3, with half widths 1 and 2."""
    band = band_of("mul", {}, (1.0, 3.0), (1.0, 5.0), dtype=torch.float64)
    assert band.slopes.flatten().tolist() == pytest.approx([3, 2])
    assert [float(part) for part in (band.middle, band.half)] == pytest.approx([-6, 2], abs=1e-9)


@pytest.mark.parametrize("op", ["relu", "exp", "sigmoid", "abs"])
def test_without_bounds_there_is_no_band_but_that_of_the_range(op: str) -> None:
    band = band_of(op, {}, (-math.inf, math.inf), dtype=torch.float64)
    if op == "sigmoid":
        assert [float(part) for part in (band.slopes, band.middle, band.half)] == pytest.approx([0, 0.5, 0.5])
    else:
        assert (float(band.slopes), float(band.half)) == (0.0, math.inf)


@given(
    pairs=st.lists(st.tuples(st.floats(-4, 4, width=32), st.floats(0, 4, width=32)), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_maxima_stay_in_their_bands(pairs: list[tuple[float, float]], seed: int) -> None:
    lower = torch.tensor([[low for low, _ in pairs]], dtype=torch.float64)
    upper = lower + torch.tensor([[width for _, width in pairs]], dtype=torch.float64)
    windows = torch.tensor([[*range(len(pairs)), -1]])
    relaxed = maximum_lines(Node(1, "amax", Kind.MAXIMUM, None, {}, (0,), 1, (1,), "test", windows), lower, upper)
    places = relaxed.windows
    ends = (lower[:, places].movedim(2, 0), upper[:, places].movedim(2, 0))
    band = maximum_band(relaxed, ends, (lower.amax(1, keepdim=True), upper.amax(1, keepdim=True)))
    draw = torch.rand(64, len(pairs), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    points = lower + (upper - lower) * torch.cat([draw, draw.round()])
    followed = torch.cat([points, points[:, :1]], 1) @ band.slopes[:, 0, 0] + band.middle[0, 0]
    assert bool(((points.amax(1) - followed).abs() <= band.half[0, 0] + 1e-14).all())
    assert float(band.half) <= float(upper.max() - lower.max()) / 2 + 1e-9  # no wider than the range
