"""Adversarial training: the worst inputs that an attack finds are what the model learns from.

(Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018, section 2; of rotations and shifts,
the worst of several draws: Engstrom et al., Exploring the Landscape of Spatial Robustness, 2019, section 5.) For
people who have found a weakness and want to see it shrink; judge the result by attacks that the training did not use.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attacks.active import unit
from attacks.balls import check_epsilon
from attacks.changes.change import Change
from robust.errors import LabelError, NonFiniteError, UsageError

Ends = tuple[float, float]


class Against(Protocol):
    """What makes harder inputs of a batch."""

    def __call__(self, module: nn.Module, x: Tensor, y: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """Inputs ``[n, *shape]`` in place of ``x``, of classes ``y [n]``; ``strength`` grows from 0 to 1."""
        ...


@dataclass(frozen=True)
class InBall:
    """Projected gradient descent in a ball, from a random start.

    Attributes:
        epsilon: radius in input units.
        norm: of the ball.
        steps: gradient steps, each of ``2.5 epsilon / steps``.
        box: ends of the input box.
    """

    epsilon: float
    norm: Literal["linf", "l2"] = "linf"
    steps: int = 7
    box: Ends = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_epsilon(self.epsilon)
        if self.norm not in ("linf", "l2") or self.steps < 1:
            raise UsageError("impossible training", wanted="norm linf or l2, steps >= 1", got=(self.norm, self.steps))

    def __call__(self, module: nn.Module, x: Tensor, y: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """See ``Against``."""
        epsilon = self.epsilon * strength
        noise = torch.rand(x.shape, generator=generator).to(x) * 2 - 1
        moved = self._cut(x, x + epsilon * (noise if self.norm == "linf" else unit(noise)), epsilon)
        for _ in range(self.steps):
            slope = gradient_of(module, moved, y)
            way = slope.sign() if self.norm == "linf" else unit(slope)
            moved = self._cut(x, moved + 2.5 * epsilon / self.steps * way, epsilon)
        return moved

    def _cut(self, x: Tensor, moved: Tensor, epsilon: float) -> Tensor:
        change = moved - x
        if self.norm == "linf":
            change = change.clamp(-epsilon, epsilon)
        else:
            size = torch.linalg.vector_norm(change.flatten(1), dim=1).clamp_min(1e-12)
            change = change * (epsilon / size).clamp_max(1.0).reshape(-1, *[1] * (x.ndim - 1))
        return (x + change).clamp(*self.box)


@dataclass(frozen=True)
class UnderChange:
    """The worst of several draws of a change of pictures.

    Attributes:
        change: the family.
        draws: for each sample.
        box: ends of the input box.
    """

    change: Change
    draws: int = 5
    box: Ends = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise UsageError("a change needs draws", wanted="at least 1", got=self.draws)

    def __call__(self, module: nn.Module, x: Tensor, y: Tensor, strength: float, generator: torch.Generator) -> Tensor:
        """See ``Against``."""
        shape = tuple(x.shape[1:])
        ends, neutral = self.change.box(shape).to(x), self.change.neutral(shape).to(x)
        share = torch.rand(self.draws, len(x), len(ends), generator=generator).to(x)
        drawn = ends[:, 0] + share * (ends[:, 1] - ends[:, 0])
        drawn = neutral + strength * (drawn - neutral)
        with torch.no_grad():
            made = torch.stack([self.change.apply(x, each).clamp(*self.box) for each in drawn])
            losses = [F.cross_entropy(module(each), y, reduction="none") for each in made]
            worst = torch.stack(losses).nan_to_num(-math.inf).argmax(0)
        return made[worst, torch.arange(len(x), device=x.device)]


def gradient_of(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Of the cross-entropy by the inputs; parameters' gradients are left alone."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(module(leaf), y, reduction="sum"), leaf)
    return slope.nan_to_num(0.0, 0.0, 0.0)


def adversarial_training(
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    against: Against | tuple[Against, ...],
    *,
    epochs: int = 20,
    batch: int = 64,
    learning_rate: float = 1e-3,
    plain: float = 0.3,
    seed: int = 0,
    watch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> nn.Module:
    """A copy of a classifier, trained on the worst inputs that each of ``against`` makes.

    Inputs are made in evaluation mode, steps in training mode. The strength grows over the first half of the training,
    the learning rate rises and falls once (Smith and Topin 2018).

    Args:
        module: inputs to logits; not changed, on its own device.
        x: samples float32 ``[n, *shape]``.
        y: classes int64 ``[n]``.
        against: one or several, with equal weights.
        epochs: passes over the samples.
        batch: samples of one step.
        learning_rate: the highest, of Adam.
        plain: weight of the loss on the samples as they are, 0 to 1.
        seed: of all draws; the global generators are not touched by what is drawn here.
        watch: told the epoch, from 1, and its mean loss.

    Returns:
        The trained copy, in evaluation mode.

    Raises:
        LabelError: samples and classes do not fit each other.
        UsageError: numbers that make no training.
        NonFiniteError: the loss is no number any more.
    """
    if len(x) != len(y) or not len(x) or y.dtype != torch.int64:
        raise LabelError("samples and labels do not fit", wanted=f"int64 [{len(x)}]", got=f"{y.dtype} {list(y.shape)}")
    if epochs < 1 or batch < 1 or not 0 < learning_rate < math.inf or not 0 <= plain <= 1:
        raise UsageError(
            "impossible training",
            wanted="epochs >= 1, batch >= 1, learning_rate > 0, plain within 0 and 1",
            got=(epochs, batch, learning_rate, plain),
        )
    trained = copy.deepcopy(module)
    device = next((part.device for part in trained.parameters()), torch.device("cpu"))
    x, y, makers = x.to(device), y.to(device), against if isinstance(against, tuple) else (against,)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(trained.parameters(), lr=learning_rate)
    total, step = epochs * math.ceil(len(x) / batch), 0
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=max(2, total))
    for epoch in range(epochs):
        summed = torch.zeros((), device=device)
        for rows in torch.split(torch.randperm(len(x), generator=generator).to(device), batch):
            trained.eval()
            made = [maker(trained, x[rows], y[rows], min(1.0, 2 * step / total), generator) for maker in makers]
            trained.train()
            optimiser.zero_grad()
            hard = torch.stack([F.cross_entropy(trained(each), y[rows]) for each in made]).mean()
            loss = (1 - plain) * hard + (plain * F.cross_entropy(trained(x[rows]), y[rows]) if plain else 0.0)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            summed, step = summed + loss.detach() * len(rows), step + 1
        mean = float(summed) / len(x)
        if not math.isfinite(mean):
            raise NonFiniteError(
                "the loss of the training is no number any more", got=mean, hint="a smaller learning rate"
            )
        watch(epoch + 1, mean)
    return trained.eval()
