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


@given(st.tuples(ENDS, ENDS), st.tuples(ENDS, ENDS), st.sampled_from([torch.float32, torch.float64]))
def test_planes_hold_at_the_corners(
    first: tuple[float, float], second: tuple[float, float], dtype: torch.dtype
) -> None:
    """A product less a plane is linear in each operand: its extrema are at corners. In exact fractions."""
    x, y = sorted(first), sorted(second)
    operands = [_operand(x[0], x[1], dtype), _operand(y[0], y[1], dtype)]
    found = RULES["mul"].relax(NODE, operands, family=True)
    low, high = RULES["mul"].interval(NODE, operands)
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
