"""Minimal-norm attacks: no radius is given, the smallest change that reaches the goal is looked for, sample by sample.

What they find is an upper bound on each sample's true distance; its counterpart is the certified radius.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from attacks.active import Active, wide
from attacks.attack import Problem, State, checked_samples, require_gradients
from attacks.attempt import Attempt
from attacks.balls import AnyNorm
from attacks.fab import size
from attacks.goals import Goal, as_goal
from robust.errors import UsageError
from robust.subjects.protocols import Classifier


class Nearest:
    """The nearest points beyond the boundary that were seen, and their distance (infinite where there is none)."""

    def __init__(self, active: Active, norm: AnyNorm) -> None:
        self.norm, self.active = norm, active
        self.x = active.x.clone()
        self.reach = torch.full((len(active),), torch.inf, device=active.x.device)

    def see(self, point: Tensor, logits: Tensor) -> Tensor:
        """Look at points ``[r, *shape]`` and their logits; bool ``[r]``: which are beyond."""
        beyond, reach = self.active.goal.reached(logits), size(point - self.active.x, self.norm)
        nearer = beyond & (reach < self.reach)
        self.reach = torch.where(nearer, reach, self.reach)
        self.x = torch.where(wide(nearer, point), point, self.x)
        return beyond


class MinimalAttack(ABC):
    """Base of all of them. Hyperparameters are keyword-only in the constructor, data in the call."""

    name: ClassVar[str]
    needs_gradients: ClassVar[bool] = True
    norms: ClassVar[tuple[AnyNorm, ...]]
    norm: AnyNorm

    @abstractmethod
    def search(self, active: Active, problem: Problem) -> Tensor:
        """The nearest point found for each row ``[m, *shape]``; where none was, anything.

        Steps that are given in input units take the box to be of width 1: ``width`` says how wide it is.
        """

    def __call__(self, classifier: Classifier, x: Tensor, wanted: Tensor | Goal, generator: torch.Generator) -> Attempt:
        """Look for the smallest change that reaches the goal.

        Args:
            classifier: the subject.
            x: samples float32 ``[n, *shape]`` inside its box.
            wanted: true classes int64 ``[n]`` (any other answer is a success), or a goal.
            generator: a CPU generator; the global ones are never touched.

        Returns:
            As ``Attack``; ``distances`` are the smallest found, ``success`` False where nothing was found: such a
            sample is left as it is, and says so.

        Raises:
            as ``Attack``.
        """
        x = checked_samples(classifier, x)
        goal = as_goal(wanted, len(classifier.class_names), len(x), classifier.device)
        if self.needs_gradients and len(x):
            require_gradients(self.name, classifier, x[:1])
        state = State.start(classifier, x, goal, None, self.norm)
        rows = torch.nonzero(~state.success)[:, 0]
        if len(rows):
            everything = math.inf if self.norm != "l0" else float(math.prod(x.shape[1:]))
            problem = state.problem(classifier, goal, everything, rows, generator)
            active = Active(problem)
            points = self.search(active, problem)
            state.judge(problem, points, active.outcome()[1], self.norm, 0)
        return state.attempt(self.norm)

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def check_minimal(attack: type[MinimalAttack], norm: AnyNorm, **numbers: float) -> None:
    """Raise UsageError for a number that is not above 0, or a norm that the attack does not know."""
    for what, number in numbers.items():
        if not number > 0:
            raise UsageError(f"{attack.name} needs {what}", wanted="above 0", got=number)
    if norm not in attack.norms:
        raise UsageError(f"{attack.name} does not know this norm", wanted=", ".join(attack.norms), got=norm)


def width(active: Active) -> Tensor:
    """Width of the box, ``[1, *shape]``."""
    return active.upper - active.lower


def cosine(first: float, last: float, step: int, steps: int) -> float:
    """From ``first`` at step 0 to ``last`` at the end, along half a cosine (Loshchilov and Hutter 2017)."""
    return last + (first - last) * (1 + math.cos(math.pi * step / max(1, steps))) / 2


def boxed(active: Active, point: Tensor) -> Tensor:
    """Into the box."""
    return torch.minimum(torch.maximum(point, active.lower), active.upper)
