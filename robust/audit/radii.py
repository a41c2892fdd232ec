"""The radii that attacks and certificates are asked at, the same for both, in input units."""

from __future__ import annotations

from attacks.balls import Norm
from robust.subjects.protocols import Classifier

UNIT_EPSILONS: dict[Norm, tuple[float, ...]] = {"linf": (0.01, 0.02, 0.05, 0.1), "l2": (0.1, 0.25, 0.5, 1.0)}
"""The default grids for a box of width 1."""


def box_width(classifier: Classifier) -> float:
    """The median width of the input box over features that can vary; 1 if none can."""
    box = classifier.input_box
    width = (box.upper - box.lower).flatten()
    width = width[width > 0]
    return float(width.median()) if len(width) else 1.0


def epsilon_grids(
    linf: tuple[float, ...] | None, l2: tuple[float, ...] | None, classifier: Classifier
) -> dict[Norm, tuple[float, ...]]:
    """Norm -> radii as ``epsilon_grid`` gives them, norms without radii left out."""
    wanted: dict[Norm, tuple[float, ...] | None] = {"linf": linf, "l2": l2}
    grids = {norm: epsilon_grid(norm, radii, classifier) for norm, radii in wanted.items()}
    return {norm: radii for norm, radii in grids.items() if radii}


def epsilon_grid(norm: Norm, wanted: tuple[float, ...] | None, classifier: Classifier) -> tuple[float, ...]:
    """The radii in input units, ascending: those of the plan, or the default grid times the width of the box."""
    if wanted is not None:
        return tuple(sorted(set(wanted)))
    return tuple(float(f"{epsilon * box_width(classifier):.6g}") for epsilon in UNIT_EPSILONS[norm])
