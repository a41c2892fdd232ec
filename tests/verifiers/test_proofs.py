"""Proofs of decisions, written and read: every leaf holds by itself, and what is changed is rejected."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robust.errors import UsageError
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from robust.record import Verdict
from robust.record.answer import NEITHER
from tests.verifiers.branching.test_input_splitting import random_network
from tests.verifiers.proof_replay import RejectedError, replay
from verifiers import Deadline, Network, bound_stages, decide
from verifiers.branching.outcome import Outcome
from verifiers.decide import BY_NAME, STAGES
from verifiers.proof_file import QueryProof, read_proof, write_proof

Arrays = dict[str, NDArray[Any]]
BY_SPLITS = ("input splitting", "neuron splitting")


def hard_case(network: Network, inputs: int, gap: float) -> Property:
    """Two clauses, of which the second has two constraints that are never met together; near to what is reached."""
    box = Box(-torch.ones(inputs).double(), torch.ones(inputs).double())
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(20_000, inputs, generator=generator).double() - 1
    x[: 2**inputs] = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=inputs))).double()
    y = network.to(torch.float64).graph.forward(x).reshape(len(x), -1)
    row = torch.eye(y.shape[1])[:1].double()
    both = torch.cat([row, torch.eye(y.shape[1])[1:2].double()])
    low = (y @ row.T).amin(0) - gap
    order = y[:, :2].sum(1).argsort()[:1]
    pair = y[order, :2][0] - gap
    return Property(box, UnsafeSet((Halfspaces(row, low), Halfspaces(both, torch.minimum(pair, low - gap)))))


def proof_of(network: Network, cases: list[Property], stages: tuple[str, ...], path: Path) -> QueryProof:
    chosen = [(name, stage) for name, stage in (*STAGES, *BY_NAME) if name in stages]
    found = decide(network, cases, deadline=Deadline(60.0), stages=chosen, keep_proof=True)
    assert found.verdict is Verdict.VERIFIED
    assert len(found.proofs) == len(cases)
    write_proof(path, "0" * 64, {"": "1" * 64}, [], found.proofs, found.meanings)
    return read_proof(path)


@pytest.fixture(scope="module")
def network() -> Network:
    return random_network(3, (3, 10, 10, 2))


@pytest.fixture(scope="module", params=BY_SPLITS)
def proved(request: pytest.FixtureRequest, network: Network, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    case = hard_case(network, 3, 0.02)
    return case, proof_of(network, [case], (request.param,), tmp_path_factory.mktemp("proof") / "p.npz"), request.param


def test_every_leaf_holds_by_itself(network: Network, proved: tuple[Property, QueryProof, str]) -> None:
    case, proof, stage = proved
    kind = proof.header["cases"][0]["tree"]
    assert proof.header["cases"] == [{"stage": stage, "tree": kind, "format": 2}]
    assert replay(kind, proof.cases[0], network, case) > 5
    if kind == "neurons":
        assert (proof.cases[0]["questions"][:, 2] == 0).sum() == 2
        assert_roots_hold(proof.cases[0], network)


def assert_roots_hold(arrays: Arrays, network: Network) -> None:
    x = 2 * torch.rand(5000, 3, generator=torch.Generator().manual_seed(1)).double() - 1
    values, start = network.to(torch.float64).graph.values(x), 0
    for _, node, count in arrays["root"].tolist():
        lower, upper = (torch.from_numpy(arrays[f"root_{end}"][start : start + count]) for end in ("lower", "upper"))
        assert bool(((values[node].flatten(1) >= lower) & (values[node].flatten(1) <= upper)).all())
        start += count
    assert start > 0


def without_row(arrays: Arrays, row: int) -> None:
    """A leaf is gone: rows behind it move up."""
    size = len(arrays["parent"])
    for name, column in arrays.items():
        if column.ndim and len(column) == size and name not in ("varying", "questions"):
            arrays[name] = np.delete(column, row, 0)
    parent = arrays["parent"]
    arrays["parent"] = np.where(parent > row, parent - 1, parent)
    if "leaf" in arrays:
        leaf = arrays["leaf"]
        arrays["leaf"] = np.where(leaf == row, size, np.where(leaf > row, leaf - 1, leaf))


def a_leaf(arrays: Arrays) -> int:
    """A leaf below a split, of a clause."""
    last = arrays["parent"].max()
    rows = np.setdiff1d(np.flatnonzero(arrays["parent"] == last), arrays["parent"])
    return int(rows[-1])


def dropped(arrays: Arrays) -> None:
    without_row(arrays, a_leaf(arrays))


def shifted(arrays: Arrays) -> None:
    """A leaf begins a little later than the split says; or is said to lie on the other side."""
    row = a_leaf(arrays)
    if "threshold" in arrays:
        arrays["threshold"][row] += 1e-3
    else:
        arrays["lower"][row] += 1e-3 * (arrays["upper"][row] - arrays["lower"][row])


def raised(arrays: Arrays) -> None:
    arrays["bound"][a_leaf(arrays)] += 1e-3


def moved(arrays: Arrays) -> None:
    """The other side of a split is said to be this one; or a cut leaves less than it may."""
    row = a_leaf(arrays)
    if "threshold" in arrays:
        arrays["side"][row] = 0
    else:
        arrays["cut_upper"][arrays["parent"][row]] = arrays["cut_lower"][arrays["parent"][row]]


def smaller_root(arrays: Arrays) -> None:
    """The root is not the whole input set; or a clause is asked about twice instead of another."""
    if "questions" in arrays:
        arrays["questions"][arrays["questions"][:, 2] == 0, 1] = 0
    else:
        arrays["upper"][0] *= 0.999


@pytest.mark.parametrize("change", [dropped, shifted, raised, moved, smaller_root])
def test_what_is_changed_is_rejected(
    network: Network, proved: tuple[Property, QueryProof, str], change: Callable[[Arrays], None]
) -> None:
    case, proof, _ = proved
    arrays = {name: column.copy() for name, column in proof.cases[0].items()}
    change(arrays)
    with pytest.raises(RejectedError):
        replay(proof.header["cases"][0]["tree"], arrays, network, case)


def test_without_multipliers_leaves_are_not_proved(network: Network, tmp_path: Path) -> None:
    case = hard_case(network, 3, 0.02)
    arrays = proof_of(network, [case], ("neuron splitting",), tmp_path / "p.npz").cases[0]
    arrays["slopes"] = np.full_like(arrays["slopes"], np.nan)  # lines of smallest area
    arrays["multiplier"] = np.zeros_like(arrays["multiplier"])
    with pytest.raises(RejectedError):
        replay("neurons", arrays, network, case)


@pytest.mark.parametrize("stage", ["interval", "zonotope", "crown", "alpha-crown"])
def test_stages_without_splits_leave_one_leaf(stage: str, network: Network, tmp_path: Path) -> None:
    cases = [hard_case(network, 3, gap) for gap in (8.0, 9.0)]
    proof = proof_of(network, cases, (stage,), tmp_path / "p.npz")
    for entry, arrays, case in zip(proof.header["cases"], proof.cases, cases, strict=True):
        assert entry["stage"] == stage
        assert replay(entry["tree"], arrays, network, case) == (2 if entry["tree"] == "neurons" else 1)
        closer = Property(case.inputs, hard_case(network, 3, -0.5).unsafe)
        with pytest.raises(RejectedError):
            replay(entry["tree"], arrays, network, closer)


@pytest.mark.parametrize("seed", [2, 5])
def test_smooth_networks_too(seed: int, tmp_path: Path) -> None:
    """Tanh and ReLU; all stages, as ``decide`` runs them."""
    network = random_network(seed, (3, 8, 8, 2))
    for stages, gap in ((tuple(name for name, _ in STAGES), 0.03), (("neuron splitting",), 0.4)):
        case = hard_case(network, 3, gap)
        proof = proof_of(network, [case], stages, tmp_path / "p.npz")
        assert replay(proof.header["cases"][0]["tree"], proof.cases[0], network, case) >= 1


def test_splits_that_leave_one_side_empty_prove_nothing(network: Network, tmp_path: Path) -> None:
    """With its threshold far away, one side of a split is all that the parent was; not every such leaf can hold."""
    case = hard_case(network, 3, 0.02)
    arrays = proof_of(network, [case], ("neuron splitting",), tmp_path / "p.npz").cases[0]
    rejected = 0
    for parent in sorted(set(arrays["parent"].tolist()) - {-1})[-3:]:
        for shift in (-100.0, 100.0):
            changed = {name: column.copy() for name, column in arrays.items()}
            changed["threshold"][arrays["parent"] == parent] += shift
            try:
                replay("neurons", changed, network, case)
            except RejectedError:
                rejected += 1
    assert rejected > 0


def test_lines_that_cannot_be_written_down_close_nothing(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case that only optimised lines prove stays open where no tree of it is found."""
    case = hard_case(network, 3, 9.0)
    given_up = [Outcome(Verdict.UNKNOWN, "given up")]
    monkeypatch.setattr(bound_stages, "split_many", lambda *words, **more: given_up)
    stages = [("alpha-crown", dict(BY_NAME)["alpha-crown"])]
    assert decide(network, [case], deadline=Deadline(20.0), stages=stages).verdict is Verdict.VERIFIED
    kept = decide(network, [case], deadline=Deadline(20.0), stages=stages, keep_proof=True)
    assert kept.verdict is Verdict.UNKNOWN
    assert kept.bound is not None
    assert kept.bound <= 0


def test_without_being_asked_nothing_is_kept(network: Network) -> None:
    found = decide(network, [hard_case(network, 3, 0.02)], deadline=Deadline(60.0))
    assert found.verdict is Verdict.VERIFIED
    assert found.proofs == ()


def test_what_is_no_proof_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    for content in (b"", b"no archive", b"PK\x03\x04broken"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="no proof"):
            read_proof(path)
    np.savez(path, header=np.frombuffer(b'{"format": 99, "cases": []}', dtype=np.uint8))
    with pytest.raises(UsageError, match="another format"):
        read_proof(path)
    with pytest.raises(UsageError, match="cannot write"):
        write_proof(tmp_path / "missing" / "p.npz", "", {}, [], (), NEITHER)
