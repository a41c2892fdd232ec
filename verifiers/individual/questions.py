"""What is asked of a person and a counterpart: the same decision, or a score that never falls."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError

SAME, BROKEN, UNCLEAR = 0, 1, 2
"""What two answers of the real model say."""
NEAR = 1e-4
"""Relative distance to a limit within which people are asked alone."""


@dataclass(frozen=True, eq=False)
class PairQuestion:
    """Linear functions of both persons' outputs, and what their signs prove.

    Attributes:
        matrix: ``[rows, 2 * outputs]``.
        offset: ``[rows]``.
        clauses: rows; a box is safe when every clause has a row with ``matrix @ y - offset > 0`` all over the box.
        certain: rows; a box is broken everywhere when all rows of one of these are positive all over it.
        score: of monotonicity: the row of outputs that must not fall; None: the decision must stay.
        margin: what the score may fall by without counting.
    """

    matrix: Tensor
    offset: Tensor
    clauses: tuple[tuple[int, ...], ...]
    certain: tuple[tuple[int, ...], ...]
    score: Tensor | None = None
    margin: float = 0.0

    def answers(self, first: Tensor, second: Tensor) -> Tensor:
        """``SAME``, ``BROKEN`` or ``UNCLEAR`` (a tie or NaN) for the real outputs ``[n, outputs]`` of both: ``[n]``."""
        bad = ~(torch.isfinite(first).all(1) & torch.isfinite(second).all(1))
        if self.score is not None:
            fall = (first.double() - second.double()) @ self.score.to(first.device)
            return torch.where(bad, UNCLEAR, torch.where(fall >= self.margin, BROKEN, SAME))
        differ = first.argmax(1) != second.argmax(1)
        tie = (_lead(first) == 0) | (_lead(second) == 0)
        return torch.where(bad | tie, UNCLEAR, torch.where(differ, BROKEN, SAME))

    def near(self, first: Tensor, second: Tensor) -> Tensor:
        """Whether answers lie so close to their limit that a batch, summed in another order, may differ from each
        person asked alone: bool ``[n]``."""
        size = torch.maximum(first.abs().amax(1), second.abs().amax(1)).double()
        if self.score is not None:
            fall = (first.double() - second.double()) @ self.score.to(first.device)
            return (fall - self.margin).abs() <= NEAR * (1 + size)
        return torch.minimum(_lead(first), _lead(second)) <= NEAR * (1 + size)

    def safe(self, positive: Tensor) -> Tensor:
        """Which boxes are proved safe, ``[n]``, from bool ``[n, rows]``."""
        return torch.stack([positive[:, list(rows)].any(1) for rows in self.clauses]).all(0)

    def broken(self, positive: Tensor) -> Tensor:
        """Which boxes are proved broken everywhere, ``[n]``, from bool ``[n, rows]``."""
        return torch.stack([positive[:, list(rows)].all(1) for rows in self.certain]).any(0)


def same_decision(outputs: int) -> PairQuestion:
    """The largest output is the same at both. A tie at either person is not safe, and not a counterexample.

    Args:
        outputs: logits, at least 2.

    Raises:
        PropertyError: fewer outputs than 2.
    """
    if outputs < 2:
        raise PropertyError("a decision needs two outputs", wanted=">= 2 logits", got=outputs)
    rows: list[Tensor] = []
    place: dict[tuple[int, int, int], int] = {}
    for person in (0, 1):
        for winner in range(outputs):
            for loser in range(outputs):
                if winner != loser:  # positive: the loser's logit is larger, so this winner does not win
                    row = torch.zeros(2 * outputs, dtype=torch.float64)
                    row[person * outputs + loser], row[person * outputs + winner] = 1.0, -1.0
                    place[person, winner, loser] = len(rows)
                    rows.append(row)
    clauses, certain = [], []
    for i in range(outputs):
        for j in range(outputs):
            if i == j:
                continue
            others = [[k for k in range(outputs) if k != winner] for winner in (i, j)]
            wins = [place[0, i, k] for k in others[0]] + [place[1, j, k] for k in others[1]]
            rows.append(rows[place[0, i, j]] + rows[place[1, j, i]])  # what both persons share cancels
            clauses.append((*wins, len(rows) - 1))
            certain.append(tuple([place[0, k, i] for k in others[0]] + [place[1, k, j] for k in others[1]]))
    return PairQuestion(torch.stack(rows), torch.zeros(len(rows), dtype=torch.float64), tuple(clauses), tuple(certain))


def never_falls(outputs: int, favourable: int, margin: float, *, falling: bool = False) -> PairQuestion:
    """The score of the favourable class does not fall by ``margin`` or more from a person to the counterpart.

    The score is the logit less the mean of the others: for two classes the log-odds.

    Args:
        outputs: logits, at least 2.
        favourable: class whose score must not fall.
        margin: above 0, in units of logits.
        falling: ask instead that it never rises.

    Raises:
        PropertyError: no such class, or an impossible margin.
    """
    if outputs < 2 or not 0 <= favourable < outputs:
        raise PropertyError("a score needs a class", wanted=f"0 <= class < {outputs} and 2 classes", got=favourable)
    if not 0 < margin < float("inf"):
        raise PropertyError("an impossible margin of a score", wanted="a finite number above 0", got=margin)
    score = torch.full((outputs,), -1.0 / (outputs - 1), dtype=torch.float64)
    score[favourable] = 1.0
    score = -score if falling else score
    rise = torch.cat([-score, score])
    offset = torch.tensor([-margin, margin], dtype=torch.float64)
    return PairQuestion(torch.stack([rise, -rise]), offset, ((0,),), ((1,),), score, margin)


def _lead(outputs: Tensor) -> Tensor:
    """By how much the largest output leads, ``[n]``."""
    top = outputs.double().topk(2, dim=1).values
    return top[:, 0] - top[:, 1]
