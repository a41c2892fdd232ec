"""Which way an attack pushes the logits: coefficients ``c`` so that the gradient of ``<c, logits>`` is followed."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Loss = Literal["cross-entropy", "margin"]


def cross_entropy_direction(logits: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the cross-entropy by the logits, divided by ``1 - p(label)``.

    With ``r`` the softmax over the *rivals* of the label, ``d CE / d logits = (1 - p(label)) (r - onehot(label))``.
    The factor is positive and attacks normalise it away; without it nothing underflows when the model is sure,
    where the plain gradient in float32 is exactly zero (Carlini and Wagner 2017, section V, on saturated softmax).

    Args:
        logits: ``[n, classes]``.
        labels: int64 ``[n]``.

    Returns:
        ``[n, classes]``; every row sums to 0.
    """
    rivals = logits.detach().scatter(1, labels[:, None], -torch.inf)
    return torch.softmax(rivals, 1).scatter(1, labels[:, None], -1.0)


def margin_direction(logits: Tensor, labels: Tensor) -> Tensor:
    """The strongest rival up, the label down (the margin loss of Carlini and Wagner 2017, f6): ``[n, classes]``."""
    rivals = logits.detach().scatter(1, labels[:, None], -torch.inf)
    up = torch.zeros_like(rivals).scatter(1, rivals.argmax(1, keepdim=True), 1.0)
    return up.scatter(1, labels[:, None], -1.0)


def direction(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """One of the two, by name."""
    return cross_entropy_direction(logits, labels) if loss == "cross-entropy" else margin_direction(logits, labels)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Label's logit minus the strongest rival's, ``[n]``: negative where the answer is wrong; NaN counts as -inf."""
    own = logits.gather(1, labels[:, None])[:, 0]
    rival = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    value = own - rival
    return torch.where(torch.isnan(value) | logits.isnan().any(1), -torch.inf, value)
