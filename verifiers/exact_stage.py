"""Z3 as a stage: exact rational arithmetic, for cases over boxes of networks that are small enough."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.properties import Box
from robust.record.answer import Verdict
from verifiers.branching.outcome import Outcome
from verifiers.decision import Decision, Work

STEPS_PER_SECOND = 500_000
"""What Z3's own count comes to, about."""


def z3(work: Work) -> Decision | None:
    """Ask Z3 about open cases over boxes, one after the other, each with its share of what time is left.

    Its proofs hold for real numbers and for every float32 run; they leave no tree, so nothing is proved where trees are
    kept. A network that is too large, or holds what is not piecewise linear, stays open.
    """
    from verifiers.smt import Limits, SmtVerifier  # starts a process of its own

    places = [place for place in work.open if isinstance(work.cases[place].inputs, Box)]
    if work.network is None or work.keep_proof:
        return None
    graph = work.network.to(torch.float32).graph
    for number, place in enumerate(places):
        if work.deadline.expired:
            return None
        seconds = min(work.deadline.left, 3600.0) / (len(places) - number)
        clauses = max(1, len(work.cases[place].unsafe.clauses))
        limits = Limits(steps=int(STEPS_PER_SECOND * seconds / clauses), seconds=max(0.1, seconds / clauses))
        answer = SmtVerifier(limits=limits).verify(graph, [work.cases[place]])[0]
        witness, verdict = _replayed(work, place, answer.witness), answer.verdict
        if verdict is Verdict.FALSIFIED and witness is None:
            verdict = Verdict.UNKNOWN
        outcome = Outcome(verdict, answer.reason, answer.lower_bound, witness=witness, runs=verdict is Verdict.VERIFIED)
        found = work.settle([place], [outcome])
        if found is not None:
            return found
    return None


def _replayed(work: Work, place: int, witness: tuple[float, ...] | None) -> Tensor | None:
    """A point that Z3 found, if the real model confirms it."""
    if witness is None or work.replay is None:
        return None
    point = torch.as_tensor(witness, dtype=torch.float32).reshape(1, *work.cases[place].inputs.shape)
    return work.replay(place, point)
