"""Proofs: intervals, linear bounds, exact engines. What is not proved is unknown, never safe.

The verifiers that answer with records are resolved on first use, so that deciding one query imports no pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from verifiers.certify import certify
from verifiers.deadline import Deadline
from verifiers.decide import Decision, decide
from verifiers.network import Network
from verifiers.propagation import Effort, lower_bounds
from verifiers.region import Region, ball_region, region_of

if TYPE_CHECKING:
    from verifiers.verifier import BoundVerifier, Verifier

__all__ = [
    "BoundVerifier",
    "Deadline",
    "Decision",
    "Effort",
    "Network",
    "Region",
    "Verifier",
    "ball_region",
    "certify",
    "decide",
    "lower_bounds",
    "region_of",
]


def __getattr__(name: str) -> Any:
    if name in ("BoundVerifier", "Verifier"):
        from verifiers import verifier

        return getattr(verifier, name)
    raise AttributeError(f"module 'verifiers' has no attribute {name!r}")
