"""Small models and data that no maker of a check has seen: linear classifiers whose answers are known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 4


def write_onnx(path: Path, weight: NDArray[np.float64], bias: NDArray[np.float64], operators: tuple[str, ...]) -> None:
    """``[n, 1, SIDE, SIDE]`` flattened, times ``weight``, plus ``bias``, through elementwise ``operators``."""
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["h0"])]
    nodes += [helper.make_node(name, [f"h{i}"], [f"h{i + 1}"]) for i, name in enumerate(operators)]
    last = f"h{len(operators)}"
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", weight.shape[1]])],
        [
            numpy_helper.from_array(weight.astype(np.float32), "w"),
            numpy_helper.from_array(bias.astype(np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def brightest_rows(count: int, classes: int = SIDE) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pictures in [0, 1] whose class is the row that is bright; noise elsewhere."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    samples = rng.uniform(0, 0.4, (count, 1, SIDE, SIDE))
    samples[np.arange(count), 0, labels] += 0.5
    return samples.astype(np.float32), labels.astype(np.int64)


def row_weights(classes: int = SIDE) -> NDArray[np.float64]:
    """``[16, classes]``: the logit of a class is four times the mean brightness of its row."""
    weight = np.zeros((SIDE * SIDE, classes))
    for row in range(classes):
        weight[row * SIDE : (row + 1) * SIDE, row] = 4.0
    return weight


def write_rows(path: Path, classes: int = SIDE) -> None:
    """A classifier that answers with the brightest row, always rightly on ``brightest_rows``."""
    write_onnx(path, row_weights(classes), np.zeros(classes), ())
