"""What bound propagation costs at most, in multiply-adds: known before any bound is computed, the same everywhere.

A count of the graph, not a measurement: so that a plan that is cut to a budget is cut alike on every machine.
"""

from __future__ import annotations

import math

from torch import Tensor

from robust.graph import Graph, Kind, Node
from verifiers.memory import Effort, form_symbols
from verifiers.methods import method_of
from verifiers.network import Network

TOUCH = 8
"""Multiply-adds that reading and writing one element of a coefficient costs as much time as."""

ARITHMETICS = 3
"""Passes in float32, at one, and their repetition in float64, at two."""

PASSES = 50
"""Passes over a domain: a dozen steps down and up, as many to choose its split, and the repetition in float64."""


def worst_case(network: Network, *, method: str, norm: str, rows: int, functions: int) -> int:
    """Multiply-adds for one sample at one radius, if every neuron stays open and the answer must be confirmed.

    Args:
        network: prepared graph.
        method: a name of ``METHODS``.
        norm: ``linf`` or ``l2``.
        rows: neurons of one node that are bounded anew at most, as in ``Effort``.
        functions: linear functions of the outputs that are bounded.
    """
    graph = network.graph
    passes = _backward(graph)
    total = 3 * sum(_forward(graph, node) for node in graph.nodes) + functions * passes[graph.output]
    chosen = method_of(method)
    repeats = 1 + 2 * chosen.steps  # each step is a pass down and one up
    if chosen.inner:
        exact = network.affine_prefix if norm == "linf" else frozenset({0})
        bounded = (node for node in graph.nodes if node.index in network.relaxed_operands - exact)
        total += repeats * sum(2 * min(rows, node.elements) * passes[node.index] for node in bounded)
    if chosen.backward:
        total += repeats * functions * passes[graph.output]
    if chosen.forward:
        total += _forms(network)
    return ARITHMETICS * total


def splitting(network: Network, *, norm: str, functions: int, domains: int) -> int:
    """Multiply-adds of branch and bound over the neurons for one input set, if all its domains are needed.

    Args:
        network: prepared graph.
        norm: ``linf`` or ``l2``.
        functions: constraints of the unsafe set.
        domains: that are bounded.
    """
    root = worst_case(network, method="alpha-crown", norm=norm, rows=Effort().rows, functions=functions)
    return root + domains * PASSES * _backward(network.graph)[network.graph.output]


def _forms(network: Network) -> int:
    """Multiply-adds of the affine forms of all nodes: each input and each element of a nonlinear node is carried on."""
    most, carried, total = form_symbols(network, Effort()), 0, 0
    for node in network.graph.nodes:
        total += min(carried, most) * _forward(network.graph, node)
        carried += 0 if node.kind is Kind.AFFINE else node.elements
    return total


def _backward(graph: Graph) -> list[int]:
    """Multiply-adds of one linear function from each node back to the input."""
    below: list[int] = []
    for node in graph.nodes:
        below.append((below[-1] if below else 0) + _forward(graph, node))
    return below


def _forward(graph: Graph, node: Node) -> int:
    """Multiply-adds of one node for one sample, with what touching its elements costs."""
    if node.op == "reshape" or node.kind is Kind.INPUT:
        return node.elements
    weight = node.arguments.get("weight")
    per_element = 0
    if node.op == "linear" and isinstance(weight, Tensor):
        per_element = weight.shape[-1]
    elif node.op == "convolution" and isinstance(weight, Tensor):
        per_element = math.prod(weight.shape[1:])
        if node.arguments["transposed"]:
            source = graph.nodes[node.inputs[0]]
            return source.elements * per_element + TOUCH * node.elements
    return node.elements * (per_element + TOUCH)
