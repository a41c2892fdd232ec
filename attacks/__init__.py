"""Witnesses: concrete inputs that break a property, each replayed on the real model.

Names are resolved on first use, so that reading the catalogue imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attacks.apgd import APGD, TargetedAPGD
    from attacks.attack import Attack, NoGradientError
    from attacks.attempt import Attempt
    from attacks.ddn import DDN
    from attacks.deepfool import DeepFool
    from attacks.diagnostics import diagnose
    from attacks.ensemble import Ensemble
    from attacks.fab import FAB
    from attacks.fgsm import FGSM
    from attacks.fmn import FMN
    from attacks.goals import Goal, Reach, Targeted, Untargeted
    from attacks.hop_skip_jump import HopSkipJump, HopSkipJumpBall
    from attacks.nes import NES, SPSA
    from attacks.noise import UniformNoise
    from attacks.pgd import PGD
    from attacks.sigma_zero import SigmaZero
    from attacks.square import Square

_HOMES = {
    "APGD": "attacks.apgd",
    "Attack": "attacks.attack",
    "Attempt": "attacks.attempt",
    "DDN": "attacks.ddn",
    "DeepFool": "attacks.deepfool",
    "Ensemble": "attacks.ensemble",
    "FAB": "attacks.fab",
    "FGSM": "attacks.fgsm",
    "FMN": "attacks.fmn",
    "Goal": "attacks.goals",
    "HopSkipJump": "attacks.hop_skip_jump",
    "HopSkipJumpBall": "attacks.hop_skip_jump",
    "NES": "attacks.nes",
    "NoGradientError": "attacks.attack",
    "PGD": "attacks.pgd",
    "Reach": "attacks.goals",
    "SPSA": "attacks.nes",
    "SigmaZero": "attacks.sigma_zero",
    "Square": "attacks.square",
    "Targeted": "attacks.goals",
    "TargetedAPGD": "attacks.apgd",
    "UniformNoise": "attacks.noise",
    "Untargeted": "attacks.goals",
    "diagnose": "attacks.diagnostics",
}

__all__ = [
    "APGD",
    "DDN",
    "FAB",
    "FGSM",
    "FMN",
    "NES",
    "PGD",
    "SPSA",
    "Attack",
    "Attempt",
    "DeepFool",
    "Ensemble",
    "Goal",
    "HopSkipJump",
    "HopSkipJumpBall",
    "NoGradientError",
    "Reach",
    "SigmaZero",
    "Square",
    "Targeted",
    "TargetedAPGD",
    "UniformNoise",
    "Untargeted",
    "diagnose",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'attacks' has no attribute {name!r}")
