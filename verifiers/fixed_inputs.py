"""Inputs that no case lets vary, folded into the first layers: networks that read hundreds of numbers, of which a
query frees eight, are bounded as what they are, functions of eight numbers.

``W x + b`` with ``x = (z, c)`` is ``W_z z + (W_c c + b)``. Columns are taken as they are; the new bias is rounded, and
the network says so (``Network.absorbed``), so that every bound allows for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robust.graph import BatchSize, Graph, Node
from robust.graph.graph import Inexact
from robust.properties import Box, Property
from verifiers.branching.input_tree import InputTree
from verifiers.branching.outcome import Replay, Search
from verifiers.branching.proof import ProofTree
from verifiers.deadline import Deadline
from verifiers.network import Absorbed, Network

LEAST = 2
"""At most one input in so many may vary for the rest to be folded."""


@dataclass(frozen=True, eq=False)
class FreeInputs:
    """A question about the inputs that vary, and the way back.

    Attributes:
        network: of those inputs alone, ``[d]``; node by node the original one.
        cases: over boxes ``[d]``.
        places: int64 ``[d]``, flat places of the inputs that vary.
        fixed: the others' values, float32 ``[inputs]``, in the shape of one input.
    """

    network: Network
    cases: tuple[Property, ...]
    places: Tensor
    fixed: Tensor

    def whole(self, points: Tensor) -> Tensor:
        """All inputs ``[n, *shape]`` of points ``[n, d]``, float32."""
        x = self.fixed.reshape(1, -1).repeat(len(points), 1)
        x[:, self.places] = points.reshape(len(points), -1).to(x)
        return x.reshape(-1, *self.fixed.shape)

    def replay(self, replay: Replay) -> Replay:
        """For points ``[k, d]``; hands out whole witnesses."""
        return lambda case, points: replay(case, self.whole(points))

    def search(self, search: Search) -> Search:
        """For points ``[k, d]``."""

        def searched(case: int, round_: int, until: Deadline) -> Tensor | None:
            points = search(case, round_, until)
            return None if points is None else points.flatten(1)[:, self.places]

        return searched

    def proof(self, tree: ProofTree) -> ProofTree:
        """What proves a case of the original network. Only trees of boxes speak of places of inputs."""
        return replace(tree, varying=self.places[tree.varying]) if isinstance(tree, InputTree) else tree


def free_inputs(network: Network, cases: Sequence[Property]) -> FreeInputs | None:
    """The question about the inputs that vary alone; None where that is no other, or not to be had.

    Args:
        network: prepared graph.
        cases: properties that fit it.
    """
    boxes = [case.inputs for case in cases if isinstance(case.inputs, Box)]
    if not boxes or len(boxes) != len(cases):
        return None
    ends = [(box.lower.double().flatten(), box.upper.double().flatten()) for box in boxes]
    values = ends[0][0]
    fixed = torch.stack([(low == values) & (high == values) for low, high in ends]).all(0)
    places = torch.nonzero(~fixed)[:, 0]
    if not len(places) or LEAST * len(places) > len(values):
        return None
    folded = _folded(network.to(torch.float64).graph, places, values)
    if folded is None:
        return None
    graph, absorbed = folded
    free = Network(graph, absorbed).to(network.graph.dtype)
    reduced = tuple(
        replace(case, inputs=Box(low[places], high[places])) for case, (low, high) in zip(cases, ends, strict=True)
    )
    return FreeInputs(free, reduced, places, values.float().reshape(boxes[0].shape))


def _folded(graph: Graph, places: Tensor, values: Tensor) -> tuple[Graph, dict[int, Absorbed]] | None:
    """The graph of some inputs, and what its new biases add up; None where something else than a layer reads them."""
    count, constant = len(places), values.to(graph.device)
    where = places.to(graph.device)
    constant = constant.index_fill(0, where, 0.0)
    nodes, absorbed, flat = list(graph.nodes), {}, {0}
    nodes[0] = replace(nodes[0], rest=(count,), factor=1)
    for node in graph.nodes[1:]:
        if not flat.intersection(node.inputs):
            continue
        size = _size(node)
        if node.op == "reshape" and size is not None and node.factor == 1 and len(node.rest) == 1:
            nodes[node.index] = replace(node, rest=(count,), arguments={**node.arguments, size: [BatchSize(1), count]})
            flat.add(node.index)
        elif node.op == "linear" and (node.inputs[0] or len(graph.input_shape) == 1) and node.factor == 1:
            weight, bias = node.arguments["weight"], node.arguments["bias"]
            bias = weight.new_zeros(len(weight)) if bias is None else bias
            made = {"weight": weight[:, where].contiguous(), "bias": weight @ constant + bias}
            size_of_all = weight.abs() @ constant.abs()
            inexact = None if node.inexact is None else _reduced(node.inexact, made, size_of_all, bias)
            nodes[node.index] = replace(node, arguments={**node.arguments, **made}, inexact=inexact)
            absorbed[node.index] = Absorbed(size_of_all + bias.abs(), len(values) + 1)
        else:
            return None
    if graph.output in flat:
        return None
    return replace(graph, nodes=tuple(nodes), input_shape=(count,)), absorbed


def _reduced(inexact: Inexact, made: dict[str, Tensor], size: Tensor, bias: Tensor) -> Inexact:
    """What is not the model's own in a layer whose bias took in products of constants that are not."""
    before = bias.abs() if inexact.magnitude is None else inexact.magnitude.to(size)
    return replace(inexact, magnitude=size + before, precise=made)


def _size(node: Node) -> str | None:
    """The argument of a reshape that says the shape."""
    return next((name for name in ("size", "shape") if name in node.arguments), None)
