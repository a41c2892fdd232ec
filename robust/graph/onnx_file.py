"""An ONNX file as plain data: inputs, outputs, nodes and constants, read without running anything."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import ModelFileError, NonFiniteError
from robust.graph.onnx_operators import Node

_MASKS = {"Add", "Where", "Max", "Min", "Clip", "Pad", "Less", "Greater"}
"""Operators that may rightly be handed an infinite constant."""

_FLOATS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
_OTHERS = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool"}


@dataclass(frozen=True)
class ValueInfo:
    """An input or output: its name, element type, and shape with None where an axis is free.

    ``shape`` is None where the file does not even say the rank.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """What an ONNX file says.

    Attributes:
        path: where it lies; for messages.
        proto: the ``onnx.ModelProto``, external data inside, local functions inlined.
        inputs, outputs: without constants.
        nodes: in order.
        constants: name -> array; half and double floats have become float32.
        opset: of the default operator set.
    """

    path: Path
    proto: Any = field(repr=False)
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    nodes: tuple[Node, ...] = field(repr=False)
    constants: dict[str, NDArray[np.generic]] = field(repr=False)
    opset: int


def read_onnx(path: str | Path) -> OnnxFile:
    """Read an ONNX file (also gzipped). Nothing is run.

    Raises:
        ModelFileError: missing, truncated, not ONNX, or external data outside the model's folder.
        NonFiniteError: a constant is NaN, or infinite where no operator could use that.
    """
    path = Path(path)
    proto = _parse(path)
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if not proto.graph.node or not opset or not proto.graph.output:
        raise ModelFileError(
            f"{path} is not an ONNX model",
            wanted="a graph with nodes, outputs and an operator set",
            got=f"{len(proto.graph.node)} nodes, {len(proto.graph.output)} outputs, operator set {opset}",
            hint="the file may be truncated or empty; export the model again",
        )
    constants = {tensor.name: _array(tensor, path) for tensor in proto.graph.initializer}
    nodes = tuple(_node(node, opset, path) for node in proto.graph.node)
    _check_finite(constants, nodes, path)
    return OnnxFile(
        path=path,
        proto=proto,
        inputs=tuple(_info(value) for value in proto.graph.input if value.name not in constants),
        outputs=tuple(_info(value) for value in proto.graph.output),
        nodes=nodes,
        constants=constants,
        opset=opset,
    )


def _parse(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]
    from onnx.external_data_helper import load_external_data_for_model

    wanted = "a whole ONNX file"
    hint = "check the path, or export the model again: the file may be truncated"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        proto = onnx.load_model_from_string(content)
    except (OSError, EOFError, zlib.error, DecodeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"cannot read the ONNX file {path}", wanted=wanted, got=error, hint=hint) from error
    _check_external(proto, path)
    try:
        load_external_data_for_model(proto, str(path.parent))
        return onnx.inliner.inline_local_functions(proto) if proto.functions else proto
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise ModelFileError(f"cannot read the weights of {path}", wanted=wanted, got=error, hint=hint) from error


def _check_external(proto: Any, path: Path) -> None:
    """External data must be plain files in the model's folder."""
    folder = path.parent.resolve()
    for tensor in _all_tensors(proto):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        target = (folder / location).resolve()
        if not location or not target.is_relative_to(folder):
            raise ModelFileError(
                f"{path}: the weights of {tensor.name!r} lie outside the model's folder",
                wanted=f"a file inside {path.parent}",
                got=location or "no location",
                hint="a model file may not read files elsewhere; move its data beside it",
            )
        if not target.is_file():
            raise ModelFileError(
                f"{path}: the file with the weights of {tensor.name!r} is missing", wanted=target, hint="copy it too"
            )


def _all_tensors(proto: Any) -> list[Any]:
    tensors = list(proto.graph.initializer)
    for node in proto.graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t] if attribute.HasField("t") else []
            tensors += attribute.tensors
    return tensors


def _array(tensor: Any, path: Path) -> NDArray[np.generic]:
    from onnx import numpy_helper

    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelFileError(
            f"{path}: the constant {tensor.name!r} cannot be read",
            wanted=f"numbers of shape {list(tensor.dims)}",
            got=error,
            hint="the file may be truncated; export the model again",
        ) from error
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    return array


def _node(node: Any, opset: int, path: Path) -> Node:
    import onnx

    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, onnx.TensorProto):
            value = _array(value, path)
        elif not isinstance(value, int | float | str):
            value = [_text(item) for item in value] if hasattr(value, "__iter__") else value
        attributes[attribute.name] = value
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}::"
    name = node.name or next((output for output in node.output if output), node.op_type)
    return Node(domain + node.op_type, name, tuple(node.input), tuple(node.output), attributes, opset)


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _info(value: Any) -> ValueInfo:
    tensor = value.type.tensor_type
    dtype = (_FLOATS | _OTHERS).get(tensor.elem_type, f"ONNX type {tensor.elem_type}")
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(axis.dim_value if axis.dim_value > 0 else None for axis in tensor.shape.dim)
    return ValueInfo(value.name, dtype, shape)


def _check_finite(constants: dict[str, NDArray[np.generic]], nodes: tuple[Node, ...], path: Path) -> None:
    users: dict[str, set[str]] = {}
    for node in nodes:
        for name in node.inputs:
            users.setdefault(name, set()).add(node.op)
    inside = {
        node.outputs[0]: node.attributes["value"]
        for node in nodes
        if node.op == "Constant" and node.get("value") is not None
    }
    for name, array in {**constants, **inside}.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            continue
        bad = np.isnan(array) if users.get(name, set()) <= _MASKS else ~np.isfinite(array)
        if bad.any():
            place = tuple(int(axis[0]) for axis in np.nonzero(np.atleast_1d(bad)))
            raise NonFiniteError(
                f"{path}: {int(bad.sum())} of {array.size} weights in {name!r} are not finite",
                wanted="finite weights",
                got=f"{np.atleast_1d(array)[place]} at {list(place)}",
                hint="the training diverged or the file is damaged; export a sound checkpoint",
            )
