"""What a change of pictures is: a box of parameters, and a map that is differentiable in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from robust.errors import DataShapeError, UsageError

Interval = tuple[float, float]


class Change(ABC):
    """A family of changes. Its parameters are numbers in ranges; at ``neutral`` nothing changes.

    Attributes:
        name: for people.
        smooth: whether it has derivatives by its parameters that say something.
    """

    name: ClassVar[str]
    smooth: bool = True

    @abstractmethod
    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Lower and upper end of each parameter, for pictures ``[*shape]``.

        Raises:
            DataShapeError: not a picture that this can change.
        """

    @abstractmethod
    def neutral(self, shape: Sequence[int]) -> Tensor:
        """The parameters ``[p]`` that change nothing."""

    @abstractmethod
    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Changed pictures ``[n, *shape]`` of ``x [n, *shape]`` and ``parameters [n, p]``; not clamped to any box."""

    def box(self, shape: Sequence[int]) -> Tensor:
        """``ranges`` as float32 ``[p, 2]``."""
        return torch.tensor(self.ranges(shape), dtype=torch.float32).reshape(-1, 2)

    @abstractmethod
    def words(self) -> dict[str, Interval]:
        """Each range by the name that people call it by."""


class Chain(Change):
    """Several changes, one after the other, with all their parameters at once.

    Args:
        parts: the first is applied first.
    """

    name = "chain"

    def __init__(self, *parts: Change) -> None:
        if not parts:
            raise UsageError("a chain of changes is empty", wanted="at least one change", got=0)
        self.parts = parts
        self.smooth = all(part.smooth for part in parts)

    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Of all parts, in order."""
        return tuple(ends for part in self.parts for ends in part.ranges(shape))

    def neutral(self, shape: Sequence[int]) -> Tensor:
        """Of all parts, in order."""
        return torch.cat([part.neutral(shape) for part in self.parts])

    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """One after the other."""
        sizes = [len(part.ranges(x.shape[1:])) for part in self.parts]
        for part, own in zip(self.parts, torch.split(parameters, sizes, 1), strict=True):
            x = part.apply(x, own)
        return x

    def words(self) -> dict[str, Interval]:
        """Of all parts."""
        return {name: ends for part in self.parts for name, ends in part.words().items()}


def check_range(what: str, ends: Interval, least: float = -float("inf"), most: float = float("inf")) -> Interval:
    """The range, if it is one.

    Raises:
        UsageError: inverted, not finite, or beyond what makes sense.
    """
    low, high = float(ends[0]), float(ends[1])
    if not (max(least, -1e30) <= low <= high <= min(most, 1e30)):
        wanted = "finite low <= high"
        if least > -1e30 or most < 1e30:
            wanted += f", within {least:g} to {most:g}"
        raise UsageError(f"impossible range of {what}", wanted=wanted, got=ends)
    return low, high


def require_picture(shape: Sequence[int], what: str, channels: int | None = None) -> tuple[int, int, int]:
    """Channels, height and width of pictures ``[C, H, W]`` or ``[H, W]``.

    Raises:
        DataShapeError: another number of axes or of channels, or channels that seem to come last.
    """
    found = (1, *shape) if len(shape) == 2 else tuple(shape)
    last = len(found) == 3 and found[2] in (1, 3) and found[0] not in (1, 3)
    if len(found) != 3 or last or (channels is not None and found[0] != channels):
        raise DataShapeError(
            f"{what} needs pictures",
            wanted="[C, H, W], channels first, or [H, W]" if channels is None else f"[{channels}, H, W]",
            got=list(shape),
        )
    return found[0], found[1], found[2]
