"""Noise of a sensor (Hendrycks and Dietterich 2019, section 3): gaussian, shot, impulse. Its amounts are theirs."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

DEVIATIONS = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviations of gaussian noise, as shares of the range."""

PHOTONS = (60.0, 25.0, 12.0, 5.0, 3.0)
"""How many photons a white pixel catches on average: the variance of shot noise is ``x / photons``."""

IMPULSES = (0.03, 0.06, 0.09, 0.17, 0.27)
"""Share of the values that become 0 or 1, either as likely."""


def gaussian_noise(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """``x + deviation * N(0, 1)``, each channel for itself."""
    return x + DEVIATIONS[severity - 1] * torch.randn(x.shape, generator=generator).to(x)


def shot_noise(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """``Poisson(x * photons) / photons``."""
    photons = PHOTONS[severity - 1]
    return torch.poisson((x * photons).cpu(), generator=generator).to(x) / photons


def impulse_noise(x: Tensor, severity: int, generator: Generator) -> Tensor:
    """Salt and pepper: a share of the values, drawn one by one, becomes 0 or 1."""
    share = IMPULSES[severity - 1]
    draw = torch.rand(x.shape, generator=generator).to(x)
    salt = torch.rand(x.shape, generator=generator).to(x) < 0.5
    return torch.where(draw < share, salt.to(x), x)
