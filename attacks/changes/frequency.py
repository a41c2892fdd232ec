"""Changes in the frequency domain: smooth waves over a picture, and what JPEG loses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.changes.change import Change, Interval, check_range, require_picture
from robust.errors import UsageError
from robust.properties.corruptions.jpeg import compressed


class Waves(Change):
    """``x`` plus a mixture of the lowest waves of the cosine transform, the same in all channels.

    (Guo, Frank and Weinberger, Low Frequency Adversarial Perturbation, 2019: there with normal coefficients.)

    Args:
        amount: amplitude of each wave at most, in input units.
        waves: along each side; the picture gets ``waves ** 2`` of them, the constant one among these.
    """

    name = "waves"

    def __init__(self, *, amount: float, waves: int = 3) -> None:
        check_range("amplitudes", (0.0, amount))
        if isinstance(waves, bool) or int(waves) != waves or waves < 1:
            raise UsageError("waves need a number", wanted="an integer of at least 1", got=waves)
        self.amount, self.waves = float(amount), int(waves)

    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Amplitudes, those of the first row of waves first."""
        require_picture(shape, "waves")
        return ((-self.amount, self.amount),) * self.waves**2

    def neutral(self, shape: Sequence[int]) -> Tensor:
        """No wave."""
        return torch.zeros(self.waves**2)

    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Pictures under waves."""
        down, right = (self._cosines(size, x) for size in x.shape[-2:])
        amounts = parameters.to(x).reshape(-1, self.waves, self.waves)
        pattern = torch.einsum("nij,ih,jw->nhw", amounts, down, right)
        return x + pattern.reshape(len(x), *[1] * (x.ndim - 3), *x.shape[-2:])

    def _cosines(self, size: int, like: Tensor) -> Tensor:
        place = torch.arange(size, device=like.device, dtype=like.dtype) + 0.5
        number = torch.arange(self.waves, device=like.device, dtype=like.dtype)
        return torch.cos(math.pi / size * number[:, None] * place)

    def words(self) -> dict[str, Interval]:
        """By name."""
        return {"amplitude": (-self.amount, self.amount)}


class Jpeg(Change):
    """What JPEG loses at a quality, of pictures in [0, 1] with one channel or three; whole qualities only.

    It has no slope: the search looks, and steps at random.

    Args:
        quality: 1 to 100; at 100 next to nothing is lost.
    """

    name = "jpeg"
    smooth = False

    def __init__(self, *, quality: Interval) -> None:
        self.quality = check_range("qualities", quality, 1.0, 100.0)

    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Quality; 101 stands for the picture as it is."""
        if require_picture(shape, "JPEG")[0] not in (1, 3):
            require_picture(shape, "JPEG", channels=3)
        return (self.quality,)

    def neutral(self, shape: Sequence[int]) -> Tensor:
        """Not compressed."""
        return torch.tensor([101.0])

    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Compressed pictures."""
        quality = parameters.detach()[:, 0].round()
        pictures = x.detach().reshape(len(x), -1, *x.shape[-2:])
        changed = pictures.clone()
        for value in torch.unique(quality).tolist():
            if value <= 100:
                rows = torch.nonzero(quality == value)[:, 0]
                changed[rows] = compressed(pictures[rows], int(value))
        return changed.reshape(x.shape)

    def words(self) -> dict[str, Interval]:
        """By name."""
        return {"quality": self.quality}
