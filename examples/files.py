"""Write trained modules as ONNX and safetensors, and arrays as .npz: the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from torch import nn

OPSET = 17
IR_VERSION = 8


class GraphWriter:
    """Collects nodes and constants of one ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: Iterable[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def layers(self, modules: nn.Sequential, current: str, prefix: str, output: str) -> str:
        """One node per layer, named by its place; the last is named ``output``."""
        for place, layer in modules.named_children():
            last = layer is modules[-1]
            current = self.layer(layer, current, output if last else f"{prefix}.{place}")
        return current

    def layer(self, layer: nn.Module, current: str, name: str) -> str:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            weight = self.constant(f"{name}.weight", layer.weight.detach().numpy())
            bias = self.constant(f"{name}.bias", layer.bias.detach().numpy())
            if isinstance(layer, nn.Linear):
                return self.node("Gemm", (current, weight, bias), name, transB=1)
            (top, left) = (int(side) for side in layer.padding)
            return self.node(
                "Conv",
                (current, weight, bias),
                name,
                kernel_shape=list(layer.kernel_size),
                strides=list(layer.stride),
                pads=[top, left, top, left],
            )
        if isinstance(layer, nn.ReLU):
            return self.node("Relu", (current,), name)
        if isinstance(layer, nn.Sigmoid):
            return self.node("Sigmoid", (current,), name)
        if isinstance(layer, nn.Flatten):
            return self.node("Flatten", (current,), name, axis=1)
        if isinstance(layer, nn.Unflatten):
            shape = self.constant(f"{name}.shape", np.array([-1, *layer.unflattened_size], dtype=np.int64))
            return self.node("Reshape", (current, shape), name)
        raise TypeError(f"no ONNX operator is written for {type(layer).__name__} at {name}")

    def save(self, path: Path, inputs: list[onnx.ValueInfoProto], output: onnx.ValueInfoProto, title: str) -> None:
        graph = helper.make_graph(self.nodes, title, inputs, [output], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString(deterministic=True))


def batch_of(name: str, shape: Iterable[int], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """An input or output with a free first axis."""
    return helper.make_tensor_value_info(name, kind, ["N", *shape])


def save_weights(module: nn.Module, path: Path) -> None:
    save_file({key: value.detach().contiguous() for key, value in module.state_dict().items()}, str(path))


def save_arrays(path: Path, samples: np.ndarray, labels: np.ndarray) -> None:
    np.savez_compressed(path, samples=samples, labels=labels)
