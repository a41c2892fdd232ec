"""Witnesses made on other models: what breaks a surrogate may break the subject, whose gradients nobody needs.

(Papernot, McDaniel and Goodfellow, Transferability in Machine Learning, 2016. Momentum: Dong et al., Boosting
Adversarial Attacks with Momentum, 2018, algorithm 1, and its section 3.3 for several surrogates at once: their logits'
mean.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.active import unit
from attacks.attack import Attack, Problem, require_gradients
from attacks.balls import AnyNorm, project
from attacks.losses import coefficients
from robust.errors import ModelShapeError, UsageError
from robust.subjects.protocols import Classifier


class Transfer(Attack):
    """Climbs with momentum on surrogates, and shows the subject where that led.

    The subject is asked once per sample and round, which is what ``forward`` counts; passes through surrogates are not
    counted. Rounds: each surrogate alone, then all together.

    Args:
        surrogates: classifiers with gradients, of the same inputs and classes.
        norm: ``linf`` or ``l2``.
        steps: of each climb; it does not stop at a surrogate's boundary.
        momentum: share of the direction so far that is kept.

    Raises:
        UsageError: no surrogate, no steps, another norm.
    """

    name = "transfer"
    needs_gradients = False

    def __init__(
        self, surrogates: Sequence[Classifier], *, norm: AnyNorm = "linf", steps: int = 20, momentum: float = 1.0
    ) -> None:
        if not surrogates or steps < 1 or momentum < 0:
            raise UsageError(
                "a transfer attack needs surrogates and steps",
                wanted="at least one classifier, steps >= 1, momentum >= 0",
                got=(len(surrogates), steps, momentum),
            )
        if norm not in ("linf", "l2"):
            raise UsageError("transfer does not know this norm", wanted="linf, l2", got=norm)
        self.surrogates, self.norm, self.steps, self.momentum = tuple(surrogates), norm, steps, momentum
        self.rounds = len(self.surrogates) + (len(self.surrogates) > 1)

    def propose(self, problem: Problem, round_: int) -> tuple[Tensor, Tensor | None]:
        """Where the climb of one round ends."""
        chosen = self.surrogates[round_ : round_ + 1] or self.surrogates
        for surrogate in chosen:
            _require_fit(surrogate, problem.classifier, problem.x)
        x, epsilon, box = problem.x, problem.epsilon, problem.classifier.input_box
        point, direction = x, torch.zeros_like(x)
        for _ in range(self.steps):
            with torch.enable_grad():
                leaf = point.detach().clone().requires_grad_()
                logits = torch.stack([each.logits(leaf).float() for each in chosen]).mean(0)
                _, push = coefficients("log-odds", logits, problem.goal)
                (gradient,) = torch.autograd.grad(logits, leaf, push)
            direction = self.momentum * direction + unit(gradient.nan_to_num(0.0, 0.0, 0.0), order=1)
            way = direction.sign() if self.norm == "linf" else unit(direction)
            point = project(x, point + 2 * epsilon / self.steps * way, epsilon, self.norm, box)
        return point, None

    def __repr__(self) -> str:
        names = ", ".join(surrogate.name for surrogate in self.surrogates)
        return f"Transfer([{names}], norm={self.norm!r}, steps={self.steps}, momentum={self.momentum})"


def _require_fit(surrogate: Classifier, subject: Classifier, x: Tensor) -> None:
    kinds = [(tuple(each.input_shape), len(each.class_names)) for each in (surrogate, subject)]
    if kinds[0] != kinds[1]:
        raise ModelShapeError(
            f"surrogate {surrogate.name} is of another kind than the subject",
            wanted=f"inputs {list(kinds[1][0])}, {kinds[1][1]} classes",
            got=f"inputs {list(kinds[0][0])}, {kinds[0][1]} classes",
        )
    require_gradients("transfer", surrogate, x[:1])
