"""Proofs: intervals, linear bounds, exact engines. What is not proved is unknown, never safe."""

from verifiers.bounding import lower_bounds
from verifiers.certify import certify
from verifiers.lipschitz import lipschitz_bounds, lipschitz_radii
from verifiers.memory import Effort
from verifiers.network import Network
from verifiers.radius import certified_radii
from verifiers.region import Region, ball_region, region_of
from verifiers.smoothing import smoothed_certificates
from verifiers.verifier import BoundVerifier, Verifier

__all__ = [
    "BoundVerifier",
    "Effort",
    "Network",
    "Region",
    "Verifier",
    "ball_region",
    "certified_radii",
    "certify",
    "lipschitz_bounds",
    "lipschitz_radii",
    "lower_bounds",
    "region_of",
    "smoothed_certificates",
]
