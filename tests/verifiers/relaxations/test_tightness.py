"""The default lines against the best ones: those that are highest (lowest) in the middle, from the hull of many
points."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import torch

from tests.verifiers.relaxations.operators import OPERATORS, Operator
from verifiers.relaxations import RULES

WIDTHS = (0.3, 1.0, 2.5, 6.0)
CENTRES = (-3.1, -1.2, 0.1, 0.9, 2.7)
ALLOWED = {"floor": 0.3, "ceil": 0.3, "round": 0.35}
"""Relative excess of the area between line and function; steps leave out lines that are steep. A softplus with a
low threshold is left out of the test: both of its branches are enclosed where it jumps."""


def hull_at(xs: np.ndarray, values: np.ndarray, x: float) -> float:
    """The convex envelope of the points, at ``x``."""
    hull: list[tuple[float, float]] = []
    for point in zip(xs, values, strict=True):
        while len(hull) > 1:
            (a, fa), (b, fb) = hull[-2:]
            if (fb - fa) * (point[0] - a) < (point[1] - fa) * (b - a):
                break
            hull.pop()
        hull.append(point)
    return float(np.interp(x, *zip(*hull, strict=True)))


@pytest.mark.parametrize("operator", [o for o in OPERATORS if str(o) != "softplus(3, 2)"], ids=str)
def test_default_lines_have_nearly_the_smallest_area(operator: Operator) -> None:
    boxes = [(c - w / 2, c + w / 2) for c in CENTRES for w in WIDTHS]
    if operator.smallest == 0.0 or operator.op == "reciprocal" or operator.arguments.get("exponent", 0) < 0:
        boxes = [(abs(a) + 0.05, abs(a) + 0.05 + b - a) for a, b in boxes]
    ends = torch.tensor(boxes, dtype=torch.float64).T
    operand = (ends[:1], ends[1:])
    relaxed = RULES[operator.op].relax(operator.node, [operand])
    for i, (lower, upper) in enumerate(boxes):
        xs = np.linspace(lower, upper, 201)
        values = np.array([float(operator.exact(mp.mpf(float(x)))) for x in xs])
        for sign, lines in ((1, relaxed.lower), (-1, relaxed.upper)):
            level = 0.0 if lines.intercept is None else lines.intercept[0, i].item()
            middle = sign * (lines.slopes[0][0, i].item() * (lower + upper) / 2 + level)
            best = hull_at(xs, sign * values, (lower + upper) / 2)
            area = float(np.mean(sign * values)) - best
            allowed = ALLOWED.get(str(operator), 0.02)
            assert best - middle <= allowed * area + 1e-3 * np.ptp(values) + 1e-9, (lower, upper, sign)
