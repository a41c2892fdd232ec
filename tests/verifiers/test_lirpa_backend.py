"""auto_LiRPA as a verifier; what needs the library itself is skipped where it cannot be imported."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import auto_lirpa_peer
from robust.errors import InstallationError
from robust.graph import Graph, trace
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from robust.record import Verdict
from verifiers.lirpa_backend import LirpaVerifier, as_sequential
from verifiers.verifier import BoundVerifier, Verifier

CPU = torch.device("cpu")


@pytest.fixture
def library() -> Any:
    found = auto_lirpa_peer.load()
    if found is None:
        pytest.skip("auto_LiRPA cannot be imported")
    return found


class Fake:
    """In the library's place: claims one lower bound for everything."""

    __version__ = "0"

    def __init__(self, claim: float) -> None:
        self.claim = claim

    def BoundedModule(self, *_: object, **__: object) -> Fake:  # noqa: N802
        return self

    def PerturbationLpNorm(self, **_: object) -> None:  # noqa: N802
        return None

    def BoundedTensor(self, *_: object) -> None:  # noqa: N802
        return None

    def compute_bounds(self, *, C: Tensor, **_: object) -> tuple[Tensor, None]:
        return torch.full(C.shape[:2], self.claim, dtype=torch.float64), None


def butterfly() -> Graph:
    """Outputs h1 + h2 and h1 - h2 of h = relu(x1 + x2, x1 - x2): CROWN gives [0, 3] and [-2, 2] over [-1, 1]^2."""
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    turn = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    module.load_state_dict({"0.weight": turn, "2.weight": turn})
    return trace(module, (2,), device=CPU)


def at_least(value: float) -> Property:
    """Unsafe: the first output is ``value`` or more. The largest is 2, CROWN proves 3, intervals 4."""
    clause = Halfspaces(torch.tensor([[-1.0, 0.0]]), torch.tensor([-value]))
    return Property(name="p", inputs=Box(torch.full((2,), -1.0), torch.ones(2)), unsafe=UnsafeSet((clause,)))


def verdicts(verifier: Verifier) -> list[Verdict]:
    return [answer.verdict for answer in verifier.verify(butterfly(), [at_least(v) for v in (1.9, 2.9, 3.1, 4.1)])]


@pytest.mark.parametrize(("method", "proved"), [("interval", 1), ("crown", 2)])
def test_it_proves_what_paper_says(library: Any, method: str, proved: int) -> None:
    verifier = LirpaVerifier(method=method)
    assert isinstance(verifier, Verifier)
    assert verdicts(verifier) == [Verdict.UNKNOWN] * (4 - proved) + [Verdict.VERIFIED] * proved
    assert verdicts(verifier) == verdicts(BoundVerifier(method=method))


def test_a_claim_that_an_input_contradicts_is_worth_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "auto_LiRPA", Fake(claim=0.5))  # of -y1, which is negative nearly everywhere
    assert verdicts(LirpaVerifier()) == [Verdict.UNKNOWN] * 4


def test_a_claim_within_rounding_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    # -y1 >= -2 is true, but a margin of 1e-9 above the threshold is less than what float32 rounds
    monkeypatch.setitem(sys.modules, "auto_LiRPA", Fake(claim=-3.0))
    answers = LirpaVerifier().verify(butterfly(), [at_least(3 + 1e-9), at_least(3.1)])
    assert [answer.verdict for answer in answers] == [Verdict.UNKNOWN, Verdict.VERIFIED]


def test_what_it_stops_at_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "auto_LiRPA", object())  # nothing that it should have
    assert verdicts(LirpaVerifier()) == [Verdict.UNKNOWN] * 4


def test_without_the_library_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "auto_LiRPA", None)
    with pytest.raises(InstallationError, match="repository"):
        LirpaVerifier()
    with pytest.raises(ValueError, match="interval"):
        LirpaVerifier(method="alpha-crown")


def test_chains_are_rebuilt_and_other_networks_are_not() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.ReLU(), nn.Conv2d(4, 3, 2, bias=False), nn.Flatten(),
        nn.Linear(27, 4), nn.ReLU(), nn.Linear(4, 2, bias=False),
    ).eval()  # fmt: skip
    rebuilt = as_sequential(trace(module, (2, 7, 7), device=CPU))
    x = torch.randn(3, 2, 7, 7)
    assert rebuilt is not None
    torch.testing.assert_close(rebuilt(x), module(x))
    assert as_sequential(trace(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), (2,), device=CPU)) is None
    assert as_sequential(trace(Skip(), (2,), device=CPU)) is None


class Skip(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) + x


def test_its_proofs_hold_on_a_convolutional_network(library: Any) -> None:
    """What it proves about a random network, no input breaks; and CROWN proves what ours proves."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval().requires_grad_(False)
    graph = trace(module, (1, 4, 4), device=CPU)
    lower = torch.rand(1, 4, 4) - 0.2
    box = Box(lower, lower + 0.2)
    points = lower + 0.2 * torch.rand(500, 1, 4, 4)
    first = module(points)[:, 0]
    least = float(first.min())
    asked = [
        Property(inputs=box, unsafe=UnsafeSet((Halfspaces(torch.eye(3)[:1], torch.tensor([least - gap])),)))
        for gap in (-0.01, 0.05, 0.5, 1.0)
    ]
    theirs = LirpaVerifier().verify(graph, asked)
    ours = BoundVerifier(method="crown").verify(graph, asked)
    assert [answer.verdict for answer in theirs] == [answer.verdict for answer in ours]
    assert theirs[0].verdict is Verdict.UNKNOWN
    assert theirs[-1].verdict is Verdict.VERIFIED
    assert theirs[-1].engine is not None
    assert theirs[-1].engine.endswith("CROWN")
