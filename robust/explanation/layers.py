"""The operation graph as a module with one submodule per operation, so that any operation can be hooked.

Captum finds layers and rectifiers as submodules. An ONNX file has none, and a torch module may call functions instead;
the graph of either has all of them.
"""

from __future__ import annotations

from torch import Tensor, nn

from robust.errors import NotExplainableError
from robust.graph import Graph, Node

SPATIAL_AXES = 3
"""Channels, height, width."""


class Operation(nn.Module):
    """One node of the graph."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def forward(self, batch: int, *operands: Tensor) -> Tensor:
        """``operands`` at the node's ``inputs``, of ``batch`` samples, to the node's value."""
        return self.node.apply(operands, batch)


class GraphModule(nn.Module):
    """``[n, *input_shape]`` to ``[n, *output shape]``, node by node; rectifiers are ``nn.ReLU``.

    Attributes:
        operations: the submodule of ``graph.nodes[i]`` at ``i - 1``.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.operations = nn.ModuleList(nn.ReLU() if n.op == "relu" else Operation(n) for n in graph.nodes[1:])
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Every operation in turn."""
        values = [x]
        for node, operation in zip(self.graph.nodes[1:], self.operations, strict=True):
            operands = [values[index] for index in node.inputs]
            values.append(operation(*operands) if isinstance(operation, nn.ReLU) else operation(len(x), *operands))
        return values[self.graph.output]


def last_spatial_node(graph: Graph) -> Node:
    """The last convolution whose output still has more than one place, behind its rectifier if it has one.

    Raises:
        NotExplainableError: there is none.
    """
    spatial = [
        node
        for node in graph.nodes
        if node.op == "convolution" and len(node.shape) == SPATIAL_AXES and node.shape[1] * node.shape[2] > 1
    ]
    if not spatial:
        raise NotExplainableError(
            "Grad-CAM weighs the channels of a convolution, and the model has none with more than one place",
            wanted="a convolution with an output [channels, height, width]",
            got=", ".join(sorted({node.op for node in graph.nodes[1:]})),
            hint="explain it by integrated gradients or occlusion",
        )
    readers = graph.readers(spatial[-1].index)
    return readers[0] if len(readers) == 1 and readers[0].op == "relu" else spatial[-1]
