"""Models, queries and proofs as files, for the checker's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from robust.cli.proofs import keep_proof
from robust.cli.solve import Answer, Solver
from verifiers.deadline import Deadline


def dense_model(layers: list[nn.Linear], path: Path, function: str = "Relu") -> Path:
    """A chain of Gemm and a function, of stored float32 weights."""
    nodes, weights, name = [], [], "x"
    for place, layer in enumerate(layers):
        for kind, value in (("w", layer.weight), ("b", layer.bias)):
            weights.append(numpy_helper.from_array(value.detach().numpy().astype(np.float32), f"{kind}{place}"))
        nodes.append(helper.make_node("Gemm", [name, f"w{place}", f"b{place}"], [f"z{place}"], transB=1))
        name = f"z{place}"
        if place < len(layers) - 1:
            nodes.append(helper.make_node(function, [name], [f"a{place}"]))
            name = f"a{place}"
    shapes = [1, layers[0].in_features], [1, layers[-1].out_features]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(("x", name), shapes, strict=True)]
    graph = helper.make_graph(nodes, "m", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def query_file(path: Path, low: list[str], high: list[str], outputs: int, constraints: str) -> Path:
    """A VNN-LIB 1 query over one box."""
    lines = [f"(declare-const X_{i} Real)" for i in range(len(low))]
    lines += [f"(declare-const Y_{i} Real)" for i in range(outputs)]
    for i, (least, most) in enumerate(zip(low, high, strict=True)):
        lines += [f"(assert (>= X_{i} {least}))", f"(assert (<= X_{i} {most}))"]
    path.write_text("\n".join([*lines, constraints]) + "\n", encoding="utf-8")
    return path


def prove(model: Path, query: Path, path: Path, engine: str = "all") -> Answer:
    """Decide a query, and keep the proof if there is one."""
    answer = Solver(engine=engine, keep_proof=True).solve(query, {"": model}, Deadline(60.0))
    if answer.result in ("sat", "unsat"):
        keep_proof(path, answer, query, {"": model})
    return answer


def arrays_of(path: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of a proof."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
