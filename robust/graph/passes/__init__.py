"""Passes over a finished graph: each takes a graph and gives one that answers the same with fewer, simpler nodes."""

from __future__ import annotations

from robust.graph.graph import Graph
from robust.graph.passes.absolute import absolute_as_relu
from robust.graph.passes.constants import merge_constants
from robust.graph.passes.fold_backward import fold_backward
from robust.graph.passes.fold_forward import fold_forward
from robust.graph.passes.gates import fuse_gates
from robust.graph.passes.identities import drop_identities
from robust.graph.passes.quotients import mark_quotients
from robust.graph.passes.reshapes import merge_reshapes

PASSES = (merge_reshapes, fuse_gates, merge_constants, drop_identities, fold_backward, fold_forward, mark_quotients)
"""In the order that ``simplified`` runs them."""


def simplified(graph: Graph) -> Graph:
    """The graph after all passes."""
    for one in PASSES:
        graph = one(graph)
    return graph


__all__ = [
    "PASSES",
    "absolute_as_relu",
    "drop_identities",
    "fold_backward",
    "fold_forward",
    "fuse_gates",
    "mark_quotients",
    "merge_constants",
    "merge_reshapes",
    "simplified",
]
