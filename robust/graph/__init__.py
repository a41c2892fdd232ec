"""The operation graph: tracing, rewrites, and what engines need to walk it."""

from robust.graph.affine import affine_map
from robust.graph.graph import Argument, BatchConstant, BatchSize, Graph, Node, Operand
from robust.graph.operators import Kind, supported
from robust.graph.trace import trace

__all__ = [
    "Argument",
    "BatchConstant",
    "BatchSize",
    "Graph",
    "Kind",
    "Node",
    "Operand",
    "affine_map",
    "supported",
    "trace",
]
