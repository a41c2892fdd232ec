"""The networks of a query as one function: all inputs in one flat row, everything that is observed in another.

Differentiable and traceable (``module``), and beside it the same by onnxruntime in the arithmetic of the files
(``replay``), which is what a witness has to convince.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust.errors import GraphError, ModelShapeError, UsageError
from robust.graph.onnx_constant import ConstantValue
from robust.graph.onnx_file import OnnxFile, read_onnx
from robust.graph.onnx_module import OnnxModule
from robust.graph.onnx_plan import depends_on_input
from robust.properties.vnnlib import NetworkDeclaration, Query

_WIDTHS: dict[str, type[np.floating[Any]]] = {"float64": np.float64, "float16": np.float16}
_REAL = ("real", "float32", "float64", "float16", "bfloat16")


@dataclass(frozen=True, eq=False)
class _Part:
    """One value of one network: which flat inputs it reads, and how."""

    file: OnnxFile
    output: str
    start: int
    sizes: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    batched: bool


class QueryModule(nn.Module):
    """``[n, inputs]`` to ``[n, observed]``, float32."""

    def __init__(self, query: Query, parts: Sequence[_Part], modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.values = nn.ModuleList(modules)
        self._parts, self._extra = tuple(parts), query.observed[query.answers :]
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """All observed values."""
        found = []
        for part, module in zip(self._parts, self.values, strict=True):
            answer = module(*_sliced(part, x)).reshape(x.shape[0], -1)
            found.append(answer if answer.is_floating_point() else answer.to(x.dtype))
        answers = found[0] if len(found) == 1 else torch.cat(found, 1)
        if not self._extra:
            return answers
        scalars = torch.cat([x, answers], 1)
        columns = []
        for monomial in self._extra:
            column = scalars[:, monomial[0] : monomial[0] + 1]
            for place in monomial[1:]:
                column = column * scalars[:, place : place + 1]
            columns.append(column)
        return torch.cat([answers, *columns], 1)


class QueryNetwork:
    """A query's networks, bound to files.

    Args:
        query: what was read.
        models: network name -> ONNX file, for every network that is not equal to another. The one network of a
            VNN-LIB 1 file, or of a query with one network, takes any name.

    Attributes:
        query: the same.
        module: float32, differentiable.

    Raises:
        UsageError: a file too few or too many.
        ModelShapeError: inputs or outputs of another number than the query declares.
        UnsupportedOperatorError, ControlFlowError, GraphError: see ``OnnxModule``.
        ModelFileError, NonFiniteError: see ``read_onnx``.
    """

    def __init__(self, query: Query, models: Mapping[str, str | Path | OnnxFile]) -> None:
        self.query = query
        self._files = _files(query, models)
        self._parts: list[_Part] = []
        modules: list[nn.Module] = []
        start = 0
        for network in query.networks:
            for part, module in _bind(network, self._files[network.name], start):
                self._parts.append(part)
                modules.append(module)
            start += sum(item.elements for item in network.inputs)
        self.module = QueryModule(query, self._parts, modules)
        with torch.no_grad():
            width = self.module(torch.zeros(1, query.inputs)).shape[1]
        if width != len(query.observed):
            raise ModelShapeError(
                "the query declares another number of outputs than the models have",
                wanted=f"{query.answers} in the query",
                got=f"{width - len(query.observed) + query.answers} in the models",
            )
        self._sessions: list[Any] = []

    def replay(self, points: Tensor) -> Tensor:
        """What the models answer, run by onnxruntime: float32 ``[n, inputs]`` to float64 ``[n, observed]``.

        Monomials are exact products in float64 of the float32 values, as far as float64 holds them.
        """
        rows = points.detach().cpu().float()
        answers = [_answer(part, session, rows) for part, session in zip(self._parts, self._started(), strict=True)]
        scalars = torch.cat([rows.double(), *answers], 1)
        columns = [scalars[:, list(monomial)].prod(1, keepdim=True) for monomial in self.query.observed]
        return torch.cat(columns, 1)

    def _started(self) -> list[Any]:
        if not self._sessions:
            from robust.subjects.runtime import OnnxSession

            for part in self._parts:
                batch = part.file.inputs[0].shape[0] if part.batched and part.file.inputs[0].shape else None
                dtype = _WIDTHS.get(part.file.inputs[0].dtype, np.float32)
                self._sessions.append(OnnxSession(part.file, part.output, batch, dtype, batched=part.batched))
        return self._sessions


def _files(query: Query, models: Mapping[str, str | Path | OnnxFile]) -> dict[str, OnnxFile]:
    needed = [network.name for network in query.networks if network.equal_to is None]
    if len(query.networks) == 1 and len(models) == 1:
        models = {needed[0]: next(iter(models.values()))}
    missing, stray = [name for name in needed if name not in models], [name for name in models if name not in needed]
    if missing or stray:
        raise UsageError(
            "the models do not fit the networks of the query",
            wanted=f"one model for each of {', '.join(name or 'the network' for name in needed)}",
            got=", ".join(models) or "none",
            hint="give --network NAME=model.onnx once for each network that is not equal to another",
        )
    read: dict[str, OnnxFile] = {}
    for name in needed:
        model = models[name]
        read[name] = model if isinstance(model, OnnxFile) else read_onnx(model)
    for network in query.networks:
        if network.equal_to is not None:
            read[network.name] = read[network.equal_to]
    return read


def _bind(network: NetworkDeclaration, file: OnnxFile, start: int) -> list[tuple[_Part, nn.Module]]:
    """A part for every value that is observed; a value that no input changes is bound on its own."""
    _require_inputs(network, file)
    names = _values(network, file)
    varying = [name for name in names if depends_on_input(file, name)]
    bound = dict(zip(varying, _bind_varying(network, file, varying, start), strict=True)) if varying else {}
    return [bound[name] if name in bound else _bind_constant(network, file, name, start) for name in names]


def _require_inputs(network: NetworkDeclaration, file: OnnxFile) -> None:
    if network.name and len(network.inputs) != len(file.inputs):
        raise ModelShapeError(
            f"{file.path} does not have the inputs that the query declares",
            wanted=[item.name for item in network.inputs],
            got=[item.name for item in file.inputs],
        )
    for item, value in zip(network.inputs, file.inputs, strict=False):
        if item.onnx_name not in (None, value.name):
            raise ModelShapeError(
                f"the inputs of {file.path} stand in another order than the query declares",
                wanted=[other.onnx_name for other in network.inputs],
                got=[other.name for other in file.inputs],
            )
        if item.dtype not in _REAL:
            raise ModelShapeError(f"the input {item.name} has no real numbers", wanted=_REAL, got=item.dtype)


def _bind_constant(network: NetworkDeclaration, file: OnnxFile, name: str, start: int) -> tuple[_Part, nn.Module]:
    """Its inputs are whole: the value may be the shape of one, batch axis included."""
    shapes = _whole_shapes(network, file) or [tuple(size or 1 for size in value.shape or ()) for value in file.inputs]
    sizes = tuple(int(np.prod(shape)) for shape in shapes)
    _require_sizes(network, file, sizes, shapes)
    part = _Part(file, name, start, sizes, tuple(shapes), batched=False)
    return part, ConstantValue(file, name, shapes)


def _bind_varying(
    network: NetworkDeclaration, file: OnnxFile, names: Sequence[str], start: int
) -> list[tuple[_Part, nn.Module]]:
    failure: GraphError | None = None
    for batched in (None, False):
        try:
            shapes = None if batched is None else _whole_shapes(network, file)
            modules = [OnnxModule(file, output=name, input_shapes=shapes, batched=batched) for name in names]
        except GraphError as error:
            failure = failure or error
            continue
        except ModelShapeError:
            if batched is False or not network.name:
                raise
            continue
        sizes = tuple(int(np.prod(shape)) for shape in modules[0].input_shapes)
        first = modules[0]
        try:
            _require_sizes(network, file, sizes, first.input_shapes)
        except ModelShapeError:
            if batched is None:
                continue
            raise
        part = [_Part(file, name, start, sizes, first.input_shapes, first.batched) for name in names]
        return list(zip(part, modules, strict=True))
    raise failure or GraphError(f"{file.path} cannot be read")


def _require_sizes(
    network: NetworkDeclaration, file: OnnxFile, sizes: tuple[int, ...], shapes: Sequence[Sequence[int]]
) -> None:
    total = sum(item.elements for item in network.inputs)
    if sum(sizes) != total or (network.name and sizes != tuple(item.elements for item in network.inputs)):
        raise ModelShapeError(
            f"{file.path} does not have as many inputs as the query declares",
            wanted=f"{total} numbers, in {[list(item.shape) for item in network.inputs]}",
            got=f"{sum(sizes)}, in {[list(shape) for shape in shapes]}",
        )


def _whole_shapes(network: NetworkDeclaration, file: OnnxFile) -> list[tuple[int, ...]] | None:
    """Shapes with the batch axis, where the query says them."""
    if not network.name:
        return None
    if any(
        value.shape is not None and len(value.shape) != len(item.shape)
        for value, item in zip(file.inputs, network.inputs, strict=True)
    ):
        return None
    return [item.shape for item in network.inputs]


def _values(network: NetworkDeclaration, file: OnnxFile) -> list[str]:
    if not network.name:
        return [value.name for value in file.outputs[:1]]
    if len(network.outputs) != len(file.outputs) and any(item.onnx_name is None for item in network.outputs):
        raise ModelShapeError(
            f"{file.path} does not have the outputs that the query declares",
            wanted=[item.name for item in network.outputs],
            got=[item.name for item in file.outputs],
        )
    known = {name for node in file.nodes for name in node.outputs}
    found = [item.onnx_name or "" for item in network.hidden]
    found += [item.onnx_name or file.outputs[place].name for place, item in enumerate(network.outputs)]
    for name in found:
        if name not in known:
            raise ModelShapeError(f"{file.path} has no value {name!r}", wanted="the name of a value of the graph")
    return found


def _sliced(part: _Part, x: Any) -> list[Any]:
    found, start = [], part.start
    for size, shape in zip(part.sizes, part.shapes, strict=True):
        found.append(x[:, start : start + size].reshape(x.shape[0], *shape))
        start += size
    return found


def _answer(part: _Part, session: Any, rows: Tensor) -> Tensor:
    arrays: list[NDArray[Any]] = [piece.numpy() for piece in _sliced(part, rows)]
    types = [_WIDTHS.get(value.dtype, np.float32) for value in part.file.inputs]
    arrays = [array.astype(dtype) for array, dtype in zip(arrays, types, strict=True)]
    return torch.from_numpy(session.run(*arrays).reshape(len(rows), -1)).double()
