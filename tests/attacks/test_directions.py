from __future__ import annotations

import math

import pytest
import torch

from attacks.directions import cross_entropy_direction, margin, margin_direction


def test_the_cross_entropy_direction_is_the_gradient_up_to_a_positive_factor() -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    labels = torch.arange(20) % 5
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"), logits)
    wrong = 1 - torch.softmax(logits.detach(), 1).gather(1, labels[:, None])
    assert torch.allclose(cross_entropy_direction(logits, labels) * wrong, gradient, atol=1e-12)


def test_it_does_not_vanish_where_the_plain_gradient_does() -> None:
    logits, labels = torch.tensor([[500.0, 10.0, 10.0]]), torch.tensor([0])
    assert cross_entropy_direction(logits, labels).tolist() == [[-1.0, 0.5, 0.5]]


def test_margins_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 4.0, 1.0], [1.0, math.nan, 0.0]])
    labels = torch.tensor([0, 2, 0])
    assert margin(logits, labels).tolist() == pytest.approx([0.5, -3.0, -math.inf])
    assert margin_direction(logits[:2], labels[:2]).tolist() == [[-1.0, 0.0, 1.0], [0.0, 1.0, -1.0]]
