"""From nodes to steps: what depends on the input's values, what is constant, what depends on the batch size alone.

The nodes are run a few times with batches of different sizes. What does not depend on the input's values is folded:
equal in every run, it is a constant; a whole number that grows with the batch (a shape) is kept as ``base + slope *
batch``; a tensor that repeats one row per sample is kept as that row. So the module's forward pass is tensor
operators alone, without shape arithmetic, and serves any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.errors import GraphError, ModelFileError, RobustError, UnsupportedOperatorError
from robust.graph.onnx_file import OnnxFile
from robust.graph.onnx_operators import OPERATORS, Node

_NOT_DATA = {"Shape", "Size"}
_LOOPS = {"If", "Loop", "Scan"}


@dataclass(frozen=True)
class Varying:
    """A value that depends on the input."""

    name: str


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor known at load; ``rows``: one row, repeated for every sample of the batch."""

    value: Tensor
    rows: bool = False


@dataclass(frozen=True, eq=False)
class Host:
    """A numpy array known at load, ``base + slope * batch``."""

    base: NDArray[Any]
    slope: NDArray[Any] | None = None

    def at(self, batch: int) -> NDArray[Any]:
        """Its value for a batch size."""
        return self.base if self.slope is None else self.base + self.slope * batch


@dataclass(frozen=True)
class Stored:
    """A constant that the module keeps under an attribute; ``rows`` as in ``Constant``."""

    attribute: str
    rows: bool = False


Argument = Varying | Constant | Stored | Host | None


@dataclass(frozen=True, eq=False)
class Step:
    """One call: the node, its torch function, its arguments, and values that nobody needs afterwards."""

    node: Node
    function: Callable[..., Any]
    arguments: tuple[Argument, ...]
    release: tuple[str, ...] = ()


def make_plan(
    file: OnnxFile,
    inputs: Sequence[str],
    samples: Callable[[int], Sequence[Tensor]],
    output: str,
    batches: Sequence[int],
    declared: int | None,
) -> tuple[Step, ...]:
    """The steps from ``inputs`` to ``output``.

    Args:
        file: what was read.
        inputs: names of the inputs, in the order of the module's arguments.
        samples: example inputs for a batch size, in the same order.
        output: name of the value that is wanted; nodes that it does not need are left out.
        batches: batch sizes to run; one alone makes a plan for that size only.
        declared: the batch size written into the file, or None where it is free.

    Raises:
        UnsupportedOperatorError, ControlFlowError: a node that cannot be read, by name.
        ModelFileError: a node reads a value that nothing makes.
        GraphError: a node that fails, or a constant that follows the batch in no way that is understood.
    """
    nodes = _needed(file, output)
    for node in nodes:
        if (error := _unknown(node)) is not None:
            raise error
    runs = [_Run(file, nodes, dict(zip(inputs, samples(batch), strict=True)), batch, declared) for batch in batches]
    first = runs[0]
    if output not in first.varying:
        raise GraphError(f"{file.path}: the output {output!r} does not depend on the input", hint="check the export")
    steps = []
    for index, node in enumerate(nodes):
        if not any(name in first.varying for name in node.outputs):
            continue
        operator = OPERATORS[node.op]
        arguments = [
            _argument(
                node,
                name,
                [run.taken.get((index, place)) for run in runs],
                batches,
                host=place in operator.host or place in operator.soft,
                varying=name in first.varying,
            )
            for place, name in enumerate(node.inputs)
        ]
        steps.append(Step(node, operator.function, tuple(arguments)))
    return _with_releases(steps, output)


def run_nodes(file: OnnxFile, inputs: Sequence[str], samples: Sequence[Tensor], output: str) -> Tensor:
    """What the file says, node by node, for these inputs: no folding, no other batch size. For comparison."""
    return _Run(file, _needed(file, output), dict(zip(inputs, samples, strict=True)), 0, None).values[output]


@dataclass
class _Run:
    """One run over the nodes with one batch."""

    file: OnnxFile
    nodes: Sequence[Node]
    given: Mapping[str, Tensor]
    batch: int
    declared: int | None
    varying: set[str] = field(default_factory=set)
    taken: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values = values = {name: constant_tensor(array) for name, array in self.file.constants.items()}
        values |= self.given
        self.varying = set(self.given)
        with torch.no_grad():
            for index, node in enumerate(self.nodes):
                self._step(index, node, values)

    def _step(self, index: int, node: Node, values: dict[str, Tensor]) -> None:
        operator = OPERATORS[node.op]
        arguments: list[Any] = []
        for place, name in enumerate(node.inputs):
            if name and name not in values:
                raise ModelFileError(
                    f"{self.file.path}: node {node.name!r} reads {name!r}, which nothing makes",
                    hint="the file is damaged; export the model again",
                )
            if not name:
                arguments.append(None)
            elif name in self.varying:
                if place in operator.host:
                    raise node.depends_on_data(f"input {place}")
                arguments.append(values[name])
            else:
                value = self._with_batch(node, place, values)
                self.taken[index, place] = value
                arguments.append(value.numpy() if place in operator.host or place in operator.soft else value)
        try:
            made = operator.function(node, *arguments)
        except RobustError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError, OverflowError) as error:
            raise GraphError(
                f"{self.file.path}: the ONNX operator {node.op} at node {node.name!r} fails", got=error
            ) from error
        depends = node.op not in _NOT_DATA and any(name in self.varying for name in node.inputs)
        for name, value in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=False):
            if name:
                values[name] = value
                if depends:
                    self.varying.add(name)

    def _with_batch(self, node: Node, place: int, values: Mapping[str, Tensor]) -> Tensor:
        """In a file with a fixed batch: a constant that stands for that batch, for the batch of this run."""
        value = values[node.inputs[place]]
        if self.declared is None or self.batch == self.declared:
            return value
        others = [values[name] for name in node.inputs if name in self.varying]
        if not others or others[0].ndim == 0 or others[0].shape[0] != self.batch:
            return value
        if node.op in ("Reshape", "Expand") and place == 1 and value.numel() and int(value[0]) == self.declared:
            per_sample = others[0].numel() // self.batch
            rest = value[1:]
            if node.op == "Expand" or (rest <= 0).any() or int(rest.prod()) == per_sample:
                return torch.cat([torch.tensor([self.batch]), rest])
        whole = value.ndim == others[0].ndim and value.shape[0] == self.declared
        if whole and (node.op == "Concat" or self.declared > 1) and bool((value == value[:1]).all()):
            return value[:1].expand(self.batch, *value.shape[1:])
        return value


def constant_tensor(array: NDArray[np.generic]) -> Tensor:
    """A numpy constant as a tensor of its own."""
    if array.dtype.kind not in "fiub":
        raise UnsupportedOperatorError("a constant of the ONNX file is not a number", got=array.dtype)
    wide = array.astype(np.int64) if array.dtype in (np.uint16, np.uint32, np.uint64) else array
    return torch.from_numpy(np.array(wide))


def depends_on_input(file: OnnxFile, output: str) -> bool:
    """Whether an input's *values* can change this value; a shape says nothing about them."""
    varying = {value.name for value in file.inputs}
    for node in file.nodes:
        if node.op not in _NOT_DATA and varying.intersection(node.inputs):
            varying.update(node.outputs)
    return output in varying


def unread_nodes(file: OnnxFile, output: str) -> dict[Node, RobustError]:
    """The nodes on the way to an output that no table has, each with the error that says so."""
    return {node: error for node in _needed(file, output) if (error := _unknown(node)) is not None}


def _unknown(node: Node) -> RobustError | None:
    if node.op in OPERATORS:
        return None
    if node.op in _LOOPS:
        return node.depends_on_data("its control flow")
    return UnsupportedOperatorError(
        f"the ONNX operator {node.op} (operator set {node.opset}) at node {node.name!r} is not read",
        wanted=f"one of {len(OPERATORS)} operators that are",
        got=node.op,
        hint="export the model without it, or add it to a table in robust/graph/onnx_operators",
    )


def _needed(file: OnnxFile, output: str) -> list[Node]:
    wanted, kept = {output}, []
    for node in reversed(file.nodes):
        if wanted & set(node.outputs):
            kept.append(node)
            wanted |= {name for name in node.inputs if name}
    return kept[::-1]


def _argument(
    node: Node, name: str, taken: Sequence[Tensor | None], batches: Sequence[int], *, host: bool, varying: bool
) -> Argument:
    if not name:
        return None
    if varying:
        return Varying(name)
    values = [value for value in taken if value is not None]
    first = values[0]
    if all(value.shape == first.shape and torch.equal(value, first) for value in values[1:]):
        return Host(first.numpy()) if host else Constant(first)
    if host and all(value.shape == first.shape and not value.is_floating_point() for value in values):
        arrays = [value.numpy().astype(np.int64) for value in values]
        slope = (arrays[1] - arrays[0]) // (batches[1] - batches[0])
        base = arrays[0] - slope * batches[0]
        if all((array == base + slope * batch).all() for array, batch in zip(arrays, batches, strict=True)):
            return Host(base, slope)
    repeats = all(
        value.ndim
        and value.shape[0] == batch
        and value.shape[1:] == first.shape[1:]
        and bool((value == first[:1]).all())
        for value, batch in zip(values, batches, strict=True)
    )
    if repeats and not host:
        return Constant(first[:1].clone(), rows=True)
    raise GraphError(
        f"the ONNX operator {node.op} at node {node.name!r} takes a constant that follows the batch size",
        wanted="a shape that grows with the batch, or one row for every sample",
        got=f"{name!r} of shapes {', '.join(str(tuple(value.shape)) for value in values)}",
    )


def _with_releases(steps: list[Step], output: str) -> tuple[Step, ...]:
    """Note after which step each value is needed no more."""
    seen, result = {output}, []
    for step in reversed(steps):
        used = {argument.name for argument in step.arguments if isinstance(argument, Varying)}
        result.append(Step(step.node, step.function, step.arguments, tuple(sorted(used - seen))))
        seen |= used
    return tuple(reversed(result))
