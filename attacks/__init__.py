"""Witnesses: concrete inputs that break a property, each replayed on the real model.

Names are resolved on first use, so that reading the catalogue imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attacks.attack import Attack, Attempt, NoGradientError
    from attacks.fgsm import FGSM
    from attacks.noise import UniformNoise
    from attacks.pgd import PGD

_HOMES = {
    "Attack": "attacks.attack",
    "Attempt": "attacks.attack",
    "FGSM": "attacks.fgsm",
    "NoGradientError": "attacks.attack",
    "PGD": "attacks.pgd",
    "UniformNoise": "attacks.noise",
}

__all__ = ["FGSM", "PGD", "Attack", "Attempt", "NoGradientError", "UniformNoise"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'attacks' has no attribute {name!r}")
