"""``robust verify``: verdicts by hand on tiny networks, in the words and exit statuses of the solver interface."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robust.cli.solve import Solver
from robust.cli.verify import solver_main
from robust.graph import trace
from robust.graph.onnx_file import read_onnx
from robust.graph.query_network import QueryNetwork
from robust.properties.vnnlib import read_query
from tests.cli.conftest import ROOT, Robust
from tests.verifiers.proof_replay import replay
from verifiers import Network
from verifiers.proof_file import read_proof

SHARED = ROOT.parent / "shared" / "vnncomp"
FIRST = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(assert (>= X_0 0))(assert (<= X_0 1))(assert (>= X_1 0.1))(assert (<= X_1 0.7))\n"


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    *,
    inputs: dict[str, list[int]],
    outputs: dict[str, list[int]],
    **weights: list[float],
) -> Path:
    constants = [numpy_helper.from_array(np.array(value, dtype=np.float32), name) for name, value in weights.items()]
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in group.items()]
        for group in (inputs, outputs)
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", infos[0], infos[1], constants), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    content = model.SerializeToString()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """``h = [x0 + x1, x0 - x1]``, ``y = relu(h)``."""
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    return save(tmp_path / "m.onnx", nodes, inputs={"x": [1, 2]}, outputs={"y": [1, 2]}, w=[[1, 1], [1, -1]], b=[0, 0])  # type: ignore[list-item]


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


VERDICTS = [
    # y0 = x0 + x1 in [.1, 1.7], y1 = relu(x0 - x1) in [0, .9]; ends are decimal, so that their borders are not reached
    ("(assert (>= Y_0 1.71))", "unsat"),
    ("(assert (>= Y_0 1.69))", "sat"),
    ("(assert (<= Y_0 0.09))", "unsat"),
    ("(assert (<= Y_1 -0.001))", "unsat"),
    ("(assert (<= Y_1 0))", "sat"),
    ("(assert (< Y_1 0))", "unknown"),  # the border belongs to the closed set, which bounds cannot exclude
    ("(assert (or (and (>= Y_0 3) (<= Y_1 0)) (and (>= Y_1 0.91))))", "unsat"),
    ("(assert (or (and (>= Y_0 3) (<= Y_1 0)) (and (>= Y_1 0.89))))", "sat"),
    ("(assert (<= (+ X_0 X_1) 0.2))(assert (<= Y_0 0.15))", "sat"),
    ("(assert (>= (+ X_0 X_1) 1.75))", "unsat"),
    ("(assert (= Y_1 0))", "sat"),
    ("(assert (or (and (>= X_0 2) (<= Y_0 5)) (and (<= X_0 -1) (<= Y_0 5))))", "unsat"),
]


@pytest.mark.parametrize(("text", "verdict"), VERDICTS)
def test_verdicts_by_hand(robust: Robust, model: Path, tmp_path: Path, text: str, verdict: str) -> None:
    query = write(tmp_path / "q.vnnlib", FIRST + BOX + text)
    result = robust("verify", query, "--network", f"any={model}", "--timeout", "20")
    assert result.out.splitlines()[0] == verdict, result.err
    assert result.status == 0
    assert robust("verify", str(model), query).status == {"unsat": 0, "sat": 1, "unknown": 3}[verdict]
    if verdict == "sat":
        values = {name: float(value) for name, value in re.findall(r"\((\w+) (\S+?)\)", result.out)}
        x0, x1 = values["X_0"], values["X_1"]
        assert 0 <= x0 <= 1
        assert 0.1 <= x1 <= 0.7
        assert values["Y_0"] == pytest.approx(x0 + x1, abs=1e-6)
        assert values["Y_1"] == pytest.approx(max(0, x0 - x1), abs=1e-6)
        point = np.array([[values["Y_0"], values["Y_1"], x0, x1]])
        import torch

        (case, *_) = read_query(query).cases
        assert case.reached(torch.from_numpy(point[:, : case.unsafe.outputs])).item()
    else:
        assert len(result.out.splitlines()) == 1


def test_an_input_that_no_float32_equals_is_answered_with_its_text(robust: Robust, model: Path, tmp_path: Path) -> None:
    text = FIRST + "(assert (= X_0 0.1))(assert (<= X_1 1))(assert (>= X_1 0))(assert (>= Y_0 1.05))"
    query = write(tmp_path / "q.vnnlib", text)
    result = robust("verify", query, "--network", f"N={model}")
    assert result.out.startswith("sat\n((X_0 0.1)\n")


def test_version_2_assignment(robust: Robust, model: Path, tmp_path: Path) -> None:
    text = """(vnnlib-version <2.0>)
    (declare-network f (declare-input A float32 [1,2]) (declare-hidden H float32 [1,2] "h")
                       (declare-output B float32 [1,2]))
    (declare-network g (equal-to f) (declare-input C float32 [1,2]) (declare-hidden K float32 [1,2] "h")
                       (declare-output D float32 [1,2]))
    (assert (and (== A[0,0] 0.25) (== A[0,1] 0.5) (== C[0,0] 1) (== C[0,1] 0.5)))
    (assert (<= H[0,1] 0)) """
    query = write(tmp_path / "q.vnnlib", text + "(assert (> D[0,1] B[0,1]))")
    result = robust("verify", query, "--network", f"f={model}", "--timeout", "20")
    assert result.out.split("\n") == [
        *(
            "sat",
            "A float32 [1,2]",
            "0.25",
            "0.5",
            "H float32 [1,2]",
            "0.75",
            "-0.25",
            "B float32 [1,2]",
            "0.75",
            "0.0",
        ),
        *("C float32 [1,2]", "1.0", "0.5", "K float32 [1,2]", "1.5", "0.5", "D float32 [1,2]", "1.5", "0.5", ""),
    ]
    query = write(tmp_path / "q.vnnlib", text + "(assert (<= D[0,1] (+ B[0,1] 0.4)))")
    assert robust("verify", query, "--network", f"f={model}").out == "unsat\n"


def test_zonotopes_answer_alone(robust: Robust, model: Path, tmp_path: Path) -> None:
    box = FIRST + "(assert (<= X_0 1))(assert (>= X_0 0))(assert (<= X_1 1))(assert (>= X_1 0))"
    for tail, verdict in (("(assert (>= Y_0 100))", "unsat"), ("(assert (<= Y_0 100))", "unknown")):
        query = write(tmp_path / "q.vnnlib", box + tail)
        words = ("verify", query, "--network", f"N={model}", "--engine", "zonotope")
        assert robust(*words).out.split("\n")[0] == verdict


def test_two_inputs_and_two_outputs_keep_their_order(robust: Robust, tmp_path: Path) -> None:
    nodes = [helper.make_node("Sub", ["a", "b"], ["d"]), helper.make_node("Add", ["a", "b"], ["s"])]
    two = {"a": [1, 1], "b": [1, 1]}
    model = save(tmp_path / "two.onnx.gz", nodes, inputs=two, outputs={"d": [1, 1], "s": [1, 1]})
    text = """(vnnlib-version <2.0>)
    (declare-network N (declare-input P real [1,1]) (declare-input Q real [1,1])
                       (declare-output D real [1,1]) (declare-output S real [1,1]))
    (assert (and (>= P[0,0] 0) (<= P[0,0] 1) (>= Q[0,0] 10) (<= Q[0,0] 11)))"""
    for tail, verdict in (("(>= D[0,0] -8)", "unsat"), ("(<= D[0,0] -10)", "sat"), ("(<= S[0,0] 9.9)", "unsat")):
        query = write(tmp_path / "q.vnnlib", f"{text}(assert {tail})")
        assert robust("verify", query, "--network", f"N={model}").out.split("\n")[0] == verdict


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "a model and a query are needed"),
        (("q.vnnlib",), "a model and a query are needed"),
        (("q.vnnlib", "--network", "m.onnx"), "NAME=MODEL"),
        (("q.vnnlib", "--network", "N=nowhere.onnx"), "cannot read the ONNX file"),
        (("nowhere.vnnlib", "--network", "N=m.onnx"), "cannot read the query"),
        (("q.vnnlib", "--network", "N=m.onnx", "--timeout", "-1"), "a timeout is a number of seconds"),
        (("q.vnnlib", "--network", "N=m.onnx", "--engine", "magic"), "magic"),
        (("q.vnnlib", "--network", "N=m.onnx", "--network", "M=m.onnx"), "do not fit the networks"),
        (("three.vnnlib", "--network", "N=m.onnx"), "another number of"),
        (("wide.vnnlib", "--network", "N=m.onnx"), "as many inputs"),
        (("--instances", "nowhere.csv"), "cannot read the list"),
        (("m.onnx", "q.vnnlib", "--proof", "gone/p.npz"), "cannot write the proof"),
        (("m.onnx", "q.vnnlib", "--proofs", "folder"), "--proofs is for a list"),
        (("--instances", "list.csv", "--proof", "p.npz"), "--proof is for one query"),
    ],
)
def test_bad_usage_is_status_2(
    robust: Robust, model: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    write(tmp_path / "q.vnnlib", FIRST + BOX + "(assert (<= Y_0 9))")
    write(tmp_path / "three.vnnlib", FIRST + "(declare-const Y_2 Real)" + BOX + "(assert (<= Y_2 9))")
    wide = "(declare-const X_2 Real)(assert (>= X_2 0))(assert (<= X_2 1))"
    write(tmp_path / "wide.vnnlib", FIRST + wide + BOX + "(assert (<= Y_1 9))")
    result = robust("verify", *words)
    assert (result.status, result.out) == (2, "")
    assert message in result.err


def test_a_list_in_one_process(robust: Robust, model: Path, tmp_path: Path) -> None:
    write(tmp_path / "no.vnnlib", FIRST + BOX + "(assert (>= Y_0 1.71))")
    packed = tmp_path / "yes.vnnlib.gz"
    packed.write_bytes(gzip.compress((FIRST + BOX + "(assert (>= Y_0 1.5))").encode()))
    rows = "onnx,vnnlib,timeout_s,expected\nm.onnx,no.vnnlib,9,unsat\nm.onnx,yes.vnnlib,9,sat\n"
    write(tmp_path / "list.csv", rows)
    result = robust("verify", "--instances", "list.csv", "--output", "results.csv")
    assert result.status == 0
    assert [line.split()[0] for line in result.out.splitlines()] == ["unsat", "sat"]
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        assert [row["verdict"] for row in csv.DictReader(file)] == ["unsat", "sat"]
    write(tmp_path / "list.csv", rows + "m.onnx,gone.vnnlib,9\n")
    assert robust("verify", "--instances", "list.csv").status == 2


def test_a_list_that_is_stopped_keeps_what_it_decided(
    robust: Robust, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "no.vnnlib", FIRST + BOX + "(assert (>= Y_0 1.71))")
    write(tmp_path / "list.csv", "m.onnx,no.vnnlib,9\nm.onnx,no.vnnlib,9\nm.onnx,no.vnnlib,9\n")
    solve, calls = Solver.solve, []

    def stopped(self: Solver, *words: Any) -> Any:
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return solve(self, *words)

    monkeypatch.setattr(Solver, "solve", stopped)
    assert robust("verify", "--instances", "list.csv", "--output", "results.csv").status == 130
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        assert [row["verdict"] for row in csv.DictReader(file)] == ["unsat"]


def test_a_choice_in_whole_numbers_is_decided(robust: Robust, tmp_path: Path) -> None:
    cast = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64)]
    path = save(tmp_path / "m.onnx", cast, inputs={"x": [1, 1]}, outputs={"y": [1, 1]})
    loaded = onnx.load(path)
    loaded.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    onnx.save(loaded, path)
    first = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 3.1))(assert (<= X_0 4.2))"
    for asked, verdict in (("(>= Y_0 4)", "sat"), ("(>= Y_0 4.5)", "unsat"), ("(<= Y_0 2.9)", "unsat")):
        write(tmp_path / "q.vnnlib", f"{first}(assert {asked})")
        assert robust("verify", "m.onnx", "q.vnnlib").out.splitlines()[0] == verdict


def test_a_proof_with_fixed_inputs_speaks_of_all_of_them(robust: Robust, tmp_path: Path) -> None:
    """``y = relu(x0 + 3 x1 - x2 - x3) - relu(x1 - x3)``, with all but ``x1`` and, at the end, ``x3`` fixed."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    weights = {"w": [[1, 0], [3, 1], [-1, 0], [-1, -1]], "b": [0, 0], "v": [[1], [-1]]}
    save(tmp_path / "m.onnx", nodes, inputs={"x": [1, 4]}, outputs={"y": [1, 1]}, **weights)  # type: ignore[arg-type]
    declared = "".join(f"(declare-const X_{place} Real)" for place in range(4)) + "(declare-const Y_0 Real)"
    ends = (
        (0.5, 0.5),
        (-1, 1),
        (0.3, 0.3),
        (-0.1, -0.1),
    )  # y = max(0, 3 x1 + .3) - max(0, x1 + .1) = max(0, 2 x1 + .2)
    box = "".join(
        f"(assert (>= X_{place} {low}))(assert (<= X_{place} {high}))" for place, (low, high) in enumerate(ends)
    )
    write(tmp_path / "no.vnnlib", f"{declared}{box}(assert (<= Y_0 -0.01))")
    write(tmp_path / "yes.vnnlib", f"{declared}{box}(assert (>= Y_0 2.19))")
    for engine in ("all", "input-splitting", "neuron-splitting"):
        asked = ("verify", "m.onnx", "no.vnnlib", "--engine", engine, "--proof", "no.npz")
        assert robust(*asked).out == "unsat\n"
        assert robust("check", "no.npz", "m.onnx", "no.vnnlib").out.startswith("valid")
    sat = robust("verify", "m.onnx", "yes.vnnlib").out
    assert sat.startswith("sat")
    assert "X_0 0.5" in sat


def test_a_proof_is_written_for_an_answer_alone(robust: Robust, model: Path, tmp_path: Path) -> None:
    write(tmp_path / "no.vnnlib", FIRST + BOX + "(assert (or (and (>= Y_0 1.71)) (and (<= X_0 0.5) (>= Y_0 1.3))))")
    write(tmp_path / "yes.vnnlib", FIRST + BOX + "(assert (>= Y_0 1.5))")
    assert robust("verify", "m.onnx", "yes.vnnlib", "--proof", "yes.npz").status == 1
    witness = read_proof(tmp_path / "yes.npz").header["witness"]
    assert float(witness["outputs"][0]) >= 1.5
    assert robust("check", "yes.npz", "m.onnx", "yes.vnnlib").out.startswith("valid\nIn real numbers an input")
    assert robust("verify", "m.onnx", "no.vnnlib", "--engine", "search", "--proof", "open.npz").status == 3
    assert not (tmp_path / "open.npz").exists()
    assert robust("verify", "m.onnx", "no.vnnlib", "--proof", "no.npz").out == "unsat\n"
    proof = read_proof(tmp_path / "no.npz")
    assert proof.header["query"] == hashlib.sha256((tmp_path / "no.vnnlib").read_bytes()).hexdigest()
    assert proof.header["models"] == {"": hashlib.sha256(model.read_bytes()).hexdigest()}
    assert [node["op"] for node in proof.header["nodes"]].count("relu") == 1
    query = read_query(tmp_path / "no.vnnlib")
    assert len(proof.cases) == len(query.cases) == len(proof.header["cases"])
    bound = QueryNetwork(query, {"": read_onnx(model)})
    network = Network(trace(bound.module, (2,), device=torch.device("cpu")))
    for entry, arrays, case in zip(proof.header["cases"], proof.cases, query.properties(), strict=True):
        assert replay(entry["tree"], arrays, network, case) >= 1


def test_proofs_of_a_list(robust: Robust, model: Path, tmp_path: Path) -> None:
    write(tmp_path / "no.vnnlib", FIRST + BOX + "(assert (>= Y_0 1.71))")
    packed = gzip.compress((FIRST + BOX + "(assert (>= Y_0 1.5))").encode())
    (tmp_path / "yes.vnnlib.gz").write_bytes(packed)
    (tmp_path / "also.vnnlib.gz").write_bytes(gzip.compress((tmp_path / "no.vnnlib").read_bytes()))
    write(tmp_path / "list.csv", "m.onnx,yes.vnnlib,9\nm.onnx,no.vnnlib,9\nm.onnx,also.vnnlib,9\n")
    words = ("--instances", "list.csv", "--output", "results.csv", "--proofs", "kept/proofs")
    assert robust("verify", *words).status == 0
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        assert [row["proof"] for row in csv.DictReader(file)] == ["00001.npz", "00002.npz", "00003.npz"]
    folder = tmp_path / "kept" / "proofs"
    assert sorted(path.name for path in folder.iterdir()) == ["00001.npz", "00002.npz", "00003.npz"]
    headers = [read_proof(folder / name).header for name in ("00002.npz", "00003.npz")]
    assert headers[0]["query"] == headers[1]["query"]  # the same text, packed or not


def test_supports_and_help(robust: Robust) -> None:
    assert robust("supports", "--onnx-opset-versions").out == "9\n24\n"
    assert robust("supports", "--vnnlib-versions").out == "1.0\n2.0\n"
    assert robust("supports", "--serialise-assignments").out == "false\n"
    operators = robust("supports", "--onnx-operators").out.splitlines()
    assert {"Gemm", "Relu", "Conv"} <= set(operators)
    assert robust("supports", "--magic").status == 2
    assert "verify" in robust("--help").out
    assert "--timeout" in robust("verify", "--help").out


def test_a_query_waits_for_nothing_that_only_an_audit_needs(model: Path, tmp_path: Path) -> None:
    query = write(tmp_path / "q.vnnlib", FIRST + BOX + "(assert (>= Y_0 1.71))")
    heavy = ("typer", "rich", "pydantic", "pandas", "scipy", "sklearn", "onnxruntime", "z3", "foolbox")
    code = (
        f"import sys\nsys.argv = ['robust', 'verify', {query!r}, '--network', 'N={model}']\n"
        "from robust.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('HEAVY', [name for name in {heavy!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.stdout == "unsat\nHEAVY []\n", result.stdout + result.stderr


KNOWN = [
    ("acasxu", "ACASXU_run2a_1_7_batch_2000", "prop_3", "sat"),
    ("acasxu", "ACASXU_run2a_2_1_batch_2000", "prop_2", "sat"),
    ("mnist_fc", "mnist-net_256x2", "prop_1_0.03", "sat"),
    ("rl_benchmarks", "cartpole", "cartpole_case_unsafe_0", "unsat"),
]


@pytest.mark.skipif(not SHARED.is_dir(), reason="no benchmarks beside the checkout")
@pytest.mark.parametrize(("folder", "network", "query", "verdict"), KNOWN)
def test_known_verdicts(robust: Robust, folder: str, network: str, query: str, verdict: str) -> None:
    model = SHARED / folder / "onnx" / f"{network}.onnx.gz"
    text = SHARED / folder / "vnnlib" / f"{query}.vnnlib.gz"
    result = robust("verify", str(text), "--network", f"N={model}", "--timeout", "30")
    assert result.out.splitlines()[0] in (verdict, "unknown")
    if verdict == "sat":
        assert result.out.splitlines()[0] == verdict


def test_a_data_set_goes_to_its_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped digits within a tiny radius: right and certified, so status 0; without --eps a usage error."""
    digits = Path(__file__).parents[2] / "examples" / "digits"
    words = ["verify", str(digits / "classifier.onnx"), "--data", str(digits / "test.npz"), "--limit", "10"]
    assert solver_main([*words, "--eps", "1/1000", "--quiet", "--json", "-"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert found
    assert solver_main(words) == 2
    assert "--eps" in capsys.readouterr().err


def test_the_watch_of_an_answered_query_is_called_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, query = tmp_path / "m.onnx", tmp_path / "q.vnnlib"
    weight = numpy_helper.from_array(np.array([[1.0]], dtype=np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "one", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), model)
    query.write_text(
        "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))(assert (>= Y_0 2))"
    )
    assert solver_main(["verify", str(model), str(query), "--timeout", "60"]) == 0
    assert capsys.readouterr().out.startswith("unsat")
    assert not [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, threading.Timer) and thread.is_alive() and not thread.finished.is_set()
    ]
