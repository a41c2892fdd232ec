"""FAB, the targeted form (Croce and Hein 2020b, "Minimally distorted adversarial examples", algorithm 1 and 2.4).

Steps onto the linearised boundary between label and rival, drawn back to the sample; what lies beyond the boundary is
brought closer. It minimises the distance, so it needs no epsilon; with one, a sample leaves once it is near enough.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from attacks.active import Active, wide
from attacks.apgd import check_numbers
from attacks.attack import Attack, Problem
from attacks.balls import AnyNorm
from attacks.projections import onto_plane
from attacks.targets import over_targets

LARGEST_PULL, OVERSHOOT, BACK = 0.1, 1.05, 0.9
"""alpha_max, eta and beta of the paper (section 2.4)."""

LOOK = 6
"""Steps between two looks at who comes closer too slowly."""


@dataclass
class _Walk:
    """This iterate, the nearest point beyond the boundary and its distance (infinite where there is none)."""

    x: Tensor
    nearest: Tensor
    reach: Tensor

    def take(self, keep: Tensor) -> None:
        """Those rows alone."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name)[keep])


def walk(active: Active, start: Tensor, norm: AnyNorm, steps: int, patience: float | None = None) -> _Walk:
    """``steps`` of FAB of every row, each towards its rival ``active.toward``; one gradient and one answer per step.

    The paper asks for the answer and, after the move back, for the gradient; here a point beyond the boundary gives
    the linearisation for the move back as well, so a step costs one pass.

    Args:
        active: the rows; points within epsilon are kept as its best, and a row that has one leaves.
        start: ``[r, *shape]`` in the box.
        norm: what to keep small: ``linf``, ``l2`` or ``l1``.
        steps: gradient steps.
        patience: every ``LOOK`` steps hopeless rows leave (``Active.hopeless``); None: nobody does.
    """
    run = _Walk(start, start, torch.full((len(active),), torch.inf, device=start.device))
    for step in range(steps + 1):
        reach = size(run.x - active.x, norm)
        if step == steps:
            _nearest(active, run, active.answer(run.x, noted=reach <= active.problem.epsilon), reach)
            return run
        value, gradient, logits = active.climb(run.x, "difference", noted=reach <= active.problem.epsilon)
        beyond = _nearest(active, run, logits, reach)
        back = active.x + torch.where(beyond, BACK, 1.0) * (run.x - active.x)
        value = value + (gradient * (back - run.x)).flatten(1).sum(1)
        run.x = _step(active, back, gradient, value, norm)
        look = step > 0 and step % LOOK == 0
        gap = run.reach - active.problem.epsilon
        keep = active.leave(step, also=active.hopeless(step, steps, patience, gap) if look else None)
        if keep is not None:
            run.take(keep)
            if not len(active):
                return run
    return run


def size(move: Tensor, norm: AnyNorm) -> Tensor:
    """Norm of each row, float32 ``[r]``."""
    order = {"linf": torch.inf, "l2": 2, "l1": 1, "l0": 0}[norm]
    found: Tensor = torch.linalg.vector_norm(move.flatten(1), ord=order, dim=1)
    return found


def _nearest(active: Active, run: _Walk, logits: Tensor, reach: Tensor) -> Tensor:
    """Remember the points beyond the boundary that are nearer than those before; which are beyond, for broadcasts."""
    beyond = active.goal.margin(logits) < 0
    nearer = beyond & (reach < run.reach)
    run.reach = torch.where(nearer, reach, run.reach)
    run.nearest = torch.where(wide(nearer, run.x), run.x, run.nearest)
    return wide(beyond, run.x)


def _step(active: Active, x: Tensor, gradient: Tensor, value: Tensor, norm: AnyNorm) -> Tensor:
    """The biased step between the nearest points of the plane to the iterate and to the sample (section 2.3)."""
    shape, centre = x.shape, active.x.flatten(1)
    lower, upper = active.lower.flatten(1), active.upper.flatten(1)
    flat, normal = x.flatten(1), gradient.flatten(1)
    largest = normal.abs().amax(1, keepdim=True).clamp_min(1e-30)
    normal, gap = normal / largest, -value / largest[:, 0]
    here = onto_plane(flat, normal, gap, norm, lower, upper)
    from_centre = gap + (normal * (flat - centre)).sum(1)
    there = onto_plane(centre, normal, from_centre, norm, lower, upper)
    a, b = size(here, norm)[:, None], size(there, norm)[:, None]
    pull = (a / (a + b).clamp_min(1e-30)).clamp_max(LARGEST_PULL)
    moved = (1 - pull) * (flat + OVERSHOOT * here) + pull * (centre + OVERSHOOT * there)
    return torch.minimum(torch.maximum(moved, lower), upper).reshape(shape)


class FAB(Attack):
    """FAB towards each of the strongest rivals, inside a ball.

    Args:
        norm: ``linf``, ``l2`` or ``l1``.
        steps: gradient steps towards one rival.
        targets: rivals at most, the strongest at the sample first.
        restarts: the first from the sample, further ones from random points of the ball of half the radius.
        patience: every ``LOOK`` steps rows leave whose nearest point comes closer too slowly (``Active.hopeless``).
    """

    name = "fab-t"

    def __init__(
        self,
        *,
        norm: AnyNorm = "linf",
        steps: int = 100,
        targets: int = 9,
        restarts: int = 1,
        patience: float | None = None,
    ) -> None:
        check_numbers(self.name, norm, patience, steps=steps, targets=targets, restarts=restarts)
        self.norm, self.steps, self.targets, self.restarts, self.rounds = norm, steps, targets, restarts, restarts
        self.patience = patience

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """One restart towards all rivals."""

        def approach(active: Active, drawn: Tensor) -> None:
            half = torch.minimum(torch.maximum((drawn + active.x) / 2, active.lower), active.upper)
            walk(active, half if round_ else active.x, self.norm, self.steps, self.patience)

        return over_targets(problem, self.targets, self.norm, approach)
