"""foolbox's gradient descent (Rauber et al. 2017, 2020), made to keep its hands off what is not its own.

foolbox 3.3.4 as it stands moves the model to ``cuda:0``, writes gradients into the parameters, draws random starts
from torch's global generator and knows one pair of bounds for all features. Its loop, steps and projections are
used as they are; the four hooks below take the gradient by the input alone, start where they are told, cut to the
box of every feature, and remember the best iterate.
"""

from __future__ import annotations

import warnings
from typing import Any

import eagerpy as ep
import torch
from torch import Tensor

from attacks.active import scaled
from attacks.balls import Norm
from attacks.goals import Goal
from attacks.losses import Loss, coefficients
from robust.properties.input_sets import Box
from robust.subjects.protocols import Classifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox
    from foolbox.attacks.gradient_descent_base import L2BaseGradientDescent, LinfBaseGradientDescent

_WANTED = foolbox.Misclassification(torch.zeros(1, dtype=torch.int64))
"""foolbox asks for a criterion; the hooks below take the loss from the goal instead."""

ENGINE = f"foolbox {foolbox.__version__}"


class Best:
    """The iterate with the smallest margin seen so far, and whether any gradient was alive. No host is asked."""

    def __init__(self, x: Tensor, goal: Goal) -> None:
        self.goal = goal
        self.x = x.clone()
        self.margin = torch.full((len(x),), torch.inf, device=x.device)
        self.certainty = torch.zeros(len(x), device=x.device)
        self.dead = torch.ones(len(x), dtype=torch.bool, device=x.device)

    def see(self, x: Tensor, logits: Tensor) -> None:
        """Look at an iterate ``[n, *shape]`` with logits ``[n, classes]``."""
        value = self.goal.margin(logits)
        better = value < self.margin
        self.margin = torch.where(better, value, self.margin)
        self.certainty = logits.abs().amax(1) * 1e-4
        self.x = torch.where(better.reshape(-1, *(1 for _ in x.shape[1:])), x, self.x)

    @property
    def broken(self) -> Tensor:
        """Bool ``[n]``: broken by more than what two runtimes of the same model may differ by."""
        return self.margin < -self.certainty

    def take(self, keep: Tensor) -> Best:
        """The rows where ``keep``."""
        other = Best(self.x[keep], self.goal.take(keep))
        other.margin, other.certainty, other.dead = self.margin[keep], self.certainty[keep], self.dead[keep]
        return other


class _Subject(foolbox.models.base.Model):  # type: ignore[misc]
    """A classifier as foolbox's model. Only its bounds are asked for; the hull of the box."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        box = classifier.input_box
        self._bounds = foolbox.types.Bounds(float(box.lower.min()), float(box.upper.max()))

    @property
    def bounds(self) -> Any:
        return self._bounds

    def __call__(self, inputs: Any) -> Any:
        x, restore = ep.astensor_(inputs)
        return restore(ep.astensor(self.classifier.logits(x.raw)))


class _Hooks:
    """The four hooks, mixed into foolbox's descent of either norm."""

    box: Box
    best: Best
    start: Tensor
    loss: Loss

    def get_loss_fn(self, model: Any, labels: Any) -> Any:
        def logits(inputs: Any) -> Any:
            return model(inputs)

        return logits

    def value_and_grad(self, loss_fn: Any, x: Any) -> Any:
        raw = x.raw.detach()
        with torch.enable_grad():
            leaf = raw.clone().requires_grad_()
            logits = loss_fn(ep.astensor(leaf)).raw
            _, push = coefficients(self.loss, logits.float(), self.best.goal)
            (gradient,) = torch.autograd.grad(logits, leaf, push.to(logits.dtype), allow_unused=True)
        self.best.see(raw, logits.detach().float())
        if gradient is None:
            gradient = torch.zeros_like(raw)
        gradient = torch.where(torch.isfinite(gradient), gradient, torch.zeros_like(gradient))
        self.best.dead &= (gradient == 0).flatten(1).all(1)
        return None, ep.astensor(scaled(gradient))

    def get_random_start(self, x0: Any, epsilon: float) -> Any:
        return self.project(ep.astensor(self.start), x0, epsilon)

    def project(self, x: Any, x0: Any, epsilon: float) -> Any:
        inner: Any = super()
        return ep.astensor(self.box.clamp(inner.project(x, x0, epsilon).raw))


class _Linf(_Hooks, LinfBaseGradientDescent):  # type: ignore[misc]
    """Steps along the sign of the gradient."""


class _L2(_Hooks, L2BaseGradientDescent):  # type: ignore[misc]
    """Steps along the gradient over its L2 norm."""


def descend(
    classifier: Classifier,
    x: Tensor,
    start: Tensor,
    best: Best,
    *,
    epsilon: float,
    norm: Norm,
    loss: Loss,
    steps: int,
    step_size: float,
) -> Tensor:
    """``steps`` of foolbox's projected gradient descent from ``start``.

    Args:
        classifier: a differentiable subject.
        x: centres ``[n, *shape]``.
        start: where to begin ``[n, *shape]``.
        best: sees every iterate but the last.
        epsilon: radius in input units.
        norm: whose ball, and whose steepest direction.
        loss: what to climb.
        steps: how many.
        step_size: in input units.

    Returns:
        The last iterate ``[n, *shape]``.
    """
    kind = _Linf if norm == "linf" else _L2
    attack = kind(rel_stepsize=0.0, abs_stepsize=step_size, steps=steps, random_start=True)
    attack.box, attack.best, attack.start, attack.loss = classifier.input_box, best, start, loss
    end: Tensor = attack.run(_Subject(classifier), x, _WANTED, epsilon=epsilon)
    return end.detach()
