"""Small changes of the input under which an explanation should stay (Alvarez-Melis and Jaakkola 2018;
Ghorbani, Abid and Zou 2019; Selvaraju et al. 2017, section 6.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from robust.properties.input_sets import Box


def noisy(x: Tensor, box: Box, share: float, generator: torch.Generator) -> Tensor:
    """``x`` ``[n, *shape]`` with each number moved uniformly by at most ``share`` of its range, inside the box."""
    moves = (2 * torch.rand(x.shape, generator=generator) - 1).to(x.device)
    return _inside(x + share * moves * (box.upper - box.lower), box)


def attacked(logits: Callable[[Tensor], Tensor], x: Tensor, classes: Tensor, box: Box, share: float) -> Tensor:
    """One signed gradient step against ``classes`` (Goodfellow et al. 2015) of ``share`` of the ranges, in the box."""
    with torch.enable_grad():
        point = x.detach().clone().requires_grad_(True)
        loss = functional.cross_entropy(logits(point), classes, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
    return _inside(x + share * gradient.sign() * (box.upper - box.lower), box)


def _inside(x: Tensor, box: Box) -> Tensor:
    return torch.minimum(torch.maximum(x, box.lower), box.upper).detach()
