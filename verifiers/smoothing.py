"""Randomised smoothing: certified L2 radii of a classifier that votes over Gaussian noise.

Cohen, Rosenfeld and Kolter, Certified Adversarial Robustness via Randomized Smoothing, 2019: sections 3.1 and 3.2,
algorithms PREDICT and CERTIFY. The proof speaks of the *smoothed* classifier ``g(x) = argmax_c P(f(x + N(0, sigma^2))
= c)``, not of the network ``f`` inside, and asks nothing of ``f`` but answers: any size, any black box.

The noise is not cut to the input box: the theorem wants ``x + N(0, sigma^2)`` as it is. A model that cuts or rounds its
input itself is a fine ``f``, because what is done with a noisy input afterwards is part of the classifier.

It is a statistical proof: for each sample, the class and the radius hold except with probability ``alpha``, over the
noise. Of ``n`` samples about ``n * alpha`` may be wrong; for all at once ask for ``alpha / n`` each (Bonferroni). Noise
comes from a pseudo-random generator in floating point, whose distance to a true Gaussian is not accounted for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from robust.errors import DataRangeError, UsageError
from robust.statistics import clopper_pearson_lower
from verifiers.voting import Model, votes

ABSTAINED = -1
"""The class where the smoothed classifier does not answer."""


@dataclass(frozen=True, eq=False)
class SmoothedCertificates:
    """What CERTIFY says of ``n`` samples.

    Attributes:
        predicted: int64 ``[n]``; -1 where it abstains.
        radii: float64 ``[n]``, L2, in input units; 0 where it abstains. ``g`` answers ``predicted`` at every distance
            *smaller* than this, with probability at least ``1 - alpha`` for each sample.
        abstained: bool ``[n]``.
        p_lower: float64 ``[n]``, one-sided lower Clopper-Pearson limit of the selected class's probability.
        selected: int64 ``[n]``, the class chosen by the selection draws.
        counts: int64 ``[n, classes]``, votes of the estimation draws. A vote that is not finite counts for no class.
        selection_counts: int64 ``[n, classes]``, votes of the selection draws; never used for ``p_lower``.
        sigma: of the noise, in input units.
        draws: of the estimation.
        alpha: probability that a sample's radius is wrong.
    """

    predicted: Tensor
    radii: Tensor
    abstained: Tensor
    p_lower: Tensor
    selected: Tensor
    counts: Tensor
    selection_counts: Tensor
    sigma: float
    draws: int
    alpha: float

    def certified(self, labels: Tensor, radius: float) -> Tensor:
        """Bool ``[n]``: the answer is the label and proved to stay within the closed ball of ``radius``.

        Abstaining is not certified, nor is another class than the label.
        """
        return ~self.abstained & (self.predicted == labels.to(self.predicted)) & (self.radii > radius)

    @property
    def family_failure(self) -> float:
        """An upper bound of the probability that any of the radii is wrong (union bound); 1 says nothing."""
        return min(1.0, len(self.radii) * self.alpha)


def smoothed_certificates(
    model: Model,
    x: Tensor,
    *,
    sigma: float,
    generator: torch.Generator,
    selection: int = 100,
    draws: int = 10_000,
    alpha: float = 0.001,
    bytes: int = 256 * 2**20,
) -> SmoothedCertificates:
    """CERTIFY of Cohen et al. for a batch of samples.

    Args:
        model: from ``[m, *shape]`` to logits ``[m, classes]``, any callable; its answer is the largest logit.
        x: float ``[n, *shape]`` on the model's device.
        sigma: standard deviation of the noise, in input units.
        generator: owns the noise, on the CPU or on the model's device (which saves the transfer).
        selection: noise draws that choose the class (the paper's ``n0``).
        draws: further ones that estimate its probability (the paper's ``n``). The largest radius that can come out is
            ``sigma * Phi^-1(alpha ** (1 / draws))``.
        alpha: probability, for each sample, that the radius is wrong.
        bytes: aim for batches of at most about so many bytes; changes no result but by the model's own rounding.

    Raises:
        UsageError: sigma, alpha or a number of draws makes no sense.
        DataRangeError: samples that are not finite.
    """
    _check(x, sigma, alpha, min(selection, draws))
    first = votes(model, x, sigma=sigma, draws=selection, generator=generator, bytes=bytes)
    counts = votes(model, x, sigma=sigma, draws=draws, generator=generator, bytes=bytes)
    selected = first.argmax(1)
    supporters = counts.gather(1, selected[:, None])[:, 0].cpu().numpy()
    lower = clopper_pearson_lower(supporters, np.full_like(supporters, draws), alpha)
    p_lower = torch.from_numpy(np.atleast_1d(lower)).to(x.device)
    abstained = p_lower <= 0.5
    radii = torch.from_numpy(np.atleast_1d(smoothed_radius(lower, sigma))).to(x.device)
    predicted = torch.where(abstained, torch.full_like(selected, ABSTAINED), selected)
    return SmoothedCertificates(
        predicted, radii, abstained, p_lower, selected, counts, first, float(sigma), draws, float(alpha)
    )


def smoothed_predictions(
    model: Model,
    x: Tensor,
    *,
    sigma: float,
    generator: torch.Generator,
    draws: int = 1_000,
    alpha: float = 0.001,
    bytes: int = 256 * 2**20,
) -> Tensor:
    """PREDICT of Cohen et al.: the smoothed classifier's answers, int64 ``[n]``, -1 where it abstains.

    An answer is that of the exact ``g`` except with probability ``alpha`` for each sample: it abstains unless a
    two-sided exact binomial test tells the two most voted classes apart (Hung and Fithian 2019). Arguments as for
    ``smoothed_certificates``.
    """
    _check(x, sigma, alpha, draws)
    counts = votes(model, x, sigma=sigma, draws=draws, generator=generator, bytes=bytes)
    if counts.shape[1] < 2:
        return torch.full((len(x),), ABSTAINED, device=x.device)
    top = counts.topk(2, dim=1)
    first, second = (part.cpu().numpy() for part in top.values.T)
    # The larger of two binomial halves: twice the upper tail at the leader's votes, and 1 at a tie.
    p_values = np.minimum(1.0, 2 * stats.binom.sf(first - 1, first + second, 0.5))
    sure = torch.from_numpy(np.atleast_1d(p_values <= alpha)).to(x.device)
    return torch.where(sure, top.indices[:, 0], ABSTAINED)


def smoothed_radius(p_lower: np.ndarray, sigma: float) -> np.ndarray:
    """``sigma * Phi^-1(p)`` where ``p > 1/2``, else 0 (Cohen et al. 2019, theorem 1 with ``p_B = 1 - p_A``)."""
    return np.where(p_lower > 0.5, sigma * stats.norm.ppf(np.maximum(p_lower, 0.5)), 0.0)


def _check(x: Tensor, sigma: float, alpha: float, draws: int) -> None:
    if not (0 < sigma < math.inf and 0 < alpha < 1 and draws >= 1):
        raise UsageError(
            "randomised smoothing cannot work with these numbers",
            wanted="a finite sigma above 0, alpha between 0 and 1, at least 1 draw",
            got=f"sigma {sigma}, alpha {alpha}, {draws} draws",
        )
    if not x.is_floating_point() or not bool(torch.isfinite(x).all()):
        raise DataRangeError("samples are not finite numbers", wanted="finite floats", got="NaN, infinity or integers")
