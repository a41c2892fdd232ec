"""Changes of sharpness."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.changes.change import Change, Interval, check_range, require_picture

REACH = 3.0
"""Standard deviations after which the Gaussian is cut off."""
SHARPEST = 1e-3
"""Standard deviations below this, in pixels, change nothing that float32 shows."""


class Blur(Change):
    """Gaussian blur; beyond its edge a picture goes on as its edge.

    Args:
        sigma: standard deviation in pixels.
    """

    name = "blur"

    def __init__(self, *, sigma: Interval) -> None:
        self.sigma = check_range("blur", sigma, 0.0)

    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Sigma."""
        require_picture(shape, "a blur")
        return (self.sigma,)

    def neutral(self, shape: Sequence[int]) -> Tensor:
        """Sharp."""
        return torch.zeros(1)

    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Blurred pictures."""
        height, width = x.shape[-2:]
        reach = max(1, round(REACH * self.sigma[1]))
        offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
        sigma = parameters.to(x).clamp_min(SHARPEST)
        kernel = torch.softmax(-0.5 * (offsets / sigma) ** 2, 1)
        picture = x.reshape(len(x), -1, height, width)
        for axis, size in ((2, height), (3, width)):
            blurred = torch.zeros_like(picture)
            for place, offset in enumerate(range(-reach, reach + 1)):
                at = torch.arange(size, device=x.device).add(offset).clamp(0, size - 1)
                blurred = blurred + kernel[:, place, None, None, None] * picture.index_select(axis, at)
            picture = blurred
        return picture.reshape(x.shape)

    def words(self) -> dict[str, Interval]:
        """By name."""
        return {"sigma": self.sigma}
