"""Proofs: intervals, linear bounds, exact engines. What is not proved is unknown, never safe."""

from verifiers.bounding import lower_bounds
from verifiers.certify import certify
from verifiers.memory import Effort
from verifiers.network import Network
from verifiers.region import Region, ball_region, region_of
from verifiers.verifier import BoundVerifier, Verifier

__all__ = [
    "BoundVerifier",
    "Effort",
    "Network",
    "Region",
    "Verifier",
    "ball_region",
    "certify",
    "lower_bounds",
    "region_of",
]
