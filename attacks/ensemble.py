"""The ensemble of AutoAttack (Croce and Hein 2020, section 6): cheap attacks first, each next on the survivors alone.

Every tier is a literal list of stages. ``standard`` has AutoAttack's stages and its budgets (100 steps, 9 targets,
5,000 queries) as ceilings: rows that are hopeless leave (``Active.hopeless``), which AutoAttack does not do. All tiers
end with what it lacks: gradient steps from the best effort of all stages, which pays where a search got behind a
masked gradient. ``thorough`` lets nobody leave, and adds restarts, all targets and further losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from attacks.apgd import APGD, TargetedAPGD
from attacks.attack import Attack, Problem, gives_gradients
from attacks.balls import AnyNorm
from attacks.fab import FAB
from attacks.square import Square
from robust.errors import UsageError
from robust.subjects.protocols import Classifier

Tier = Literal["fast", "standard", "thorough"]

PATIENCE = 2.0
"""Hopeless is who would not arrive going on twice as fast as of late."""

SEARCHING = 0.5
"""The same for the random search, whose gains fade; only rows behind the best effort of gradients may be hopeless."""


@dataclass(frozen=True)
class Stage:
    """One attack of the cascade, with the name that findings use."""

    name: str
    attack: Attack


TIERS: dict[Tier, Callable[[AnyNorm], tuple[Stage, ...]]] = {
    "fast": lambda norm: (
        Stage("APGD-CE", APGD(norm=norm, steps=15, restarts=3 if norm == "l1" else 1)),
        Stage("APGD-T", TargetedAPGD(norm=norm, steps=20, targets=3, patience=PATIENCE)),
        Stage("polish", APGD(norm=norm, steps=10, loss="margin", polish=True)),
    ),
    "standard": lambda norm: (
        Stage("APGD-CE", APGD(norm=norm, steps=100, restarts=_restarts(norm), patience=PATIENCE)),
        Stage("APGD-T", TargetedAPGD(norm=norm, steps=100, targets=9, patience=PATIENCE)),
        Stage("FAB-T", FAB(norm=norm, steps=100, targets=9, patience=PATIENCE)),
        Stage("polish", APGD(norm=norm, steps=25, loss="margin", polish=True)),
        Stage("Square", Square(norm=norm, queries=5000, patience=SEARCHING)),
        Stage("polish", APGD(norm=norm, steps=50, restarts=2, loss="margin", polish=True)),
    ),
    "thorough": lambda norm: (
        Stage("APGD-CE", APGD(norm=norm, steps=100, restarts=5)),
        Stage("APGD-DLR", APGD(norm=norm, steps=100, restarts=5, loss="dlr")),
        Stage("APGD-margin", APGD(norm=norm, steps=200, restarts=2, loss="margin")),
        Stage("APGD-T", TargetedAPGD(norm=norm, steps=100, targets=999, restarts=2)),
        Stage("APGD-difference", TargetedAPGD(norm=norm, steps=200, targets=9, loss="difference")),
        Stage("FAB-T", FAB(norm=norm, steps=100, targets=999, restarts=2)),
        Stage("Square", Square(norm=norm, queries=5000, restarts=3)),
        Stage("polish", APGD(norm=norm, steps=100, restarts=2, loss="margin", polish=True)),
    ),
}


def _restarts(norm: AnyNorm) -> int:
    """As AutoAttack: in L1 five starts, since single ones scatter there (Croce and Hein 2021, section 5)."""
    return 5 if norm == "l1" else 1


class Ensemble(Attack):
    """All stages of a tier. Without gradients, those that need none: Square, with the whole budget.

    Args:
        norm: ``linf``, ``l2`` or ``l1``.
        tier: ``fast``, ``standard`` or ``thorough``.
    """

    name = "ensemble"
    needs_gradients = False

    def __init__(self, *, norm: AnyNorm = "linf", tier: Tier = "standard") -> None:
        if tier not in TIERS:
            raise UsageError("there is no such tier", wanted=", ".join(TIERS), got=tier)
        self.norm, self.tier = norm, tier
        self.stages = TIERS[tier](norm)
        self.plan = [
            (place, number) for place, stage in enumerate(self.stages) for number in range(stage.attack.rounds)
        ]
        self.blind = Square(norm=norm, queries=200 if tier == "fast" else 5000)
        self.rounds = len(self.plan) + 1

    def useful_rounds(self, classifier: Classifier, x: Tensor) -> list[int]:
        """All stages; where there are no gradients, the one search that stands behind them."""
        return list(range(len(self.plan))) if gives_gradients(classifier, x[:1]) else [len(self.plan)]

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """The stage that this round belongs to."""
        if round_ == len(self.plan):
            return self.blind.propose(problem, 0)
        place, number = self.plan[round_]
        return self.stages[place].attack.propose(problem, number)

    def stage_names(self, broken_in: Tensor) -> list[str]:
        """Who broke each sample, from ``Attempt.broken_in``; empty where nobody did."""
        names = [self.stages[place].name for place, _ in self.plan] + ["Square"]
        return ["" if round_ < 0 else names[round_] for round_ in broken_in.tolist()]
