"""Plug and Play Generative Networks: a sampler with a prior, and without it a fooling attack.

    Nguyen, Clune, Bengio, Dosovitskiy and Yosinski, Plug & Play Generative Networks: Conditional Iterative Generation
    of Images in Latent Space, CVPR 2017, equation 11.

A code ``h`` moves by ``eps1 (R(h) - h)`` towards what a denoiser ``R`` takes for likely (the gradient of a log-prior up
to a factor, Alain and Bengio 2014), by ``eps2`` times the gradient of ``log p(class | G(h))``, and by noise of standard
deviation ``eps3``. ``G`` is a generator, or nothing: then codes are inputs. The same sampler with ``eps1 = 0`` climbs
confidence alone: between the two lies how much of what a model is sure of is on the data.

The published code differs from the equation: each step is divided by the mean magnitude of its direction, so that the
weights are relative only (``normalise``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.fooling.fooling import log_confidences
from robust.errors import UsageError
from robust.subjects.protocols import Classifier

Denoiser = Callable[[Tensor], Tensor]
"""From codes ``[n, d]`` to what they should have been."""


@dataclass(frozen=True, eq=False)
class LinearDenoiser:
    """The best linear denoiser of a cloud of codes: that of a normal distribution with its mean and covariance.

    ``R(h) = mean + covariance (covariance + sigma^2 I)^-1 (h - mean)``.

    Attributes:
        mean: ``[d]``.
        gain: ``[d, d]``.
    """

    mean: Tensor
    gain: Tensor

    @classmethod
    def fit(cls, codes: Tensor, sigma: float) -> LinearDenoiser:
        """Of codes ``[n, d]`` with noise of standard deviation ``sigma``.

        Raises:
            UsageError: fewer than two codes, or no noise.
        """
        if len(codes) < 2 or not sigma > 0:
            raise UsageError("a denoiser is fitted to codes with noise", wanted="two codes, sigma > 0", got=len(codes))
        flat = codes.flatten(1).double()
        covariance = torch.cov(flat.T).reshape(flat.shape[1], flat.shape[1])
        noisy = covariance + sigma**2 * torch.eye(len(covariance), dtype=flat.dtype, device=flat.device)
        gain = torch.linalg.solve(noisy, covariance).T
        return cls(flat.mean(0).to(codes), gain.to(codes))

    def __call__(self, codes: Tensor) -> Tensor:
        """``[n, d]`` to the same shape."""
        return self.mean + (codes - self.mean) @ self.gain.T


@dataclass(frozen=True, eq=False)
class Chain:
    """What a run of the sampler made.

    Attributes:
        codes: ``[n, *code]``, the last ones.
        inputs: float32 ``[n, *shape]``, inside the classifier's box.
        confidences: of the replay on the model, float64 ``[n]``.
        history: mean confidence after each step.
    """

    codes: Tensor
    inputs: Tensor
    confidences: Tensor
    history: tuple[float, ...]


@dataclass(frozen=True)
class PlugAndPlay:
    """The sampler.

    Args:
        eps1: weight of the prior; 0: a fooling attack.
        eps2: weight of the condition.
        eps3: standard deviation of the noise.
        steps: of the chain.
        normalise: divide each step by the mean magnitude of its direction and multiply by ``rate``, as the published
            code does; else the step of the paper.
        rate: see ``normalise``.
        eps4: weight of ``context - G(h)`` where ``known``: inpainting (the paper's section 4).
    """

    eps1: float = 1e-2
    eps2: float = 1.0
    eps3: float = 1e-6
    steps: int = 200
    normalise: bool = False
    rate: float = 0.05
    eps4: float = 0.0

    def __post_init__(self) -> None:
        """Whether weights are any."""
        if self.steps < 1 or min(self.eps1, self.eps2, self.eps3, self.eps4) < 0 or not self.rate > 0:
            raise UsageError("a sampler needs steps and weights", wanted="steps >= 1, eps >= 0, rate > 0", got=self)

    def __call__(
        self,
        classifier: Classifier,
        start: Tensor,
        targets: Tensor | None,
        generator: torch.Generator,
        *,
        denoiser: Denoiser,
        decode: Callable[[Tensor], Tensor] = lambda codes: codes,
        unit: Callable[[Tensor], Tensor] | None = None,
        context: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Chain:
        """Run the chain.

        Args:
            classifier: gives the condition; differentiable.
            start: codes ``[n, *code]``.
            targets: int64 ``[n]``, the class of each; None: what ``unit`` says, or no condition at all.
            generator: of the noise, on the CPU.
            denoiser: of flat codes.
            decode: codes to inputs, differentiable; by default codes are inputs.
            unit: from inputs ``[n, *shape]`` to what shall grow ``[n]``, a neuron say, instead of a class.
            context: ``[n, *shape]``, for inpainting.
            known: bool ``[n, *shape]``: where the context is given.

        Raises:
            UsageError: a context without a mask of what is known.
        """
        if (context is None) != (known is None):
            raise UsageError("inpainting takes a picture and which of its pixels are known")
        codes, history = start.detach().clone(), []
        box = classifier.input_box
        for _ in range(self.steps):
            leaf = codes.clone().requires_grad_(True)
            with torch.enable_grad():
                inputs = decode(leaf)
                inside = torch.minimum(torch.maximum(inputs, box.lower.to(inputs)), box.upper.to(inputs))
                wish = self._wish(classifier, inside, targets, unit)
                if context is not None and known is not None:
                    wish = wish - self.eps4 * ((context - inputs).square() * known).flatten(1).sum(1) / 2
                (slope,) = torch.autograd.grad(wish.sum(), leaf, allow_unused=True)
            slope = torch.zeros_like(codes) if slope is None else torch.nan_to_num(slope)
            flat = codes.flatten(1)
            direction = self.eps1 * (denoiser(flat) - flat).reshape(codes.shape) + slope
            if self.normalise:
                size = direction.flatten(1).abs().mean(1).clamp_min(1e-30)
                direction = self.rate * direction / size.reshape(-1, *[1] * (codes.ndim - 1))
            noise = self.eps3 * torch.randn(codes.shape, generator=generator).to(codes)
            codes = codes + direction + noise
            history.append(float(wish.detach().mean()))
        with torch.no_grad():
            inputs = box.clamp(decode(codes).float())
            scores = log_confidences(classifier.replay(inputs).to(inputs.device))
        sure = scores.amax(1) if targets is None else scores.gather(1, targets[:, None])[:, 0]
        return Chain(codes, inputs, sure.exp(), tuple(history))

    def _wish(
        self, classifier: Classifier, inputs: Tensor, targets: Tensor | None, unit: Callable[[Tensor], Tensor] | None
    ) -> Tensor:
        if unit is not None:
            return self.eps2 * unit(inputs).double()
        if targets is None:
            return 0.0 * inputs.flatten(1).sum(1).double()
        scores = log_confidences(classifier.logits(inputs))
        return self.eps2 * scores.gather(1, targets[:, None])[:, 0]
