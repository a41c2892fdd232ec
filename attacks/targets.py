"""One rival class after the other, several at a time where the batch is small; a broken sample needs no further one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from attacks.active import Active, wide
from attacks.attack import Problem
from attacks.balls import AnyNorm
from attacks.losses import rivals

LARGEST = 512
"""Rows of a CPU batch in which several rivals of one sample may work at once; sixteen times that on an accelerator."""


def over_targets(
    problem: Problem, count: int, norm: AnyNorm, walk: Callable[[Active, Tensor], None]
) -> tuple[Tensor, Tensor | None]:
    """``walk`` every sample towards each of its ``count`` strongest rivals at the sample, until one breaks it.

    Args:
        problem: the samples.
        count: rivals at most.
        norm: of the random starts.
        walk: moves the rows of an ``Active``, each with its rival in ``toward``, given a random start
            ``[r, *shape]`` for each in the ball.

    Returns:
        candidates and ``dead``, as ``Attack.propose``.
    """
    first = Active(problem)
    order = rivals(first.answer(problem.x), problem.goal, count)
    points, _ = first.outcome()
    margins, dead = first.margins, torch.ones_like(first.alive)
    seeds = torch.randint(2**62, (order.shape[1],), generator=problem.generator).tolist()
    largest = LARGEST if problem.x.device.type == "cpu" else 16 * LARGEST
    done = 0
    while done < order.shape[1]:
        standing = torch.nonzero(margins >= 0)[:, 0]
        if not len(standing):
            break
        wave = min(max(1, largest // len(standing)), order.shape[1] - done)
        places = list(range(done, done + wave))
        active = Active(problem, standing.repeat(wave), order[standing][:, places].T.flatten())
        walk(active, torch.cat([problem.scatter(norm, seeds[place])[standing] for place in places]))
        found, died = active.outcome()
        better = active.margins < margins
        points = torch.where(wide(better, points), found, points)
        margins = torch.where(better, active.margins, margins)
        if died is not None:
            dead[standing] &= died[standing]
        done += wave
    return points, dead
