from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.verifiers.relaxations.operators import node_of
from verifiers.relaxations import RULES

NODE = node_of("mul", {}, (0, 1))
ENDS = st.one_of(
    st.floats(-8, 8, width=32), st.floats(-(2.0**50), 2.0**50, width=32), st.sampled_from([0.0, 1.0, -1e-30])
)


def _operand(lower: float, upper: float, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[lower]], dtype=dtype), torch.tensor([[upper]], dtype=dtype)


def test_planes_by_hand() -> None:
    """x in [1, 3], y in [-2, 4]: below -2 x + y + 2 and 4 x + 3 y - 12; above 4 x + y - 4 and -2 x + 3 y + 6."""
    operands = [_operand(1, 3, torch.float64), _operand(-2, 4, torch.float64)]
    found = RULES["mul"].relax(NODE, operands, family=True)
    assert found.lower.family is not None
    assert found.upper.family is not None
    assert [slope.flatten().tolist() for slope in found.lower.family.slopes] == [[-2, 4], [1, 3]]
    assert [slope.flatten().tolist() for slope in found.upper.family.slopes] == [[-2, 4], [3, 1]]
    assert found.lower.family.intercept.flatten().tolist() == pytest.approx([2, -12])
    assert found.upper.family.intercept.flatten().tolist() == pytest.approx([6, -4])
    low, high = RULES["mul"].interval(NODE, operands)
    assert (low.item(), high.item()) == (pytest.approx(-6), pytest.approx(12))


@pytest.mark.parametrize("op", ["mul", "mul_convex"])
@given(first=st.tuples(ENDS, ENDS), second=st.tuples(ENDS, ENDS), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_planes_hold_at_the_corners(
    op: str, first: tuple[float, float], second: tuple[float, float], dtype: torch.dtype
) -> None:
    """A product less a plane is linear in each operand: its extrema are at corners. In exact fractions."""
    x, y = sorted(first), sorted(second)
    operands = [_operand(x[0], x[1], dtype), _operand(y[0], y[1], dtype)]
    found = RULES[op].relax(NODE, operands, family=True)
    low, high = RULES[op].interval(NODE, operands)
    for a in map(Fraction, x):
        for b in map(Fraction, y):
            assert Fraction(low.item()) <= a * b <= Fraction(high.item())
            for lines, sign in ((found.lower, 1), (found.upper, -1)):
                assert lines.family is not None
                planes = [(*(slope.item() for slope in lines.slopes), lines.intercept.item())]
                for k in range(2):
                    p, q = (slope[k].item() for slope in lines.family.slopes)
                    planes.append((p, q, lines.family.intercept[k].item()))
                for p, q, c in planes:
                    assert sign * (Fraction(p) * a + Fraction(q) * b + Fraction(c)) <= sign * a * b


@pytest.mark.parametrize(
    ("x", "r", "below", "above"),
    [
        ((1, 3), (2, 4), (2, 1), (3, 2)),  # both tangents cost below: the plane of x = 1; above neither, so the mean
        ((-1, 3), (2, 4), (2, -1), (2, 3)),  # one end each without any
        ((-3, -1), (2, 4), (3, -2), (2, -1)),
        ((1, 3), (-4, -2), (-3, 2), (-2, 1)),
        ((-1, 3), (-4, -2), (-2, 3), (-2, -1)),
        ((-1, 3), (-1, 2), (0.5, 1), (0.5, 1)),  # of no sign: the mean
    ],
)
def test_planes_of_quotients_by_hand(
    x: tuple[float, float], r: tuple[float, float], below: tuple[float, float], above: tuple[float, float]
) -> None:
    """Of ``x r`` the plane through the corner ``(x_k, r_k)`` has the slopes ``(r_k, x_k)``."""
    operands = [_operand(*x, torch.float64), _operand(*r, torch.float64)]
    found = RULES["mul_convex"].relax(node_of("mul_convex", {}, (0, 1)), operands, family=True)
    assert tuple(slope.item() for slope in found.lower.slopes) == below
    assert tuple(slope.item() for slope in found.upper.slopes) == above
    for lines in (found.lower, found.upper):  # an optimiser starts at the line that is used without it
        assert lines.family is not None
        share = lines.family.start.item()
        for used, (one, other) in zip(lines.slopes, lines.family.slopes, strict=True):
            assert used.item() == (1 - share) * one.item() + share * other.item()


@pytest.mark.parametrize("x", [(0.5, 2.5), (-2.5, 0.5), (-3.0, -1.0), (-1.0, 2.0)])
@pytest.mark.parametrize("y", [(1.0, 3.0), (-3.0, -1.0)])
def test_quotients_lie_within_closer_planes_than_products(x: tuple[float, float], y: tuple[float, float]) -> None:
    """The gap in the middle of the box of ``x`` and ``y``, with the lines of ``1 / y`` put in."""
    product, quotient = _gap("mul", x, y), _gap("mul_convex", x, y)
    assert quotient < product - 0.02


def _gap(op: str, x: tuple[float, float], y: tuple[float, float]) -> float:
    """Upper less lower planes of ``x / y`` in the middle; both hold at a grid of points."""
    one, other = _operand(*x, torch.float64), _operand(*y, torch.float64)
    inverse = node_of("reciprocal", {})
    lines = RULES["reciprocal"].relax(inverse, [other])
    planes = RULES[op].relax(node_of(op, {}, (0, 1)), [one, RULES["reciprocal"].interval(inverse, [other])])
    grid = torch.cartesian_prod(
        torch.linspace(*x, 41, dtype=torch.float64), torch.linspace(*y, 41, dtype=torch.float64)
    )
    points = torch.cat([grid, torch.tensor([[sum(x) / 2, sum(y) / 2]], dtype=torch.float64)])
    values = []
    for side, sign in ((planes.lower, 1), (planes.upper, -1)):
        p, q = (slope.item() for slope in side.slopes)
        inner = lines.lower if sign * q >= 0 else lines.upper
        assert inner.intercept is not None
        assert side.intercept is not None
        reciprocal = inner.slopes[0].item() * points[:, 1] + inner.intercept.item()
        plane = p * points[:, 0] + q * reciprocal + side.intercept.item()
        assert bool((sign * plane <= sign * points[:, 0] / points[:, 1] + 1e-12).all())
        values.append(plane[-1].item())
    return values[1] - values[0]


def test_zero_times_an_unbounded_operand_is_zero() -> None:
    operands = [_operand(0, 0, torch.float32), _operand(-torch.inf, torch.inf, torch.float32)]
    low, high = RULES["mul"].interval(NODE, operands)
    assert (low.item(), high.item()) == (0, 0)
    found = RULES["mul"].relax(NODE, operands, family=True)
    assert found.lower.intercept.item() == found.upper.intercept.item() == 0


def test_the_product_of_a_node_with_itself_is_its_square() -> None:
    """Of [-1, 3], x ** 2 lies in [0, 9]; below, the tangent in the middle is 2 x - 1; above, the chord 2 x + 3."""
    operand = _operand(-1, 3, torch.float64)
    node = node_of("mul", {}, (0, 0))
    low, high = RULES["mul"].interval(node, [operand, operand])
    found = RULES["mul"].relax(node, [operand, operand])
    assert (low.item(), high.item()) == (pytest.approx(0), pytest.approx(9))
    assert [slope.item() for slope in found.lower.slopes] == [2, 0]
    assert (found.lower.intercept.item(), found.upper.intercept.item()) == (pytest.approx(-1), pytest.approx(3))
