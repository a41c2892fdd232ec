"""How boxes are bounded: by CROWN, or where that takes too long or too much memory, backward over zonotopes."""

from __future__ import annotations

import dataclasses
import time

from verifiers.deadline import Deadline, OutOfTimeError
from verifiers.memory import Effort, out_of_memory
from verifiers.methods import METHODS, Method
from verifiers.network import Network
from verifiers.propagation import propagate
from verifiers.region import Region

OVER_ZONOTOPES = Method(inner=False, forward=True)
SMALL = 1000
"""Operands of nonlinear nodes up to which CROWN is not put to the test."""
PATIENCE = 2.0
"""How many times as long as zonotopes CROWN may take to be preferred."""


def is_small(network: Network) -> bool:
    """Whether CROWN takes no time to speak of."""
    return sum(network.graph.nodes[index].elements for index in network.relaxed_operands) <= SMALL


def quickest(network: Network, region: Region, effort: Effort) -> Method:
    """CROWN, or a backward pass over zonotopes where CROWN is the slower one by far, as on pictures made from a few
    numbers.

    Args:
        network: in float64.
        region: one box, on which both are tried.
        effort: limits.
    """
    if is_small(network):
        return METHODS["crown"]
    try:
        clock = time.monotonic()
        propagate(network, region, OVER_ZONOTOPES, effort)
        end = Deadline(PATIENCE * (time.monotonic() - clock))
        propagate(network, region, METHODS["crown"], dataclasses.replace(effort, expired=lambda: end.expired))
    except OutOfTimeError:
        return OVER_ZONOTOPES
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return OVER_ZONOTOPES
    return METHODS["crown"]
