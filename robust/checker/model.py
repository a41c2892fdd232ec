"""An ONNX file as a ``Program``. Nothing is run; constants keep their stored values, which are exact in float64."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from robust.checker.operators import OPERATORS, Array, Value, Varying
from robust.checker.program import Program, Step
from robust.checker.verdict import NotEstablishedError, RefusedError

MOST_BYTES = 2**32
PIECE = 2**20


def read_model(path: Path) -> tuple[Program, str]:
    """The program of a model file, and the sha256 of what it holds (unpacked, if it is gzipped).

    Raises:
        RefusedError: no ONNX file with one input and one output of known sizes.
        NotEstablishedError: an operator that this checker does not know.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

    content = unpacked(path)
    try:
        proto = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise RefusedError(f"{path} is no ONNX model: {error}") from error
    return _Reader(proto, path).program(), hashlib.sha256(content).hexdigest()


def unpacked(path: Path) -> bytes:
    """The content of a file, unpacked where its name ends in ``.gz``.

    Raises:
        RefusedError: it cannot be read, or is larger than any that makes sense.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            parts, size = [], 0
            while part := file.read(PIECE):
                parts.append(part)
                size += len(part)
                if size > MOST_BYTES:
                    raise RefusedError(f"{path} unpacks to more than {MOST_BYTES} bytes")
    except (OSError, EOFError, zlib.error) as error:
        raise RefusedError(f"cannot read {path}: {error}") from error
    return b"".join(parts)


class _Reader:
    def __init__(self, proto: Any, path: Path) -> None:
        import onnx

        self._path, self._proto = path, proto
        self.values: dict[str, Value] = {}
        self._numpy = onnx.numpy_helper
        for tensor in proto.graph.initializer:
            if tensor.data_location == tensor.EXTERNAL:
                raise NotEstablishedError(tensor.name, "its numbers are in another file, which no digest covers")
            self.values[tensor.name] = self._constant(tensor)
        inputs = [item for item in proto.graph.input if item.name not in self.values]
        if len(inputs) != 1 or len(proto.graph.output) != 1:
            raise RefusedError(f"{path} has {len(inputs)} inputs and {len(proto.graph.output)} outputs, not one each")
        shape = tuple(int(axis.dim_value) or 1 for axis in inputs[0].type.tensor_type.shape.dim)
        size = math.prod(shape)
        self.made = Program([Step("input", size)])
        self.values[inputs[0].name] = Varying(0, shape)

    def program(self) -> Program:
        for node in self._proto.graph.node:
            known = [self.values[name] if name else None for name in node.input]
            rule = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            if rule is None:
                raise NotEstablishedError(node.op_type, "this checker does not know the operator")
            attributes = {item.name: self._attribute(item) for item in node.attribute}
            try:
                found = rule(self.made, known, attributes)
            except (IndexError, KeyError, TypeError, ValueError) as error:
                raise NotEstablishedError(
                    node.op_type, f"in a form that this checker does not know: {error}"
                ) from error
            for name, value in zip(node.output, found, strict=False):
                self.values[name] = value
        output = self.values[self._proto.graph.output[0].name]
        if not isinstance(output, Varying):
            raise NotEstablishedError("the output", "it does not depend on the input")
        self.made.output = output.step
        return self.made

    def _constant(self, tensor: Any) -> Array:
        value = np.asarray(self._numpy.to_array(tensor))
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise NotEstablishedError(tensor.name, "a constant is no finite number")
        return value

    def _attribute(self, item: Any) -> Any:
        import onnx

        value = onnx.helper.get_attribute_value(item)
        return self._constant(value) if isinstance(value, onnx.TensorProto) else value
