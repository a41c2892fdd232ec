"""ONNX operators in torch, one file per family. To add one, add a line to a family's table."""

from robust.graph.onnx_operators import (
    elementwise,
    linear,
    normalisation,
    pooling,
    recurrent,
    reductions,
    resizing,
    shapes,
)
from robust.graph.onnx_operators.operator import Node, Operator, Table

OPERATORS: Table = {
    **elementwise.TABLE,
    **linear.TABLE,
    **normalisation.TABLE,
    **pooling.TABLE,
    **recurrent.TABLE,
    **reductions.TABLE,
    **resizing.TABLE,
    **shapes.TABLE,
}
"""Every ONNX operator that is read."""

__all__ = ["OPERATORS", "Node", "Operator", "Table"]
