"""Strong attempts to break a small model inside a ball: written apart from the package's attacks, which join in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from attacks import PGD
from attacks.balls import Norm, inside, project
from robust.properties import Box
from robust.subjects.protocols import Classifier

Logits = Callable[[Tensor], Tensor]


def margin(logits: Tensor, label: int) -> Tensor:
    """Label's logit minus the strongest rival's, ``[n]``; NaN counts as broken."""
    others = logits.clone()
    others[:, label] = -torch.inf
    return (logits[:, label] - others.amax(1)).nan_to_num(nan=-torch.inf)


def candidates(
    model: Logits, precise: Logits, x: Tensor, label: int, epsilon: float, norm: Norm, box: Box, seed: int
) -> Tensor:
    """Points ``[m, *shape]`` of the ball around ``x`` ``[*shape]`` where the margin is small.

    Args:
        model: float32 logits.
        precise: the same in float64.
    """
    generator = torch.Generator().manual_seed(seed)
    shape, size = x.shape, x.numel()
    lower, upper = torch.maximum(x - epsilon, box.lower), torch.minimum(x + epsilon, box.upper)

    def pulled(points: Tensor) -> Tensor:
        return project(x.expand_as(points), points, epsilon, norm, box)

    share = torch.rand(48, *shape, generator=generator)
    share[16:] = share[16:].round()
    starts = torch.cat([x[None], pulled(lower + share * (upper - lower))])
    seen = [starts]
    point = starts.double()
    for step in range(16):
        varying = point.detach().requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(margin(precise(varying), label).sum(), varying)
        gradient = gradient.nan_to_num()
        if norm == "linf":
            move = gradient.sign() * (upper - lower)
        else:
            length = torch.linalg.vector_norm(gradient.flatten(1), dim=1).clamp_min(1e-300)
            move = gradient / length.reshape(-1, *[1] * len(shape)) * 2 * epsilon
        single = pulled((point - move * 0.7**step).float())
        seen.append(single)
        point = single.double()
    pool = torch.cat(seen)
    best = pool[margin(model(pool), label).argsort()[:3]]
    for _ in range(2):
        changed = best.flatten(1)[:, None, None].repeat(1, size, 2, 1)
        places = torch.arange(size)
        changed[:, places, 0, places] = lower.flatten()
        changed[:, places, 1, places] = upper.flatten()
        pool = pulled(torch.cat([changed.reshape(-1, *shape), best]))
        best = pool[margin(model(pool), label).argsort()[:3]]
        seen.append(best)
    return torch.cat(seen)


def lowest(
    classifier: Classifier, precise: Logits, x: Tensor, label: int, epsilon: float, norm: Norm, seed: int
) -> tuple[float, Tensor]:
    """The smallest margin that the model's own arithmetic shows inside the ball, and where.

    Raises:
        AssertionError: a point of ours lies outside the ball.
    """
    box = classifier.input_box
    with torch.no_grad():
        points = candidates(classifier.logits, precise, x, label, epsilon, norm, box, seed)
    attempt = PGD(norm=norm, steps=8, restarts=2)(
        classifier, x[None], torch.tensor([label]), epsilon, torch.Generator().manual_seed(seed)
    )
    points = torch.cat([points, attempt.adversarials])
    assert bool(inside(x.expand_as(points), points, epsilon, norm, box).all())
    with torch.no_grad():
        margins = margin(classifier.replay(points), label)
        place = int(margins.argmin())
        alone = margin(classifier.replay(points[place : place + 1]), label)
    return float(torch.minimum(margins[place], alone[0])), points[place]
