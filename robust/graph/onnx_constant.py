"""A value of an ONNX file that no input changes: a shape, a stored tensor, what is computed from these."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robust.errors import GraphError
from robust.graph.onnx_file import OnnxFile
from robust.graph.onnx_plan import run_nodes, unread_nodes


class ConstantValue(nn.Module):
    """The value as a network: an affine layer without slope, so engines bound it like any other.

    ``forward`` takes one tensor ``[n, ...]`` per input and gives float ``[n, elements]``, all rows equal.

    Args:
        file: what was read.
        name: of the value.
        shapes: shape of each input as a whole, with the batch axis if the file has one: shapes follow it.

    Raises:
        UnsupportedOperatorError, ControlFlowError, GraphError: a node on the way cannot be read.
    """

    slope: Tensor
    value: Tensor

    def __init__(self, file: OnnxFile, name: str, shapes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        for error in unread_nodes(file, name).values():
            raise error
        inputs = [torch.zeros(tuple(shape)) for shape in shapes]
        value = run_nodes(file, [item.name for item in file.inputs], inputs, name).reshape(-1)
        stored = value.to(torch.get_default_dtype())
        if not value.is_floating_point() and not torch.equal(stored.double().long(), value.long()):
            raise GraphError(
                f"{file.path}: {name!r} is a whole number that float32 cannot hold", got=int(value.abs().max())
            )
        self.register_buffer("value", stored)
        self.register_buffer("slope", torch.zeros(len(value), 1))

    def forward(self, *inputs: Tensor) -> Tensor:
        """The same row for every sample."""
        first = inputs[0].flatten(1)[:, :1]
        return nn.functional.linear(first, self.slope.to(first), self.value.to(first))
