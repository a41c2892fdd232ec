"""Integrated gradients (Sundararajan, Taly and Yan 2017, *Axiomatic Attribution for Deep Networks*)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robust.explanation.maps import as_maps, check_request

ROWS = 2048
"""Inputs in one batch at most, unless a single sample needs more."""


def integrated_gradients(
    logits: Callable[[Tensor], Tensor], x: Tensor, classes: Tensor, baseline: Tensor, *, steps: int = 32
) -> Tensor:
    """The gradient of the logit, averaged on the way from ``baseline`` to ``x``, times ``x - baseline`` (equation 1).

    The sum of a map is the logit at ``x`` less the logit at ``baseline`` (completeness), up to the error of a
    Gauss-Legendre quadrature of ``steps`` nodes.

    Args:
        logits: ``[n, *shape] -> [n, classes]``, differentiable.
        x: ``[n, *shape]``.
        classes: int64 ``[n]``.
        baseline: ``[*shape]``, where nothing is said to be seen.
        steps: nodes of the quadrature.

    Returns:
        float32 ``[n, H, W]`` for pictures ``[C, H, W]``, else ``[n, *shape]``; signed.
    """
    from captum.attr import IntegratedGradients

    check_request(x, classes)
    method, size = IntegratedGradients(logits), max(1, ROWS // steps)
    made = []
    with torch.enable_grad():
        for few, wanted in zip(torch.split(x.detach(), size), torch.split(classes, size), strict=True):
            made.append(method.attribute(few, baseline.expand_as(few), target=wanted, n_steps=steps).detach())
    return as_maps(torch.cat(made))
