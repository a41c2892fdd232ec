"""Values of ONNX files that no input changes, alone and beside others, asked about by a query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from robust.cli.solve import Solver
from robust.errors import GraphError, UnsupportedOperatorError
from robust.graph.onnx_constant import ConstantValue
from robust.graph.onnx_file import read_onnx
from robust.graph.onnx_module import OnnxModule
from robust.graph.onnx_plan import depends_on_input
from tests.graph.onnx_files import graph, write
from verifiers.deadline import Deadline

SHAPE = helper.make_node("Shape", ["x"], ["y"])
QUERY = """(vnnlib-version <2.0>)
(declare-network N (declare-input X float32 {shape}) {outputs})
{box}
{asked}
"""


def query(folder: Path, shape: list[int], outputs: str, asked: str) -> Path:
    names = [f"X[{','.join(map(str, place))}]" for place in np.ndindex(*shape)]
    box = "\n".join(f"(assert (>= {name} 0.0))\n(assert (<= {name} 1.0))" for name in names)
    path = folder / "q.vnnlib"
    path.write_text(QUERY.format(shape=shape, outputs=outputs, box=box, asked=asked))
    return path


def shape_of(size: list[int | str]) -> onnx.ModelProto:
    model = graph([SHAPE], {"x": size})
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


def answer(folder: Path, model: onnx.ModelProto, question: Path) -> str:
    return Solver().solve(question, {"N": write(model, folder)}, Deadline(20)).text()


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [("(>= Y[0] 3)", "unsat"), ("(<= Y[1] 2)", "unsat"), ("(>= Y[0] 2)", "sat"), ("(<= Y[1] 3)", "sat")],
)
def test_a_shape_is_known_whatever_the_input(tmp_path: Path, asked: str, wanted: str) -> None:
    """The input of the file is [2, 3]: 2 of them is no batch."""
    question = query(tmp_path, [2, 3], "(declare-output Y int64 [2])", f"(assert {asked})")
    lines = answer(tmp_path, shape_of([2, 3]), question).split("\n")
    assert lines[0] == wanted
    if wanted == "sat":
        assert lines[-3:] == ["Y int64 [2]", "2", "3"]


def test_a_free_batch_is_the_one_of_the_query(tmp_path: Path) -> None:
    question = query(tmp_path, [1, 3], "(declare-output Y int64 [2])", "(assert (>= Y[0] 2))")
    assert answer(tmp_path, shape_of(["N", 3]), question) == "unsat"


@pytest.mark.parametrize(("limit", "wanted"), [("7.5", "unsat"), ("6.5", "sat")])
def test_a_constant_beside_a_value_that_varies(tmp_path: Path, limit: str, wanted: str) -> None:
    """y = x + 1 and z = 2 * 3.5: z is 7 for every x, and y + z lies in [8, 9]."""
    nodes = [helper.make_node("Add", ["x", "one"], ["y"]), helper.make_node("Mul", ["two", "c"], ["z"])]
    model = graph(nodes, {"x": [1, 1]}, {"one": np.float32([[1]]), "two": np.float32([2]), "c": np.float32([3.5])})
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    outputs = "(declare-output Y float32 [1,1]) (declare-output Z float32 [1])"
    asked = f"(assert (>= Z[0] {limit}))\n(assert (>= (+ Y[0,0] Z[0]) 8.25))"
    found = answer(tmp_path, model, query(tmp_path, [1, 1], outputs, asked)).split("\n")
    assert found[0] == wanted
    assert wanted == "unsat" or found[-2:] == ["Z float32 [1]", "7.0"]


def test_the_module_by_hand(tmp_path: Path) -> None:
    file = read_onnx(write(shape_of([2, 3]), tmp_path))
    module = ConstantValue(file, "y", [(2, 3)])
    assert module(torch.full((4, 2, 3), 3e38)).tolist() == [[2, 3]] * 4
    assert not depends_on_input(file, "y")
    with pytest.raises(GraphError, match="does not depend on the input"):
        OnnxModule(file)  # an audit still refuses a constant model


def test_what_cannot_be_said_exactly_is_refused(tmp_path: Path) -> None:
    sum_of_two = helper.make_node("Add", ["big", "one"], ["y"])
    model = graph([sum_of_two], {"x": [1, 3]}, {"big": np.array([2**24]), "one": np.array([1])})
    with pytest.raises(GraphError, match="float32 cannot hold"):
        ConstantValue(read_onnx(write(model, tmp_path)), "y", [(1, 3)])


def test_noise_is_no_constant(tmp_path: Path) -> None:
    noise = helper.make_node("RandomNormal", [], ["y"], shape=[1])
    file = read_onnx(write(graph([noise], {"x": [1, 3]}), tmp_path))
    with pytest.raises(UnsupportedOperatorError, match="RandomNormal"):
        ConstantValue(file, "y", [(1, 3)])
