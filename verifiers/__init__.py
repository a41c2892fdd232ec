"""Proofs: intervals, linear bounds, exact engines. What is not proved is unknown, never safe.

What a single query does not need is resolved on first use, so that deciding one imports neither pydantic nor scipy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from verifiers.bounding import lower_bounds
from verifiers.certify import certify
from verifiers.deadline import Deadline
from verifiers.decide import decide
from verifiers.decision import Decision
from verifiers.memory import Effort
from verifiers.methods import METHODS, Method
from verifiers.network import Network
from verifiers.region import Region, ball_region, region_of

if TYPE_CHECKING:
    from verifiers.lipschitz import lipschitz_bounds, lipschitz_radii
    from verifiers.radius import certified_radii
    from verifiers.smoothing import smoothed_certificates
    from verifiers.verifier import BoundVerifier, Verifier

_LATER = {
    "BoundVerifier": "verifier",
    "Verifier": "verifier",
    "certified_radii": "radius",
    "lipschitz_bounds": "lipschitz",
    "lipschitz_radii": "lipschitz",
    "smoothed_certificates": "smoothing",
}

__all__ = [
    "METHODS",
    "BoundVerifier",
    "Deadline",
    "Decision",
    "Effort",
    "Method",
    "Network",
    "Region",
    "Verifier",
    "ball_region",
    "certified_radii",
    "certify",
    "decide",
    "lipschitz_bounds",
    "lipschitz_radii",
    "lower_bounds",
    "region_of",
    "smoothed_certificates",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"verifiers.{_LATER[name]}"), name)
    raise AttributeError(f"module 'verifiers' has no attribute {name!r}")
