"""What is known between an attack curve and a certificate curve, in data units: proved, undecided, broken.

Both are shares of samples over a budget (an epsilon) whose sets grow: a sample that is proved at a budget is proved at
every smaller one, one that is broken stays broken at every larger one. So between two measured budgets the truth is at
least the certificate at the *right* end and at most the attack at the *left* end. These steps claim nothing that was
not measured; a straight line between the points would. Beyond the last certificate nothing is proved; before the
first attack nothing is broken.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from robust.record import Curve, CurvePlot

Points = list[tuple[float, float]]
TOLERANCE = 1e-9


class Strip(NamedTuple):
    """Between two neighbouring budgets: at least ``proved`` holds, at most ``possible`` does."""

    left: float
    right: float
    proved: float
    possible: float


class Contradiction(NamedTuple):
    """A budget where more was proved than was left unbroken: one of the engines is unsound, or the samples differ."""

    x: float
    certified: float
    attacked: float


def points(curve: Curve) -> Points:
    """The points of a curve by ascending x; what has no partner is left out."""
    return sorted(zip(curve.x, curve.y, strict=False))


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the indices 0 .. count - 1, evenly spaced, both ends among them."""
    if count <= most:
        return list(range(count))
    return [round(step * (count - 1) / (most - 1)) for step in range(most)]


def is_sandwich(plot: CurvePlot) -> bool:
    """Whether the plot has an attack curve and a certificate curve, both with points."""
    return all(any(curve.role == role and points(curve) for curve in plot.curves) for role in ("attack", "certificate"))


def strips(attacks: Sequence[Points], certificates: Sequence[Points], bottom: float, top: float) -> list[Strip]:
    """The steps between all measured budgets: the best certificate and the strongest attack of each."""
    budgets = sorted({x for curve in (*attacks, *certificates) for x, _ in curve})
    result = []
    for left, right in itertools.pairwise(budgets):
        proved = max([y for curve in certificates for x, y in curve if x >= right], default=bottom)
        possible = min([y for curve in attacks for x, y in curve if x <= left], default=top)
        result.append(Strip(left, right, proved, possible))
    return result


def contradictions(attacks: Sequence[Points], certificates: Sequence[Points]) -> list[Contradiction]:
    """Budgets at which a certificate lies above an attack at the same or a smaller budget."""
    found = []
    for x in sorted({x for curve in certificates for x, _ in curve}):
        certified = max(y for curve in certificates for at, y in curve if at == x)
        attacked = min([y for curve in attacks for at, y in curve if at <= x], default=certified)
        if certified > attacked + TOLERANCE:
            found.append(Contradiction(x, certified, attacked))
    return found


def step_line(curve: Points, role: str) -> Points:
    """The corners of a curve drawn as the steps of this module; other roles are left as straight lines."""
    corners: Points = []
    for (left, low), (right, high) in itertools.pairwise(curve):
        corners += [(left, low), (left, high) if role == "certificate" else (right, low)]
    return corners + curve[-1:] if role in {"attack", "certificate"} else curve
