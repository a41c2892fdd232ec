"""The operation graph: an immutable list of nodes in topological order, which every engine walks.

How to walk it::

    graph = trace(module, (1, 8, 8), device=torch.device("cpu"))
    for node in graph.nodes:                      # node 0 is the input, graph.nodes[graph.output] the output
        node.op                                   # "linear", "convolution", "relu", "reshape", "add", ...
        node.kind                                 # Kind.INPUT, AFFINE, ELEMENTWISE, MAXIMUM or PRODUCT
        node.inputs                               # indices of the nodes it reads, all smaller than node.index
        node.arguments["weight"]                  # by the operator's own argument names; see Argument
        node.shape                                # of one sample, without the batch axis

An engine that has no rule of its own for an affine operator gets its matrix from ``robust.graph.affine.affine_map``;
for ``Kind.MAXIMUM``, ``node.windows`` says which elements of its operand each output element is the largest of.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from robust.errors import GraphError
from robust.graph.operators import Kind


@dataclass(frozen=True)
class Operand:
    """Stands in ``Node.arguments`` for a varying tensor: place in ``Node.inputs``."""

    position: int


@dataclass(frozen=True)
class BatchSize:
    """Stands for an integer that depends on the batch size: ``factor * batch + offset``."""

    factor: int
    offset: int = 0

    def at(self, batch: int) -> int:
        """The integer at this batch size."""
        return self.factor * batch + self.offset


@dataclass(frozen=True, eq=False)
class BatchConstant:
    """Stands for a constant that has the batch axis in front: ``rows`` ``[k, ...]`` once per sample."""

    rows: Tensor

    def at(self, batch: int) -> Tensor:
        """``[k * batch, ...]``."""
        return self.rows.expand(batch, *self.rows.shape).reshape(-1, *self.rows.shape[1:])


Argument = Any
"""An ``Operand``, ``BatchSize``, ``BatchConstant``, constant ``Tensor``, Python value, or a list of these."""


@dataclass(frozen=True, eq=False)
class Inexact:
    """How far constants of an affine node may be from the model's: they were made from these, and rounded.

    Attributes:
        share: of each coefficient, and of ``magnitude``.
        magnitude: what the constant that is added was added up from, in its shape; None: it is taken as it is.
        precise: argument -> its float64 value before it was rounded, where that is known.
        precise_share: as ``share``, of the arguments with what stands in ``precise``.
    """

    share: float
    magnitude: Tensor | None = None
    precise: Mapping[str, Tensor] = field(default_factory=dict)
    precise_share: float = math.inf

    def to(self, device: torch.device) -> Inexact:
        """The same elsewhere."""
        magnitude = None if self.magnitude is None else self.magnitude.to(device)
        precise = {name: value.to(device) for name, value in self.precise.items()}
        return Inexact(self.share, magnitude, precise, self.precise_share)

    def share_in(self, dtype: torch.dtype) -> float:
        """By which share constants are off in a graph of some arithmetic."""
        return min(self.share, self.precise_share) if dtype == torch.float64 else self.share


@dataclass(frozen=True, eq=False)
class Node:
    """One operation.

    Attributes:
        index: its place in ``Graph.nodes``.
        op: ATen name without overload: ``convolution``, ``relu``, ... ; ``input`` for node 0.
        kind: what an engine may assume.
        target: the callable, a torch operator overload; None for the input.
        arguments: by the operator's argument names, defaults filled in.
        inputs: indices of the nodes that its ``Operand`` placeholders stand for.
        factor: the leading axis has ``factor * batch`` places, each sample's ``factor`` in one piece.
        rest: the axes after the leading one.
        place: where in the model, for errors: ``features.0 (Conv2d)``.
        windows: for ``Kind.MAXIMUM``: int64 ``[elements, k]``, flat places in the operand's sample; -1 is padding.
        inexact: for ``Kind.AFFINE``, where its constants are not the model's own; None: they are.
    """

    index: int
    op: str
    kind: Kind
    target: Any
    arguments: Mapping[str, Argument]
    inputs: tuple[int, ...]
    factor: int
    rest: tuple[int, ...]
    place: str = ""
    windows: Tensor | None = None
    inexact: Inexact | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample's value (the leading factor is left out when it is 1)."""
        return self.rest if self.factor == 1 else (self.factor, *self.rest)

    @property
    def elements(self) -> int:
        """Number of elements of one sample's value."""
        return self.factor * math.prod(self.rest)

    def batched(self, batch: int) -> tuple[int, ...]:
        """Shape of the tensor at a batch size."""
        return (self.factor * batch, *self.rest)

    def apply(self, operands: Sequence[Tensor], batch: int, /, **replaced: Argument) -> Tensor:
        """Run the operation.

        Args:
            operands: one tensor per entry of ``inputs``, each of that node's ``batched`` shape.
            batch: the batch size.
            replaced: arguments to use instead of the node's own, for example ``bias=None``.
        """
        values = {**self.arguments, **replaced}
        positional, keywords = [], {}
        for argument in self.target._schema.arguments:
            value = _bind(values[argument.name], operands, batch)
            if argument.kwarg_only:
                keywords[argument.name] = value
            else:
                positional.append(value)
        result = self.target(*positional, **keywords)
        first: Tensor = result[0] if isinstance(result, tuple | list) else result
        return first


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as nodes in topological order. Pure: running it changes nothing.

    Attributes:
        nodes: node 0 is the input.
        output: index of the output node.
        input_shape: of one sample.
        dtype: arithmetic of its constants.
        device: where its constants are.
    """

    nodes: tuple[Node, ...]
    output: int
    input_shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @cached_property
    def _last_reader(self) -> tuple[int, ...]:
        last = list(range(len(self.nodes)))
        for node in self.nodes:
            for source in node.inputs:
                last[source] = node.index
        last[self.output] = len(self.nodes)
        return tuple(last)

    @property
    def outputs(self) -> int:
        """Number of output elements of one sample."""
        return self.nodes[self.output].elements

    def forward(self, x: Tensor) -> Tensor:
        """``[n, *input_shape]`` to ``[n, *output shape]``; gradients flow.

        Raises:
            GraphError: the input has another shape.
        """
        values = self._run(x, keep=False)
        return values[self.output]

    def values(self, x: Tensor) -> list[Tensor]:
        """Every node's tensor for inputs ``[n, *input_shape]``, in the order of ``nodes``."""
        values = self._run(x, keep=True)
        return [values[index] for index in range(len(self.nodes))]

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Graph:
        """The same graph with its constants in another arithmetic or place."""
        target = self.device if device is None else device
        if dtype == self.dtype and target == self.device:
            return self
        nodes = tuple(
            dataclasses.replace(
                node,
                arguments={name: _cast(value, dtype, target) for name, value in _precise(node, dtype).items()},
                windows=None if node.windows is None else node.windows.to(target),
                inexact=None if node.inexact is None else node.inexact.to(target),
            )
            for node in self.nodes
        )
        return dataclasses.replace(self, nodes=nodes, dtype=dtype, device=target)

    def readers(self, index: int) -> tuple[Node, ...]:
        """The nodes that read node ``index``."""
        return tuple(node for node in self.nodes if index in node.inputs)

    def _run(self, x: Tensor, keep: bool) -> dict[int, Tensor]:
        if tuple(x.shape[1:]) != self.input_shape:
            raise GraphError(
                "an input has another shape than the graph",
                wanted=("n", *self.input_shape),
                got=tuple(x.shape),
            )
        batch = len(x)
        values: dict[int, Tensor] = {0: x.to(device=self.device, dtype=self.dtype)}
        for node in self.nodes[1:]:
            values[node.index] = node.apply([values[i] for i in node.inputs], batch)
            if not keep:
                for source in set(node.inputs):
                    if self._last_reader[source] == node.index:
                        del values[source]
        return values


def _bind(value: Argument, operands: Sequence[Tensor], batch: int) -> Any:
    if isinstance(value, Operand):
        return operands[value.position]
    if isinstance(value, BatchSize | BatchConstant):
        return value.at(batch)
    if isinstance(value, list | tuple):
        return [_bind(item, operands, batch) for item in value]
    return value


def _precise(node: Node, dtype: torch.dtype) -> Mapping[str, Argument]:
    """Arguments with the float64 values that some were rounded from, where the arithmetic can hold them."""
    if dtype != torch.float64 or node.inexact is None:
        return node.arguments
    return {**node.arguments, **node.inexact.precise}


def _cast(value: Argument, dtype: torch.dtype, device: torch.device) -> Argument:
    if isinstance(value, BatchConstant):
        return BatchConstant(_cast(value.rows, dtype, device))
    if isinstance(value, Tensor):
        return value.to(device=device, dtype=dtype if value.is_floating_point() else value.dtype)
    if isinstance(value, list | tuple):
        return [_cast(item, dtype, device) for item in value]
    return value
