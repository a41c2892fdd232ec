"""One perturbation for all samples.

(Moosavi-Dezfooli et al., Universal Adversarial Perturbations, 2017; climbed as in Shafahi et al., Universal Adversarial
Training, 2020, algorithm 2: stochastic signed gradients of a clipped loss, summed over a batch.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attacks.active import unit
from attacks.attack import checked_samples, replayed, require_gradients
from attacks.balls import check_epsilon, inside, project
from attacks.goals import Goal, as_goal
from attacks.losses import coefficients
from robust.errors import DataShapeError, UsageError
from robust.subjects.protocols import Classifier

BATCH = 256
CLIPPED = 2.0
"""Log-odds beyond the boundary that a sample may contribute: from there on it is broken, and others are worth more."""


@dataclass(frozen=True, eq=False)
class Universal:
    """A perturbation that was found.

    Attributes:
        perturbation: float32 ``[*shape]``, in the ball around 0.
        epsilon: radius in input units.
        norm: of the ball.
        forward: queries, of all samples together.
        backward: gradient evaluations.
    """

    perturbation: Tensor
    epsilon: float
    norm: Literal["linf", "l2"]
    forward: int
    backward: int

    def on(self, classifier: Classifier, x: Tensor) -> Tensor:
        """Samples ``[n, *shape]`` with it, in the input box and, each, in its ball.

        Raises:
            DataShapeError, DataTypeError, DataRangeError: samples of another kind.
        """
        x = checked_samples(classifier, x)
        if x.shape[1:] != self.perturbation.shape:
            raise DataShapeError(
                "a perturbation is of other samples", wanted=list(self.perturbation.shape), got=list(x.shape[1:])
            )
        points = x + self.perturbation.to(x)
        return project(x, points, self.epsilon, self.norm, classifier.input_box)

    def breaks(self, classifier: Classifier, x: Tensor, wanted: Tensor | Goal) -> Tensor:
        """Bool ``[n]``: the real model answers the sample with it as the goal wishes. For samples that it was not made
        from, too: there its rate says how universal it is."""
        x = checked_samples(classifier, x)
        goal = as_goal(wanted, len(classifier.class_names), len(x), classifier.device)
        points = self.on(classifier, x)
        lies = inside(x, points, self.epsilon, self.norm, classifier.input_box)
        parts = [replayed(classifier, part) for part in torch.split(points, BATCH)]
        return goal.reached(torch.cat(parts)) & lies if parts else lies


class UniversalAttack:
    """Climbs for one perturbation over batches of samples.

    Args:
        norm: ``linf`` or ``l2``.
        passes: times that every sample is seen.
        relative_step: first step over epsilon; it falls to a tenth, geometrically.
    """

    name = "universal"

    def __init__(self, *, norm: Literal["linf", "l2"] = "linf", passes: int = 10, relative_step: float = 0.25) -> None:
        if norm not in ("linf", "l2"):
            raise UsageError("a universal perturbation has another norm", wanted="linf or l2", got=norm)
        if isinstance(passes, bool) or int(passes) != passes or passes < 1 or not relative_step > 0:
            raise UsageError(
                "a universal perturbation needs passes and steps",
                wanted="passes >= 1, relative_step > 0",
                got=(passes, relative_step),
            )
        self.norm: Literal["linf", "l2"] = norm
        self.passes, self.relative_step = passes, relative_step

    def __call__(
        self, classifier: Classifier, x: Tensor, wanted: Tensor | Goal, epsilon: float, generator: torch.Generator
    ) -> Universal:
        """Look for one perturbation that reaches the goal for many samples.

        Args:
            classifier: the subject.
            x: samples float32 ``[n, *shape]`` inside its box, at least one.
            wanted: true classes int64 ``[n]``, or a goal (``Targeted`` to one class for all, say).
            epsilon: radius in input units.
            generator: a CPU generator; the global ones are never touched.

        Raises:
            NoGradientError: the subject gives no gradients.
            DataShapeError, DataTypeError, DataRangeError, LabelError, PropertyError: as of other attacks.
        """
        x, epsilon = checked_samples(classifier, x), check_epsilon(epsilon)
        if not len(x):
            raise DataShapeError("a universal perturbation is made from samples", wanted="at least one", got=0)
        goal = as_goal(wanted, len(classifier.class_names), len(x), classifier.device)
        require_gradients(self.name, classifier, x[:1])
        delta, step = torch.zeros_like(x[0]), 0
        total = self.passes * -(-len(x) // BATCH)
        decay = 0.1 ** (1 / max(1, total - 1))
        for _ in range(self.passes):
            order = torch.randperm(len(x), generator=generator).to(x.device)
            for rows in torch.split(order, BATCH):
                gradient = self._gradient(classifier, x[rows], goal.take(rows), delta)
                delta = self._moved(delta, gradient, self.relative_step * epsilon * decay**step, epsilon)
                step += 1
        return Universal(delta, epsilon, self.norm, self.passes * len(x), self.passes * len(x))

    def _gradient(self, classifier: Classifier, x: Tensor, goal: Goal, delta: Tensor) -> Tensor:
        """Of the clipped losses' sum, by the perturbation."""
        ends = classifier.input_box
        with torch.enable_grad():
            leaf = delta.detach().clone().requires_grad_()
            points = torch.minimum(torch.maximum(x + leaf, ends.lower.to(x)), ends.upper.to(x))
            logits = classifier.logits(points)
            worth, push = coefficients("log-odds", logits.float(), goal)
            push = torch.where((worth < CLIPPED)[:, None], push, torch.zeros_like(push))
            (gradient,) = torch.autograd.grad(logits, leaf, push.to(logits.dtype), allow_unused=True)
        return torch.zeros_like(delta) if gradient is None else gradient.nan_to_num(0.0, 0.0, 0.0)

    def _moved(self, delta: Tensor, gradient: Tensor, size: float, epsilon: float) -> Tensor:
        if self.norm == "linf":
            return (delta + size * gradient.sign()).clamp(-epsilon, epsilon)
        moved = delta + size * unit(gradient[None])[0]
        length: Tensor = torch.linalg.vector_norm(moved.flatten())
        return moved * (epsilon / length.clamp_min(1e-30)).clamp_max(1.0)

    def __repr__(self) -> str:
        return f"UniversalAttack(norm={self.norm!r}, passes={self.passes}, relative_step={self.relative_step})"
