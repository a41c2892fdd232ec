"""Whole proofs: true ones are established, forged and broken ones never say more than is true."""

from __future__ import annotations

import hashlib
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from typer.testing import CliRunner

from robust.checker.boxes import covers
from robust.checker.check import check_proof
from robust.checker.verdict import Established, InvalidError, NotEstablishedError, RefusedError
from robust.cli.app import app
from tests.checker.files import arrays_of, dense_model, prove, query_file
from tests.verifiers.branching.exact import GAPS, drawn, exact_minimum

REJECTED = (InvalidError, NotEstablishedError, RefusedError)
Arrays = dict[str, NDArray[np.generic]]


def network(seed: int, sizes: tuple[int, ...]) -> list[nn.Linear]:
    generator = torch.Generator().manual_seed(seed)
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
    for layer in layers:
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
        layer.bias.data = torch.randn(layer.bias.shape, generator=generator) / 2
    return layers


Made = tuple[Path, Path, Path]


def made(folder: Path, inputs: int, engine: str, function: str = "Relu") -> Made:
    """A model, a query near its minimum with two clauses, and a proof."""
    layers = network(3, (inputs, 12, 12, 2))
    model = dense_model(layers, folder / "m.onnx", function)
    chain = [part for layer in layers for part in (layer, {"Relu": nn.ReLU, "Tanh": nn.Tanh}[function]())][:-1]
    x = 2 * torch.rand(200_000, inputs, generator=torch.Generator().manual_seed(0)) - 1
    with torch.no_grad():
        y = nn.Sequential(*chain)(x)
    first, second = float(y[:, 0].min()) - 0.4, float((y[:, 0] - y[:, 1]).min()) - 0.4
    clauses = f"(assert (or (<= Y_0 {first}) (and (<= Y_0 (+ Y_1 {second})) (<= Y_0 100))))"
    query = query_file(folder / "q.vnnlib", ["-1.0"] * inputs, ["1.0"] * inputs, 2, clauses)
    answer = prove(model, query, folder / "p.npz", engine)
    assert answer.result == "unsat", answer.reason
    return folder / "p.npz", model, query


@pytest.fixture(scope="module")
def by_boxes(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("boxes"), 2, "input-splitting")


@pytest.fixture(scope="module")
def by_neurons(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("neurons"), 3, "neuron-splitting")


def rewritten(arrays: Arrays, path: Path) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def test_proofs_by_boxes_are_established(by_boxes: Made) -> None:
    found = check_proof(*by_boxes)
    assert found.rows > 10
    assert found.added == 0
    assert found.smallest >= 0


def test_proofs_by_neurons_are_established(by_neurons: Made) -> None:
    found = check_proof(*by_neurons)
    assert found.rows > 20
    assert found.smallest > 0


def test_a_bent_network_is_established_with_boxes_of_its_own(tmp_path: Path) -> None:
    assert check_proof(*made(tmp_path, 2, "input-splitting", "Tanh")).smallest >= 0


def test_the_command_says_what_was_established(by_boxes: Made, tmp_path: Path) -> None:
    proof, model, query = map(str, by_boxes)
    said = CliRunner().invoke(app, ["check", proof, model, query])
    assert (said.exit_code, said.output.split()[0]) == (0, "valid")
    other = query_file(tmp_path / "other.vnnlib", ["-1.0"] * 2, ["1.0"] * 2, 2, "(assert (<= Y_0 0.0))")
    said = CliRunner().invoke(app, ["check", proof, model, str(other)])
    assert (said.exit_code, said.output.split()[0]) == (1, "invalid")
    assert "the query" in said.output


MOVES: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "b": lambda old: (not old,),
    "i": lambda old: (old + 1, old - 1, -7),
    "f": lambda old: (old + 0.3, -old, np.nan, np.inf),
}


def changes(arrays: Arrays, most: int) -> Iterator[tuple[str, Arrays]]:
    """Every array with numbers moved, one change at a time."""
    random = np.random.default_rng(0)
    for name, value in arrays.items():
        if name == "header" or value.dtype.kind not in MOVES or not value.size:
            continue
        for place in random.permutation(value.size)[:most]:
            changed = value.copy().reshape(-1)
            old = changed[place]
            for new in MOVES[value.dtype.kind](old):
                if new == old:
                    continue
                changed[place] = new
                larger = (name.endswith("/lower") and new < old) or (name.endswith("/upper") and new > old)
                what = "a larger box" if larger else f"{name}[{place}]={new}"
                yield what, {**arrays, name: changed.reshape(value.shape)}


@pytest.mark.parametrize("made_by", ["by_boxes", "by_neurons"])
def test_a_changed_number_is_rejected_or_harmless(made_by: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The property is true, so that ``valid`` stays true; what matters is that most changes are seen."""
    proof, model, query = request.getfixturevalue(made_by)
    arrays, seen, through = arrays_of(proof), 0, []
    for what, changed in changes(arrays, 3):
        try:
            assert check_proof(rewritten(changed, tmp_path / "c.npz"), model, query).smallest >= 0
            through.append(what)
        except REJECTED:
            seen += 1
    harmless = (
        "a larger box",
        "bound",
        "slope",
        "weight",
        "multiplier",
        "cut_",
        "inherits",
        "owner",
        "/root",
        "columns",
        "ground",
        "threshold",
    )
    assert seen > 20
    assert not [what for what in through if not any(name in what for name in harmless)]


def leaves_dropped(arrays: Arrays) -> Arrays:
    count = len(arrays["0/parent"]) - 1
    rows = ("parent", "inherits", "lower", "upper", "bound", "cut_lower", "cut_upper", "owner")
    return {name: value[:count] if name.partition("/")[2] in rows else value for name, value in arrays.items()}


def split_shifted(arrays: Arrays) -> Arrays:
    upper = arrays["0/upper"].copy()
    leaf = int(np.flatnonzero(arrays["0/bound"] > 0)[-1])
    upper[leaf] = arrays["0/lower"][leaf] + 0.4 * (upper[leaf] - arrays["0/lower"][leaf])
    return {**arrays, "0/upper": upper}


def root_shrunk(arrays: Arrays) -> Arrays:
    lower = arrays["0/lower"].copy()
    lower[0] += 1e-9
    return {**arrays, "0/lower": lower}


@pytest.mark.parametrize("change", [leaves_dropped, split_shifted, root_shrunk])
def test_a_hole_in_the_cover_is_seen(by_boxes: Made, change: Callable[[Arrays], Arrays], tmp_path: Path) -> None:
    proof, model, query = by_boxes
    with pytest.raises(REJECTED):
        check_proof(rewritten(change(arrays_of(proof)), tmp_path / "c.npz"), model, query)


@pytest.mark.parametrize("change", ["side", "threshold", "question"])
def test_a_tree_that_splits_nothing_is_seen(by_neurons: Made, change: str, tmp_path: Path) -> None:
    proof, model, query = by_neurons
    arrays = arrays_of(proof)
    row = int(np.flatnonzero(arrays["0/parent"] >= 0)[0])
    column = arrays[f"0/{change}"].copy()
    column[row] = column[row] + 0.5 if change == "threshold" else 1 - column[row]
    with pytest.raises(InvalidError):
        check_proof(rewritten({**arrays, f"0/{change}": column}, tmp_path / "c.npz"), model, query)


@pytest.mark.parametrize("engine", ["input-splitting", "neuron-splitting"])
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(100, 200), marks=pytest.mark.slow)])
def test_a_proof_forged_for_what_is_violated_by_a_hair_is_not_valid(engine: str, seeds: range, tmp_path: Path) -> None:
    """Of a true statement the proof is taken, and the query exchanged, digest and all."""
    valid = 0
    for seed in seeds:
        layers = drawn(seed)
        minimum = exact_minimum(layers, -1.0, 1.0)
        model = dense_model(layers, tmp_path / f"m{seed}.onnx")
        size = max(1, abs(minimum))
        levels = [float(minimum - gap * size) for gap in GAPS]
        proof, headers = tmp_path / f"p{seed}.npz", []
        for place, level in enumerate(levels):
            query = query_file(tmp_path / f"q{place}.vnnlib", ["-1.0"], ["1.0"], 1, f"(assert (<= Y_0 {level!r}))")
            headers.append(query)
        assert prove(model, headers[0], proof, engine).result == "unsat"
        arrays = arrays_of(proof)
        for level, query in zip(levels, headers, strict=True):
            header = json.loads(arrays["header"].tobytes())
            header["query"] = hashlib.sha256(query.read_bytes()).hexdigest()
            forged = {**arrays, "header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
            try:
                found = check_proof(rewritten(forged, tmp_path / "f.npz"), model, query)
            except REJECTED:
                continue
            assert Fraction(level) < minimum, (seed, level)
            assert found.smallest <= float(minimum) - level + 1e-9 * size
            valid += 1
    assert valid >= len(seeds)


def flipped(arrays: Arrays, most: int | None, seed: int) -> Iterator[tuple[str, Arrays]]:
    """Every array with one bit of one number flipped; ``most`` drawn for each array, or every bit."""
    random = np.random.default_rng(seed)
    for name, value in arrays.items():
        if name == "header" or value.dtype.kind not in "bif" or not value.size:
            continue
        raw = np.frombuffer(value.tobytes(), np.uint8)
        bits = np.arange(8 * len(raw)) if most is None else random.permutation(8 * len(raw))[:most]
        for bit in bits.tolist():
            if value.dtype.kind == "b" and bit % 8:
                continue  # of a truth value one bit is the number
            changed = raw.copy()
            changed[bit // 8] ^= 1 << (bit % 8)
            yield f"{name} bit {bit}", {**arrays, name: changed.view(value.dtype).reshape(value.shape)}


@pytest.mark.parametrize("engine", ["input-splitting", "neuron-splitting"])
@pytest.mark.parametrize("most", [12, pytest.param(None, marks=pytest.mark.slow)], ids=["some", "every bit"])
def test_no_bit_makes_a_proof_of_what_is_violated(engine: str, most: int | None, tmp_path: Path) -> None:
    """The proof of a true statement, its query exchanged for one that is violated by a hair, and a bit flipped: never
    valid. With its own query the statement is true, whatever the bit: what passes then is counted."""
    layers = drawn(1)
    minimum = exact_minimum(layers, -1.0, 1.0)
    size = max(1, abs(minimum))
    model, queries = dense_model(layers, tmp_path / "m.onnx"), []
    for place, gap in enumerate((Fraction(1, 100), Fraction(-1, 10**9))):
        level = float(minimum - gap * size)
        assert (Fraction(level) < minimum) == (place == 0)
        path = tmp_path / f"q{place}.vnnlib"
        queries.append(query_file(path, ["-1.0"], ["1.0"], 1, f"(assert (<= Y_0 {level!r}))"))
    assert prove(model, queries[0], tmp_path / "p.npz", engine).result == "unsat"
    arrays, through, seen = arrays_of(tmp_path / "p.npz"), 0, 0
    header = json.loads(arrays["header"].tobytes())
    header["query"] = hashlib.sha256(queries[1].read_bytes()).hexdigest()
    false = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for what, changed in flipped(arrays, most, 0):
        try:
            assert check_proof(rewritten(changed, tmp_path / "t.npz"), model, queries[0]).smallest >= 0
            through += 1
        except REJECTED:
            seen += 1
        forged = rewritten({**changed, **false}, tmp_path / "f.npz")
        try:
            found = check_proof(forged, model, queries[1])
        except REJECTED:
            continue
        pytest.fail(f"{what}: {found}")
    assert seen > 10
    assert through > 10  # claimed bounds, lines, larger boxes: nothing rests on them


def test_hostile_files_are_refused(by_boxes: Made, tmp_path: Path) -> None:
    proof, model, query = by_boxes
    content = proof.read_bytes()
    for name, bad in (("empty", b""), ("text", b"hello"), ("half", content[: len(content) // 2])):
        path = tmp_path / name
        path.write_bytes(bad)
        with pytest.raises(REJECTED):
            check_proof(path, model, query)
    arrays = arrays_of(proof)
    for name, value in (
        ("header", np.array([object()], dtype=object)),
        ("0/parent", np.array(["x"])),
        ("0/lower", arrays["0/lower"][:, :1]),
        ("0/parent", np.full_like(arrays["0/parent"], -5)),
        ("0/parent", np.arange(len(arrays["0/parent"]))),
        ("0/varying", np.array([0, 0])),
        ("0/varying", np.array([0, 10**12])),
        ("header", np.frombuffer(b"[" * 100_000, np.uint8)),
        ("header", np.frombuffer(b'{"format": 1, "cases": 7}', np.uint8)),
    ):
        path = tmp_path / "h.npz"
        np.savez(path, allow_pickle=True, **{**arrays, name: value})  # type: ignore[arg-type]
        with pytest.raises(REJECTED):
            check_proof(path, model, query)


def test_a_gigantic_declared_size_is_refused_before_memory_is_taken(by_boxes: Made, tmp_path: Path) -> None:
    proof, model, query = by_boxes
    path = tmp_path / "g.npz"
    with zipfile.ZipFile(proof) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == "0/parent.npy":
                header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (999999999999,), }"
                header += b" " * (117 - len(header)) + b"\n"
                content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
            target.writestr(entry.filename, content)
    with pytest.raises(RefusedError, match="impossible sizes"):
        check_proof(path, model, query)


def test_a_witness_is_established_and_a_wrong_one_is_not(by_boxes: Made, tmp_path: Path) -> None:
    _, model, _ = by_boxes
    query = query_file(tmp_path / "q.vnnlib", ["-1.0"] * 2, ["1.0"] * 2, 2, "(assert (<= Y_0 (+ Y_1 100)))")
    path = tmp_path / "w.npz"
    answer = prove(model, query, path)
    assert answer.result == "sat"
    found = check_proof(path, model, query)
    assert found.falsified
    assert found.smallest > 50
    arrays = arrays_of(path)
    header = json.loads(arrays["header"].tobytes())
    for wrong in (["1.5", "0"], ["0"], ["nan", "0"], [0, 0], "x", ["1e99999", "0"]):
        forged = json.dumps({**header, "witness": {"inputs": wrong}}).encode()
        with pytest.raises(REJECTED):
            check_proof(rewritten({"header": np.frombuffer(forged, np.uint8)}, path), model, query)


def test_a_witness_within_rounding_is_not_established(tmp_path: Path) -> None:
    """``y = x0`` at 0.1, and thresholds a hair above and below."""
    layer = nn.Linear(1, 1)
    layer.weight.data, layer.bias.data = torch.ones(1, 1), torch.zeros(1)
    model = dense_model([layer], tmp_path / "m.onnx")
    for threshold, valid in (("0.1000000000001", True), ("0.1", False), ("0.0999999999999", False)):
        query = query_file(tmp_path / "q.vnnlib", ["0"], ["1"], 1, f"(assert (<= Y_0 {threshold}))")
        header = {
            "format": 1,
            "query": hashlib.sha256(query.read_bytes()).hexdigest(),
            "models": {"": hashlib.sha256(model.read_bytes()).hexdigest()},
            "witness": {"inputs": ["0.1"]},
        }
        path = rewritten({"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}, tmp_path / "w.npz")
        if valid:
            assert 0 < check_proof(path, model, query).smallest <= 1.1e-13
        else:
            with pytest.raises(NotEstablishedError):
                check_proof(path, model, query)


def test_boxes_cover() -> None:
    def box(*ends: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array([low for low, _ in ends], float), np.array([high for _, high in ends], float)

    whole = box((0, 1), (0, 1))
    halves = [box((0, 0.5), (0, 1)), box((0.5, 1), (0, 1))]
    assert covers(*whole, halves)
    assert covers(*whole, [halves[0], box((0.4, 1), (0, 0.3)), box((0.5, 1.5), (0.2, 1))])
    assert not covers(*whole, [halves[0], box((0.5, 1), (0, 0.999))])
    assert not covers(*whole, [halves[0], box((np.nextafter(0.5, 1), 1), (0, 1))])
    assert not covers(*whole, [])


def test_established_is_plain_data(by_boxes: Made) -> None:
    assert isinstance(check_proof(*by_boxes), Established)


def test_a_branch_without_a_constraint_on_outputs_is_never_proved(by_boxes: Made, tmp_path: Path) -> None:
    proof, model, _ = by_boxes
    query = query_file(tmp_path / "q.vnnlib", ["-1.0"] * 2, ["1.0"] * 2, 2, "(assert (or (<= X_0 1.0) (<= Y_0 -1000)))")
    arrays = arrays_of(proof)
    header = json.loads(arrays["header"].tobytes())
    header["query"] = hashlib.sha256(query.read_bytes()).hexdigest()
    forged = {**arrays, "header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    with pytest.raises(NotEstablishedError):
        check_proof(rewritten(forged, tmp_path / "f.npz"), model, query)


def test_a_child_beyond_its_parent_inherits_nothing_for_free(by_boxes: Made, tmp_path: Path) -> None:
    """All rows moved away from the input set, with their bounds: the root no longer holds the set."""
    proof, model, query = by_boxes
    arrays = arrays_of(proof)
    moved = {name: arrays[name] + 0.5 for name in ("0/lower", "0/upper", "0/cut_lower", "0/cut_upper")}
    with pytest.raises(InvalidError, match="smaller than the input set"):
        check_proof(rewritten({**arrays, **moved}, tmp_path / "c.npz"), model, query)
