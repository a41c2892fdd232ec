"""How a pass makes a new graph: it walks the old nodes and emits new ones; what nobody reads falls away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robust.graph.graph import BatchConstant, Graph, Inexact, Node, Operand


@dataclass
class Editor:
    """The new nodes so far, and where the old ones went.

    Attributes:
        graph: the old graph.
        nodes: new nodes; each one's ``inputs`` are places in this list.
        at: old index -> new index.
    """

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    at: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._readers = [0] * len(self.graph.nodes)
        for node in self.graph.nodes:
            for source in node.inputs:
                self._readers[source] += 1
        self._readers[self.graph.output] += 1

    def emit(self, node: Node) -> int:
        """Append a node whose inputs are new indices; its new index."""
        self.nodes.append(node if node.index == len(self.nodes) else replace(node, index=len(self.nodes)))
        return len(self.nodes) - 1

    def keep(self, node: Node) -> None:
        """Take an old node over as it is."""
        inputs = tuple(self.at[i] for i in node.inputs)
        self.at[node.index] = self.emit(node if inputs == node.inputs else replace(node, inputs=inputs))

    def source(self, node: Node) -> Node:
        """The old node that an old node with one operand reads."""
        return self.graph.nodes[node.inputs[0]]

    def is_read_once(self, node: Node) -> bool:
        """Whether one place alone reads an old node; the output of the graph counts as one."""
        return self._readers[node.index] == 1

    def finish(self) -> Graph:
        """The new graph."""
        made = replace(self.graph, nodes=tuple(self.nodes), output=self.at[self.graph.output])
        return without_dead_nodes(made)


def constant_operand(node: Node, op: str) -> Tensor | None:
    """The constant of ``add`` or ``mul`` of one varying operand, else None; of a batch axis it has at most length 1."""
    if node.op != op or len(node.inputs) != 1 or node.arguments.get("alpha", 1) != 1:
        return None
    constant = next((v for v in (node.arguments["self"], node.arguments["other"]) if not isinstance(v, Operand)), None)
    if isinstance(constant, BatchConstant) and constant.rows.shape[0] == 1 and constant.rows.ndim == len(node.rest) + 1:
        return constant.rows
    return constant if isinstance(constant, Tensor) else None


def per_sample(constant: Tensor, node: Node) -> Tensor | None:
    """A constant spread over one sample of a node; None where it is not one row for every sample."""
    rank = len(node.rest)
    if node.factor != 1 or constant.ndim > rank + 1 or (constant.ndim == rank + 1 and constant.shape[0] != 1):
        return None
    flat = constant.reshape(constant.shape[1:]) if constant.ndim == rank + 1 else constant
    return flat.expand(node.rest)


def without_dead_nodes(graph: Graph) -> Graph:
    """The graph without nodes that its output does not need, numbered anew."""
    alive = {0, graph.output}
    for node in reversed(graph.nodes):
        if node.index in alive:
            alive.update(node.inputs)
    if len(alive) == len(graph.nodes):
        return graph
    places = {old: new for new, old in enumerate(sorted(alive))}
    nodes = tuple(
        replace(node, index=places[node.index], inputs=tuple(places[i] for i in node.inputs))
        for node in graph.nodes
        if node.index in alive
    )
    return replace(graph, nodes=nodes, output=places[graph.output])


def remade(
    graph: Graph, node: Node, made: Mapping[str, Tensor | None], sources: Sequence[Node], added: Tensor | None
) -> Node:
    """A node with constants that were computed in float64 from those of others, and are rounded here.

    Args:
        graph: of the node.
        made: argument -> float64 value.
        sources: whose constants they were computed from.
        added: the magnitudes that the constant which is added was added up from.
    """
    before = [source.inexact for source in sources if source.inexact is not None]
    share = sum(item.share for item in before) + 1.01 * torch.finfo(graph.dtype).eps / 2
    terms = max((value.numel() for value in made.values() if value is not None), default=1)
    precise_share = sum(min(item.share, item.precise_share) for item in before) + (terms + 8) * 2.0**-53
    kept = {} if node.inexact is None else dict(node.inexact.precise)
    kept.update({name: value for name, value in made.items() if value is not None})
    arguments = {name: None if value is None else value.to(graph.dtype) for name, value in made.items()}
    inexact = Inexact(share, added, kept, precise_share)
    return replace(node, arguments={**node.arguments, **arguments}, inexact=inexact)


def precisely(node: Node, name: str) -> Tensor | None:
    """A constant argument in float64, as it was before it was rounded where that is known."""
    value = node.arguments[name]
    if node.inexact is not None and name in node.inexact.precise:
        return node.inexact.precise[name]
    return wide(value) if isinstance(value, Tensor) else None


def precise_constant(node: Node, op: str) -> Tensor | None:
    """``constant_operand`` in float64, as it was before it was rounded where that is known."""
    constant = constant_operand(node, op)
    for value in () if constant is None or node.inexact is None else node.inexact.precise.values():
        return value  # add and mul have one constant
    return None if constant is None else wide(constant)


def added_up(node: Node, constant: Tensor | None) -> Tensor | None:
    """The magnitudes that the constant of a node was added up from; None where there is none."""
    if node.inexact is not None and node.inexact.magnitude is not None:
        return node.inexact.magnitude
    return None if constant is None else constant.abs()


def wide(value: Tensor) -> Tensor:
    """In double precision: passes round once, at their end."""
    return value.to(torch.float64)
