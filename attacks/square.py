"""Square attack (Andriushchenko et al. 2020): random squares, kept where they help; asks for scores only.

L-inf: algorithm 2, L2: algorithm 3; L1 as L2 with that norm (Croce and Hein 2021, appendix C). The schedule of square
sizes is stretched or squeezed to the query budget, as the paper does for other budgets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attacks.active import Active, wide
from attacks.apgd import check_numbers
from attacks.attack import Attack, Problem
from attacks.balls import AnyNorm
from attacks.square_moves import Field, bumps, first_bumps, first_stripes, squares
from robust.errors import UsageError

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries of 10,000 after which the share of changed coordinates is halved (section 4.1 and appendix)."""

LOOK = 200
"""Queries between two looks at who is too slow."""

TABLE = 100
"""Queries whose random numbers are drawn at once."""


def share(query: int, queries: int, first: float) -> float:
    """The share of coordinates that query number ``query`` changes."""
    place = query * 10_000 / queries
    return first / 2.0 ** sum(place > mark for mark in HALVINGS)


class Square(Attack):
    """Random search by squares, on the margin.

    Where samples are no pictures, their features are put in an order drawn once, and the squares are runs of it.

    Args:
        norm: ``linf``, ``l2`` or ``l1``.
        queries: at most so many per sample and restart, the replay not among them.
        restarts: how often it begins anew.
        first_share: share of coordinates that the first squares change.
        patience: every ``LOOK`` queries rows leave that fall too slowly (``Active.hopeless``) and, where an earlier
            attempt is known, are behind its best effort; None: every row gets all queries.
    """

    name = "square"
    needs_gradients = False

    def __init__(
        self,
        *,
        norm: AnyNorm = "linf",
        queries: int = 5000,
        restarts: int = 1,
        first_share: float = 0.8,
        patience: float | None = None,
    ) -> None:
        check_numbers(self.name, norm, patience, queries=queries, restarts=restarts)
        if not 0 < first_share <= 1:
            raise UsageError("Square's first share is none", wanted="above 0, at most 1", got=first_share)
        self.norm, self.queries, self.restarts, self.rounds = norm, queries, restarts, restarts
        self.first_share, self.patience = first_share, patience

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One search."""
        layout, active = Layout(problem), Active(problem)
        field = layout.field(active, problem.epsilon, self.norm)
        start, move = (first_stripes, squares) if self.norm == "linf" else (first_bumps, bumps)
        x = start(field, layout.draw(problem, 1, start.numbers(layout.size))[0])
        margin = active.goal.margin(active.answer(layout.samples(x)))
        for query in range(1, self.queries):
            keep = active.leave(query, also=self._hopeless(active, query))
            if keep is not None:
                x, margin, field = x[keep], margin[keep], field.take(keep)
                if not len(active):
                    break
            number = (query - 1) % TABLE
            if number == 0:
                table = layout.draw(problem, min(TABLE, self.queries - query), move.numbers(layout.size))
            candidate = move(field, x, table[number][active.rows], share(query, self.queries, self.first_share))
            found = active.goal.margin(active.answer(layout.samples(candidate)))
            better = found < margin
            margin = torch.where(better, found, margin)
            x = torch.where(wide(better, x), candidate, x)
        return active.outcome()

    def _hopeless(self, active: Active, query: int) -> Tensor | None:
        slow = active.hopeless(query, self.queries, self.patience) if query % LOOK == 0 else None
        return None if slow is None else slow & (active.best_margin >= active.problem.margins[active.rows])


class Layout:
    """Samples as pictures ``[n, c, h, w]``: as they are, or their features in a drawn order as one column."""

    def __init__(self, problem: Problem) -> None:
        self.shape = tuple(problem.x.shape[1:])
        self.order: Tensor | None = None
        if len(self.shape) == 3:
            self.size = (self.shape[0], self.shape[1], self.shape[2])
        elif len(self.shape) == 2:
            self.size = (1, self.shape[0], self.shape[1])
        else:
            count = math.prod(self.shape)
            self.size = (1, count, 1)
            self.order = torch.randperm(count, generator=problem.generator).to(problem.x.device)

    def pictures(self, x: Tensor) -> Tensor:
        """``[n, *shape]`` to ``[n, c, h, w]``."""
        flat = x.flatten(1)
        return (flat if self.order is None else flat[:, self.order]).reshape(-1, *self.size)

    def samples(self, pictures: Tensor) -> Tensor:
        """And back."""
        flat = pictures.flatten(1)
        if self.order is not None:
            flat = torch.zeros_like(flat).index_copy(1, self.order, flat)
        return flat.reshape(-1, *self.shape)

    def field(self, active: Active, epsilon: float, norm: AnyNorm) -> Field:
        """Where the rows may move."""
        centre = self.pictures(active.x)
        lower, upper = self.pictures(active.lower), self.pictures(active.upper)
        if norm == "linf":
            lower, upper = torch.maximum(lower, centre - epsilon), torch.minimum(upper, centre + epsilon)
        return Field(centre, lower.expand_as(centre), upper.expand_as(centre), epsilon, norm)

    def draw(self, problem: Problem, queries: int, numbers: int) -> Tensor:
        """Uniform numbers ``[queries, m, numbers]``, drawn for all samples of the call and then picked."""
        drawn = torch.rand(queries, problem.total, numbers, generator=problem.generator)
        return drawn[:, problem.rows.cpu()].to(problem.x.device)
