"""What is decided about a query, and what the stages of a decision share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from robust.properties import Property
from robust.record.answer import NEITHER, Meanings, Verdict
from verifiers.branching.outcome import Outcome, Replay, Search
from verifiers.branching.proof import ProofTree
from verifiers.deadline import Deadline
from verifiers.network import Network


@dataclass(frozen=True, eq=False)
class CaseProof:
    """What proves one case, and the stage that found it."""

    stage: str
    tree: ProofTree


@dataclass(frozen=True, eq=False)
class Decision:
    """The answer.

    Attributes:
        verdict: FALSIFIED when a case has a witness (``sat``), VERIFIED when all are proved (``unsat``), else UNKNOWN.
        reason: a sentence.
        stage: which stage settled it; empty if none did.
        witness: ``[*shape]``, for FALSIFIED.
        case: whose witness it is.
        timed_out: UNKNOWN because time ran out.
        bound: the proved distance of the worst case from its unsafe set, where bounds were asked; positive is proved.
        meanings: what it says of real numbers and of float32 runs.
        proofs: for VERIFIED what proves each case, in order, where that was asked for.
    """

    verdict: Verdict
    reason: str
    stage: str = ""
    witness: Tensor | None = None
    case: int | None = None
    timed_out: bool = False
    bound: float | None = None
    meanings: Meanings = NEITHER
    proofs: tuple[CaseProof, ...] = ()


@dataclass(eq=False)
class Work:
    """What the stages share: what is asked, what is still open.

    Attributes:
        network: None where no bounds can be had.
        cases: all of them.
        deadline: of the whole decision.
        search, replay: see their types; None where there are none.
        open: cases that are neither proved nor broken.
        margins: best proved distance per case so far.
        runs: whether a case's proof holds for every float32 run as well.
        real: cases that are proved over the real numbers, if only by less than what a run may round.
        keep_proof: a case counts as proved only when there is a tree that proves it.
        proofs: the trees of proved cases, if they are kept.
        provers: the stages that proved them.
    """

    network: Network | None
    cases: Sequence[Property]
    deadline: Deadline
    search: Search | None
    replay: Replay | None
    open: list[int] = field(default_factory=list)
    margins: dict[int, float] = field(default_factory=dict)
    runs: dict[int, bool] = field(default_factory=dict)
    real: set[int] = field(default_factory=set)
    keep_proof: bool = False
    proofs: dict[int, ProofTree] = field(default_factory=dict)
    provers: dict[int, str] = field(default_factory=dict)

    def witness(self, case: int, round_: int, deadline: Deadline) -> Decision | None:
        """Search one case and replay what is found."""
        if self.search is None or self.replay is None:
            return None
        points = self.search(case, round_, deadline)
        if points is None or not len(points):
            return None
        found = self.replay(case, points)
        if found is None:
            return None
        reason = f"an input of case {case + 1} reaches the unsafe set; replayed on the real model"
        return Decision(Verdict.FALSIFIED, reason, witness=found, case=case)

    def settle(self, places: Sequence[int], outcomes: Sequence[Outcome]) -> Decision | None:
        """A witness, if there is one; else the cases that were proved are closed."""
        for place, outcome in zip(places, outcomes, strict=True):
            if outcome.verdict is Verdict.FALSIFIED:
                reason = f"an input of case {place + 1} reaches the unsafe set; replayed on the real model"
                return Decision(Verdict.FALSIFIED, reason, witness=outcome.witness, case=place)
            if outcome.verdict is Verdict.VERIFIED:
                self.open.remove(place)
                self.margins.pop(place, None)
                self.runs[place] = outcome.runs
                if outcome.proof is not None:
                    self.proofs[place] = outcome.proof
                if outcome.bound:
                    self.margins[place] = outcome.bound
            elif outcome.bound is not None:
                bound = min(outcome.bound, 0.0)  # what is not verified must not look proved to later stages
                self.margins[place] = max(bound, self.margins.get(place, bound))
        return None


Stage = Callable[[Work], Decision | None]
