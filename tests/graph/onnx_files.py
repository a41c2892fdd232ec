"""Small ONNX files made by hand, and onnxruntime's answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

TYPES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
}
TYPES["float16"] = TensorProto.FLOAT16


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    constants: Mapping[str, Any] | None = None,
    *,
    output: str = "y",
    opset: int = 17,
    dtype: str = "float32",
) -> onnx.ModelProto:
    """A model with float inputs, one output of unknown shape, and constants from arrays."""
    values = [helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, shape in inputs.items()]
    made = helper.make_graph(
        list(nodes),
        "g",
        values,
        [helper.make_tensor_value_info(output, TYPES[dtype], None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 22 else 10)


def write(model: onnx.ModelProto, folder: Path, name: str = "m.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def runtime(model: onnx.ModelProto, **inputs: NDArray[Any]) -> NDArray[Any]:
    """The first output by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, inputs)[0])
