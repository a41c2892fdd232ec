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
    from attacks.fgsm import FGSM
    from attacks.goals import Goal, Reach, Targeted, Untargeted
    from attacks.noise import UniformNoise
    from attacks.pgd import PGD

_HOMES = {
    "APGD": "attacks.apgd",
    "Attack": "attacks.attack",
    "Attempt": "attacks.attempt",
    "FGSM": "attacks.fgsm",
    "Goal": "attacks.goals",
    "NoGradientError": "attacks.attack",
    "PGD": "attacks.pgd",
    "Reach": "attacks.goals",
    "Targeted": "attacks.goals",
    "TargetedAPGD": "attacks.apgd",
    "UniformNoise": "attacks.noise",
    "Untargeted": "attacks.goals",
}

__all__ = [
    "APGD",
    "FGSM",
    "PGD",
    "Attack",
    "Attempt",
    "Goal",
    "NoGradientError",
    "Reach",
    "Targeted",
    "TargetedAPGD",
    "UniformNoise",
    "Untargeted",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'attacks' has no attribute {name!r}")
