"""The figure of certificates and attacks compares the same samples, or nothing."""

from __future__ import annotations

import numpy as np

from reports.sandwich import contradictions
from robust.audit.checks.sandwich import Answers, curve_plot
from robust.record import CurvePlot

RIGHT = np.array([True, True, True, False])


def points(plot: CurvePlot, role: str) -> list[list[tuple[float, float]]]:
    return [list(zip(curve.x, curve.y, strict=True)) for curve in plot.curves if curve.role == role]


def answers(asked_by_attack: list[bool]) -> Answers:
    """All four samples certified but the last; the attack breaks none of what it was asked."""
    asked = np.array(asked_by_attack)
    return Answers(
        asked=np.ones(4, dtype=bool),
        proofs={("crown", "linf", 0.1): RIGHT.copy()},
        attacked={("pgd", "linf", 0.1, False): (asked, asked & RIGHT)},
    )


def test_an_attack_on_fewer_samples_is_no_contradiction() -> None:
    plot = curve_plot(answers([False, False, True, True]), "linf", RIGHT)  # over all samples: 0.75 proved, 0.5 attacked
    assert points(plot, "certificate") == [[(0.0, 0.5), (0.1, 0.5)]]
    assert points(plot, "attack") == [[(0.0, 0.5), (0.1, 0.5)]]
    assert contradictions(points(plot, "attack"), points(plot, "certificate")) == []
    assert "2 samples" in plot.caption


def test_without_a_common_sample_certificates_stand_alone() -> None:
    plot = curve_plot(answers([False] * 4), "linf", RIGHT)
    assert points(plot, "certificate") == [[(0.0, 0.75), (0.1, 0.75)]]
    assert points(plot, "attack") == []
    assert "4 samples" in plot.caption
