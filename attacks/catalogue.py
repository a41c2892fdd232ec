"""The attacks, in one literal table. Reading it imports nothing heavy."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robust.errors import UsageError

if TYPE_CHECKING:
    from attacks.attack import Attack


@dataclass(frozen=True)
class Entry:
    """One attack: its name in plans, a line for people, where it lives, whether it is a control and needs gradients."""

    name: str
    line: str
    module: str
    kind: str
    control: bool = False
    gradients: bool = True


ATTACKS: tuple[Entry, ...] = (
    Entry("pgd", "projected gradient descent with random restarts, L-inf and L2 (foolbox)", "attacks.pgd", "PGD"),
    Entry("fgsm", "one gradient step: FGSM (L-inf) and FGM (L2) (foolbox)", "attacks.fgsm", "FGSM"),
    Entry(
        "ensemble",
        "the ensemble of AutoAttack in three tiers: APGD, targeted APGD, FAB, Square; L-inf, L2, L1",
        "attacks.ensemble",
        "Ensemble",
        gradients=False,
    ),
    Entry("apgd", "Auto-PGD (Croce and Hein 2020): L-inf, L2, L1", "attacks.apgd", "APGD"),
    Entry("apgd-t", "Auto-PGD on the targeted DLR loss, rival by rival", "attacks.apgd", "TargetedAPGD"),
    Entry("fab-t", "FAB towards each rival (Croce and Hein 2020): L-inf, L2, L1", "attacks.fab", "FAB"),
    Entry(
        "square",
        "random search by squares, scores only (Andriushchenko et al. 2020)",
        "attacks.square",
        "Square",
        gradients=False,
    ),
    Entry(
        "nes",
        "descent by estimated gradients, scores only (Ilyas et al. 2018): L-inf, L2",
        "attacks.nes",
        "NES",
        gradients=False,
    ),
    Entry(
        "spsa",
        "as nes, by random signs and Adam's steps (Uesato et al. 2018)",
        "attacks.nes",
        "SPSA",
        gradients=False,
    ),
    Entry(
        "hopskipjump-ball",
        "hopskipjump until it is within the ball",
        "attacks.hop_skip_jump",
        "HopSkipJumpBall",
        gradients=False,
    ),
    Entry(
        "noise",
        "uniform noise in the ball: the control",
        "attacks.noise",
        "UniformNoise",
        control=True,
        gradients=False,
    ),
)

MINIMAL: tuple[Entry, ...] = (
    Entry("ddn", "smallest change in L2 (Rony et al. 2019)", "attacks.ddn", "DDN"),
    Entry("fmn", "smallest change in L-inf, L2, L1 or L0 (Pintor et al. 2021)", "attacks.fmn", "FMN"),
    Entry(
        "deepfool",
        "small change in L2 or L-inf, quickly (Moosavi-Dezfooli et al. 2016)",
        "attacks.deepfool",
        "DeepFool",
    ),
    Entry("sigma-zero", "fewest changed features (Cinà et al. 2024)", "attacks.sigma_zero", "SigmaZero"),
    Entry(
        "hopskipjump",
        "small change in L2 or L-inf from answers alone (Chen et al. 2020)",
        "attacks.hop_skip_jump",
        "HopSkipJump",
        gradients=False,
    ),
)
"""Those without a radius; for Python."""

FOOLING: tuple[Entry, ...] = (
    Entry(
        "gradient_ascent",
        "fooling inputs by gradient ascent with an L2 penalty (Nguyen et al. 2015)",
        "attacks.fooling.gradient_ascent",
        "GradientAscent",
    ),
    Entry(
        "map_elites",
        "fooling inputs by MAP-Elites with direct encoding, confidences only (Nguyen et al. 2015)",
        "attacks.fooling.map_elites",
        "MapElites",
    ),
    Entry(
        "cppn",
        "regular fooling pictures by MAP-Elites over pattern networks, confidences only (Nguyen et al. 2015)",
        "attacks.fooling.pattern_elites",
        "PatternElites",
    ),
)


CHANGES: tuple[Entry, ...] = (
    Entry(
        "change",
        "the worst rotation, shift, zoom, elastic deformation, blur, light or colour (robust attack --change)",
        "attacks.changes",
        "ChangeAttack",
        gradients=False,
    ),
    Entry(
        "patch",
        "the worst rectangle at a free position (robust attack --change patch=5x5)",
        "attacks.patch",
        "PatchAttack",
    ),
    Entry(
        "boundary",
        "a random walk on answers, L2 (Brendel et al. 2018); for Python",
        "attacks.boundary",
        "Boundary",
        gradients=False,
    ),
    Entry(
        "transfer", "climbs on surrogates, L-inf and L2; for Python", "attacks.transfer", "Transfer", gradients=False
    ),
    Entry("universal", "one perturbation for all samples; for Python", "attacks.universal", "UniversalAttack"),
    Entry(
        "tabular",
        "the fewest attributes of a row that change a decision; for Python",
        "attacks.tabular",
        "TabularAttack",
        gradients=False,
    ),
)
"""Those that no ball describes."""


def make_attack(name: str, **hyperparameters: Any) -> Attack:
    """The attack of that name.

    Raises:
        UsageError: there is none.
    """
    for entry in ATTACKS:
        if entry.name == name:
            attack: Attack = getattr(importlib.import_module(entry.module), entry.kind)(**hyperparameters)
            return attack
    raise UsageError(
        f"there is no attack called {name!r}", wanted=", ".join(e.name for e in ATTACKS), hint="see `robust list`"
    )
