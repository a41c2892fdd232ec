"""What is said of people: part by part, and in shares of all comparisons."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robust.record.answer import Verdict
from verifiers.individual.boxes import Boxes


@dataclass(frozen=True)
class Budget:
    """Work, counted in boxes, so that the same question gets the same answer on every machine.

    Attributes:
        part: boxes per part of the domain, and per step of the changed attribute, before it stays unknown.
        refine: boxes in all that are spent on parts which are refuted, to tell how much of them is fair.
        seconds: wall clock for everything; reached, what is left is unknown.
    """

    part: int = 4_096
    refine: int = 20_000
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Pair:
    """Two people whom the real model treats differently.

    Attributes:
        first: numbers ``[attributes]`` of the person.
        second: of the counterpart.
        outputs: logits of both, ``[2, outputs]``, of the real model, each asked alone.
        row: of the data that it was made of, or None.
    """

    first: Tensor
    second: Tensor
    outputs: Tensor
    row: int | None = None


@dataclass(eq=False)
class Part:
    """The answer about one part of the domain.

    Attributes:
        verdict: VERIFIED, FALSIFIED with a pair, or UNKNOWN.
        stage: ``bounds`` where its first box was proved or refuted, ``splitting``, or a later engine's name.
        boxes: how many were bounded.
        pair: of a refuted part.
        open: of an unknown part: what is neither proved nor refuted.
    """

    verdict: Verdict = Verdict.UNKNOWN
    stage: str = ""
    boxes: int = 0
    pair: Pair | None = None
    open: Boxes | None = None


@dataclass(frozen=True, eq=False)
class Survey:
    """All parts, and shares of all comparisons of a person with a counterpart.

    Attributes:
        parts: in the order given.
        fair: share that is proved to be treated alike.
        unfair: share that is known to be treated differently: single pairs, and whole boxes of them.
        boxes: bounded in all.
        proved: some of the boxes that bounds prove, for a check by asking.
    """

    parts: list[Part]
    fair: float
    unfair: float
    boxes: int
    proved: Boxes
