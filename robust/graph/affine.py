"""Any affine operator as a matrix, for engines that have no rule of their own for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.errors import GraphError
from robust.graph.graph import Graph, Node
from robust.graph.operators import Kind


def affine_map(graph: Graph, node: Node) -> tuple[Sequence[Tensor], Tensor]:
    """Matrices and offset of an affine node: ``output = sum_i matrix_i @ operand_i + offset``, all flattened.

    Dense: meant for small networks (memory is output elements times operand elements).

    Returns:
        One ``[output elements, operand elements]`` per operand, and ``[output elements]``, in the graph's dtype.

    Raises:
        GraphError: the node is not affine.
    """
    if node.kind is not Kind.AFFINE:
        raise GraphError(f"node {node.index} ({node.op}) is not affine", wanted=Kind.AFFINE, got=node.kind)
    sources = [graph.nodes[index] for index in node.inputs]
    with torch.no_grad():
        offset = node.apply([_zeros(graph, source, 1) for source in sources], 1).reshape(-1)
        matrices = []
        for place, source in enumerate(sources):
            operands = [_zeros(graph, other, source.elements) for other in sources]
            operands[place] = torch.eye(source.elements, dtype=graph.dtype, device=graph.device).reshape(
                source.batched(source.elements)
            )
            columns = node.apply(operands, source.elements).reshape(source.elements, -1)
            matrices.append((columns - offset).T)
    return matrices, offset


def _zeros(graph: Graph, node: Node, batch: int) -> Tensor:
    return torch.zeros(node.batched(batch), dtype=graph.dtype, device=graph.device)
