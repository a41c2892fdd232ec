"""Search for a witness of any property: projected signed gradient descent on the distance to each clause.

The descent is Madry et al.'s (2018, section 2.1), on the hinge of violated constraints. All clauses and all restarts go
through the model in one batch; each row works for one clause, so that no clause starves behind an easier one. Every
iterate is a float32 point of the box, so what is found is what will be replayed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties import Box, InputSet, UnsafeSet

Forward = Callable[[Tensor], Tensor]
FIRST_STEP, LAST_STEP = 0.25, 0.002
"""Step sizes in widths of the box, decaying geometrically."""

DEEPEN = 4
"""Further steps after a first hit, so that rounding does not lose it."""

KEPT = 8
"""Candidates that are returned."""


@dataclass(frozen=True, eq=False)
class Found:
    """The best points of a search.

    Attributes:
        points: float32 ``[k, *shape]``, in the input set, the best first.
        distances: ``[k]``: at most 0 is unsafe, by ``forward``; see ``UnsafeSet.distance``.
        steps: steps that were made.
    """

    points: Tensor
    distances: Tensor
    steps: int

    @property
    def hit(self) -> bool:
        """Whether the best point is unsafe."""
        return bool(len(self.distances)) and float(self.distances[0]) <= 0


class PropertySearch:
    """Batched descent towards the unsafe set.

    Args:
        restarts: starting points per clause.
        steps: at most so many.
        largest: rows that may be in one batch; with more clauses than that, each gets one start and they take turns.
        gradients: without, the starts alone are tried, as many rounds as there are steps.
    """

    def __init__(self, *, restarts: int = 16, steps: int = 40, largest: int = 2048, gradients: bool = True) -> None:
        self.restarts, self.steps, self.largest, self.gradients = restarts, steps, largest, gradients

    def __call__(
        self,
        forward: Forward,
        inputs: InputSet,
        unsafe: UnsafeSet,
        *,
        generator: torch.Generator,
        starts: Tensor | None = None,
        expired: Callable[[], bool] = lambda: False,
        deterministic: bool = True,
    ) -> Found:
        """Search once.

        Args:
            forward: float32 ``[n, *shape]`` to ``[n, outputs]``.
            inputs: where points may be. The box of float32 numbers inside its bounding box is searched; points that
                ``contains`` rejects are not returned.
            unsafe: what to reach.
            generator: a CPU generator.
            starts: ``[k, *shape]``, tried first.
            expired: asked before every step.
            deterministic: begin from centre and corners as well; for a first round.

        Raises:
            PropertyError: the box holds no float32 point.
        """
        box = float32_box(inputs.bounding_box())
        groups = _Clauses.of(unsafe)
        best = _Best()
        count = max(1, min(self.restarts, self.largest // max(1, len(groups))))
        for part in groups.split(self.largest):
            x = self._starts(box, count, len(part), generator, starts, deterministic)
            if self._descend(forward, inputs, box, part, x, best, expired, generator):
                break
        return best.found()

    def _starts(
        self, box: Box, count: int, clauses: int, generator: torch.Generator, given: Tensor | None, fixed: bool
    ) -> Tensor:
        """``[clauses * count, *shape]``: each clause gets the same fixed ones and random ones of its own."""
        rows = [] if given is None else list(given.float())
        if fixed:
            zero = box.clamp(torch.zeros(1, *box.shape))[0]
            rows += [box.clamp((box.lower[None] + box.upper[None]) / 2)[0], box.lower, box.upper, zero]
        first = torch.stack(rows[:count]) if rows else torch.zeros(0, *box.shape)
        share = torch.rand(clauses, count - len(first), *box.shape, generator=generator)
        share[:, 1::4] = share[:, 1::4].round()
        drawn = box.lower + share * (box.upper - box.lower)
        together = torch.cat([first.expand(clauses, *first.shape), drawn], 1)
        return box.clamp(together.flatten(0, 1))

    def _descend(
        self,
        forward: Forward,
        inputs: InputSet,
        box: Box,
        clauses: _Clauses,
        x: Tensor,
        best: _Best,
        expired: Callable[[], bool],
        generator: torch.Generator,
    ) -> bool:
        rows = torch.arange(len(clauses)).repeat_interleave(len(x) // len(clauses))
        matrix, offset = clauses.matrix[rows], clauses.offset[rows]
        summed = (torch.arange(len(x)) % 2 == 1)[:, None]
        width, decay = box.upper - box.lower, (LAST_STEP / FIRST_STEP) ** (1 / max(1, self.steps - 1))
        last = self.steps
        for step in range(self.steps + 1):
            if step > last or expired():
                break
            with torch.set_grad_enabled(self.gradients):
                x.requires_grad_(self.gradients)
                y = forward(x)
                violation = torch.bmm(matrix.to(y), y.flatten(1)[:, :, None])[:, :, 0] - offset.to(y)
                largest = violation.amax(1)
            best.see(inputs, x.detach(), largest.detach(), step)
            if best.hit and last == self.steps:
                last = min(self.steps, step + DEEPEN)
            if step >= last:
                break
            if not self.gradients:
                x = self._starts(box, len(x) // len(clauses), len(clauses), generator, None, False)
                continue
            loss = torch.where(summed, violation.clamp_min(-1e-3).sum(1, keepdim=True), largest[:, None]).sum()
            if not loss.requires_grad:
                break
            (gradient,) = torch.autograd.grad(loss, x)
            with torch.no_grad():
                x = box.clamp(x - FIRST_STEP * decay**step * width * gradient.nan_to_num().sign())
        return best.hit

    def __repr__(self) -> str:
        return (
            f"PropertySearch(restarts={self.restarts}, steps={self.steps}, largest={self.largest}, "
            f"gradients={self.gradients})"
        )


@dataclass(frozen=True, eq=False)
class _Clauses:
    """All clauses in one tensor, padded with constraints that always hold."""

    matrix: Tensor
    offset: Tensor

    @classmethod
    def of(cls, unsafe: UnsafeSet) -> _Clauses:
        longest = max(1, *(len(clause.offset) for clause in unsafe.clauses))
        matrix = torch.zeros(len(unsafe.clauses), longest, unsafe.outputs)
        offset = torch.full((len(unsafe.clauses), longest), math.inf)
        for place, clause in enumerate(unsafe.clauses):
            matrix[place, : len(clause.offset)] = clause.matrix.float()
            offset[place, : len(clause.offset)] = clause.offset.float()
        return cls(matrix, offset)

    def __len__(self) -> int:
        return len(self.matrix)

    def split(self, size: int) -> list[_Clauses]:
        parts = zip(torch.split(self.matrix, size), torch.split(self.offset, size), strict=True)
        return [_Clauses(matrix, offset) for matrix, offset in parts]


class _Best:
    """The best rows so far, of all clauses."""

    def __init__(self) -> None:
        self._points: Tensor | None = None
        self._distances = torch.zeros(0)
        self._steps = 0

    @property
    def hit(self) -> bool:
        return bool(len(self._distances)) and float(self._distances[0]) <= 0

    def see(self, inputs: InputSet, x: Tensor, distances: Tensor, step: int) -> None:
        self._steps = max(self._steps, step)
        ranked = distances.nan_to_num(nan=math.inf).cpu()
        values, places = ranked.topk(min(KEPT, len(ranked)), largest=False)
        points = x[places]
        inside = torch.ones(len(points), dtype=torch.bool) if isinstance(inputs, Box) else inputs.contains(points)
        points, values = points[inside].clone(), values[inside]
        if self._points is not None:
            points, values = torch.cat([self._points, points]), torch.cat([self._distances, values])
        order = values.argsort(stable=True)[:KEPT]
        self._points, self._distances = points[order], values[order]

    def found(self) -> Found:
        points = torch.zeros(0) if self._points is None else self._points
        return Found(points, self._distances, self._steps)


def float32_box(box: Box) -> Box:
    """The float32 numbers inside a box: each end is rounded inward.

    Raises:
        PropertyError: there is none at some place.
    """
    lower, upper = box.lower.float(), box.upper.float()
    lower = torch.where(
        lower.to(box.lower) < box.lower, torch.nextafter(lower, torch.full_like(lower, math.inf)), lower
    )
    upper = torch.where(
        upper.to(box.upper) > box.upper, torch.nextafter(upper, torch.full_like(upper, -math.inf)), upper
    )
    if bool((lower > upper).any()):
        raise PropertyError(
            "a box holds no float32 number at some place",
            wanted="a float32 number between the ends",
            got=f"{int((lower > upper).sum())} places without one",
            hint="the model takes float32: fix inputs at float32 numbers, or widen the box",
        )
    return Box(lower, upper)
