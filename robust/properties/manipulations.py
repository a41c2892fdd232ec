"""Manipulations of a picture that a person can imagine, as finite sets that can be searched to the last member.

(The vocabulary of Huang et al., Safety Verification of Deep Neural Networks, 2017: what changes a picture and not what
a person sees in it.) A set of ``count`` pictures is numbered; ``pictures`` makes any of them, ``words`` says what was
done. Anything with these members is a manipulation, a user's own included.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.geometry import transformed
from robust.properties.input_sets import Box

DIRECTIONS = ((0, 1, "to the right"), (1, 0, "down"), (1, 1, "down to the right"), (1, -1, "down to the left"))


@runtime_checkable
class Manipulation(Protocol):
    """A finite set of changed versions of one picture."""

    @property
    def name(self) -> str:
        """A word or two for people: ``scratch``."""
        ...

    def count(self, shape: Sequence[int]) -> int:
        """How many pictures there are of one of this shape ``[..., H, W]``."""
        ...

    def pictures(self, x: Tensor, numbers: Tensor, box: Box) -> Tensor:
        """The pictures of some numbers.

        Args:
            x: ``[*shape]``, inside ``box``.
            numbers: int64 ``[n]``, from 0 to ``count - 1``.
            box: what pictures are clamped to.

        Returns:
            ``[n, *shape]``.
        """
        ...

    def words(self, number: int, shape: Sequence[int]) -> str:
        """What was done, for people: ``pixel in row 3, column 4 becomes white``."""
        ...


def _plane(shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) < 2:
        raise PropertyError("a manipulation needs a picture", wanted="[..., H, W]", got=tuple(shape))
    return int(shape[-2]), int(shape[-1])


def _painted(x: Tensor, masks: Tensor, shares: Tensor, box: Box) -> Tensor:
    """``x`` with pixels of bool ``[n, H, W]`` set to a share ``[n]`` of the box: 0 its lower end, 1 its upper end."""
    rest = (1,) * x.ndim
    low, high = box.lower.to(x), box.upper.to(x)
    paint = low + (high - low) * shares.to(x).reshape(-1, *rest)
    room = masks.reshape(len(masks), *(1,) * (x.ndim - 2), *masks.shape[1:])
    return torch.where(room.to(x.device), paint, x)


def _colour(share: float) -> str:
    named = {0.0: "its lowest value", 1.0: "its highest value"}
    return named.get(share, f"{share:.0%} of its range")


@dataclass(frozen=True)
class Pixels:
    """``k`` pixels, any of them, each set to one of some values: all choices.

    Attributes:
        k: at least 1.
        values: shares of the box.
    """

    k: int = 1
    values: tuple[float, ...] = (0.0, 1.0)

    @property
    def name(self) -> str:
        """``one pixel`` or ``2 pixels``."""
        return "one pixel" if self.k == 1 else f"{self.k} pixels"

    def count(self, shape: Sequence[int]) -> int:
        """Choices of pixels times choices of values."""
        height, width = _plane(shape)
        return int(math.comb(height * width, self.k) * len(self.values) ** self.k)

    def pictures(self, x: Tensor, numbers: Tensor, box: Box) -> Tensor:
        """One picture per number."""
        made = x.expand(len(numbers), *x.shape).clone()
        height, width = _plane(x.shape)
        chosen = [self._choice(number, height * width) for number in numbers.tolist()]
        rows = torch.arange(len(chosen))
        for at in range(self.k):
            masks = torch.zeros(len(chosen), height * width, dtype=torch.bool)
            masks[rows, torch.tensor([places[at] for places, _ in chosen])] = True
            shares = torch.tensor([values[at] for _, values in chosen])
            painted = _painted(x, masks.reshape(-1, height, width), shares, box)
            room = masks.reshape(len(chosen), *(1,) * (x.ndim - 2), height, width).to(x.device)
            made = torch.where(room, painted, made)
        return made

    def words(self, number: int, shape: Sequence[int]) -> str:
        """Each pixel's row and column from 1, and its value."""
        height, width = _plane(shape)
        places, values = self._choice(number, height * width)
        parts = [
            f"the pixel in row {place // width + 1}, column {place % width + 1} becomes {_colour(value)}"
            for place, value in zip(places, values, strict=True)
        ]
        return "; ".join(parts)

    def _choice(self, number: int, pixels: int) -> tuple[list[int], list[float]]:
        """The number in the combinatorial number system, and its values."""
        rest, code = divmod(number, len(self.values) ** self.k)
        values = []
        for _ in range(self.k):
            code, digit = divmod(code, len(self.values))
            values.append(self.values[digit])
        places = []
        top = pixels - 1
        for left in range(self.k, 0, -1):
            while math.comb(top, left) > rest:
                top -= 1
            places.append(top)
            rest -= math.comb(top, left)
            top -= 1
        return places, values


@dataclass(frozen=True)
class Scratch:
    """A straight line one pixel thick, of one length and value, from any pixel in four directions.

    Attributes:
        length: in pixels; what would leave the picture is cut off.
        values: shares of the box.
    """

    length: int = 5
    values: tuple[float, ...] = (0.0, 1.0)

    @property
    def name(self) -> str:
        """``scratch``."""
        return "scratch"

    def count(self, shape: Sequence[int]) -> int:
        """Starts times directions times values."""
        height, width = _plane(shape)
        return height * width * len(DIRECTIONS) * len(self.values)

    def pictures(self, x: Tensor, numbers: Tensor, box: Box) -> Tensor:
        """One picture per number."""
        height, width = _plane(x.shape)
        masks = torch.zeros(len(numbers), height, width, dtype=torch.bool)
        shares = torch.zeros(len(numbers))
        for place, number in enumerate(numbers.tolist()):
            row, column, (down, right, _), share = self._choice(number, width)
            shares[place] = share
            for step in range(self.length):
                at = row + down * step, column + right * step
                if 0 <= at[0] < height and 0 <= at[1] < width:
                    masks[place, at[0], at[1]] = True
        return _painted(x, masks, shares, box)

    def words(self, number: int, shape: Sequence[int]) -> str:
        """Where it starts, where it goes, its length and value."""
        row, column, (_, _, way), share = self._choice(number, _plane(shape)[1])
        return f"a scratch of {self.length} pixels from row {row + 1}, column {column + 1} {way}, at {_colour(share)}"

    def _choice(self, number: int, width: int) -> tuple[int, int, tuple[int, int, str], float]:
        rest, value = divmod(number, len(self.values))
        rest, direction = divmod(rest, len(DIRECTIONS))
        row, column = divmod(rest, width)
        return row, column, DIRECTIONS[direction], self.values[value]


@dataclass(frozen=True)
class Occlusion:
    """A filled rectangle at any place.

    Attributes:
        height: in pixels.
        width: in pixels.
        values: shares of the box.
    """

    height: int = 3
    width: int = 3
    values: tuple[float, ...] = (0.0, 1.0)

    @property
    def name(self) -> str:
        """``occlusion``."""
        return "occlusion"

    def count(self, shape: Sequence[int]) -> int:
        """Places times values.

        Raises:
            PropertyError: it does not fit the picture.
        """
        height, width = _plane(shape)
        if self.height > height or self.width > width:
            raise PropertyError(
                "an occlusion does not fit the picture",
                wanted=f"at most {height} x {width}",
                got=f"{self.height} x {self.width}",
            )
        return (height - self.height + 1) * (width - self.width + 1) * len(self.values)

    def pictures(self, x: Tensor, numbers: Tensor, box: Box) -> Tensor:
        """One picture per number."""
        masks = torch.zeros(len(numbers), *_plane(x.shape), dtype=torch.bool)
        shares = torch.zeros(len(numbers))
        for place, number in enumerate(numbers.tolist()):
            row, column, shares[place] = self._choice(number, x.shape[-1])
            masks[place, row : row + self.height, column : column + self.width] = True
        return _painted(x, masks, shares, box)

    def words(self, number: int, shape: Sequence[int]) -> str:
        """Its corner, size and value."""
        row, column, share = self._choice(number, _plane(shape)[1])
        return f"{self.height} x {self.width} pixels from row {row + 1}, column {column + 1} become {_colour(share)}"

    def _choice(self, number: int, width: int) -> tuple[int, int, float]:
        rest, value = divmod(number, len(self.values))
        row, column = divmod(rest, width - self.width + 1)
        return row, column, self.values[value]


@dataclass(frozen=True)
class Light:
    """Brightness and contrast: ``middle + c (x - middle) + d (high - low)`` over a grid, middle and ends of the box.

    Attributes:
        brightness: the ``d``.
        contrast: the ``c``.
    """

    brightness: tuple[float, ...] = (0.0,)
    contrast: tuple[float, ...] = (1.0,)

    @property
    def name(self) -> str:
        """``brightness``, ``contrast``, or both."""
        kinds = [("brightness", self.brightness), ("contrast", self.contrast)]
        return " and ".join(kind for kind, values in kinds if len(values) > 1) or "light"

    def count(self, shape: Sequence[int]) -> int:
        """The grid."""
        return len(self.brightness) * len(self.contrast)

    def pictures(self, x: Tensor, numbers: Tensor, box: Box) -> Tensor:
        """One picture per number."""
        rest = (1,) * x.ndim
        chosen = [self._choice(number) for number in numbers.tolist()]
        moves, factors = (torch.tensor(part).to(x).reshape(-1, *rest) for part in zip(*chosen, strict=True))
        low, high = box.lower.to(x), box.upper.to(x)
        middle = (low + high) / 2
        made = torch.where(factors == 1, x, middle + factors * (x - middle)) + moves * (high - low)
        return box.clamp(made)

    def words(self, number: int, shape: Sequence[int]) -> str:
        """By how much."""
        move, factor = self._choice(number)
        parts = [f"brightness {100 * move:+.3g} % of the range"] if move else []
        parts += [f"contrast x {factor:.3g}"] if factor != 1 else []
        return ", ".join(parts) or "no change"

    def _choice(self, number: int) -> tuple[float, float]:
        place, at = divmod(number, len(self.contrast))
        return self.brightness[place], self.contrast[at]


@dataclass(frozen=True)
class Camera:
    """Rotation, zoom and shift over a grid, by bilinear interpolation with zeros outside (``geometry.transformed``).

    Attributes:
        name: for people.
        angles: degrees, counter-clockwise.
        scales: above 1 enlarges.
        rows: pixels down.
        columns: pixels to the right.
    """

    name: str = "camera angle"
    angles: tuple[float, ...] = (0.0,)
    scales: tuple[float, ...] = (1.0,)
    rows: tuple[float, ...] = (0.0,)
    columns: tuple[float, ...] = (0.0,)

    def count(self, shape: Sequence[int]) -> int:
        """The grid."""
        _plane(shape)
        return len(self._grid())

    def pictures(self, x: Tensor, numbers: Tensor, box: Box) -> Tensor:
        """One picture per number; no motion at all leaves the picture as it is."""
        grid = self._grid()
        made = [x if grid[n] == (0, 1, 0, 0) else transformed(x, *grid[n]) for n in numbers.tolist()]
        return box.clamp(torch.stack(made))

    def words(self, number: int, shape: Sequence[int]) -> str:
        """Angle, zoom and shift."""
        angle, scale, down, right = self._grid()[number]
        parts = [f"turned by {angle:g} degrees"] if angle else []
        parts += [f"enlarged {scale:.3g} times"] if scale != 1 else []
        parts += [f"shifted by {down:g} down and {right:g} right"] if down or right else []
        return ", ".join(parts) or "no change"

    def _grid(self) -> list[tuple[float, float, float, float]]:
        return list(itertools.product(self.angles, self.scales, self.rows, self.columns))


@dataclass(frozen=True)
class Blur:
    """Gaussian blur of some widths, edges repeated.

    Attributes:
        sigmas: standard deviations in pixels; 0 is no blur.
    """

    sigmas: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)

    @property
    def name(self) -> str:
        """``blur``."""
        return "blur"

    def count(self, shape: Sequence[int]) -> int:
        """The widths."""
        _plane(shape)
        return len(self.sigmas)

    def pictures(self, x: Tensor, numbers: Tensor, box: Box) -> Tensor:
        """One picture per number."""
        return box.clamp(torch.stack([self._blurred(x, self.sigmas[number]) for number in numbers.tolist()]))

    def words(self, number: int, shape: Sequence[int]) -> str:
        """The width."""
        return f"blurred by {self.sigmas[number]:g} pixels" if self.sigmas[number] > 0 else "no change"

    @staticmethod
    def _blurred(x: Tensor, sigma: float) -> Tensor:
        if sigma <= 0:
            return x
        radius = max(1, math.ceil(3 * sigma))
        line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1).to(x) / sigma) ** 2)
        line = line / line.sum()
        flat = x.reshape(-1, 1, *x.shape[-2:])
        flat = torch.nn.functional.pad(flat, (radius,) * 4, mode="replicate")
        flat = torch.nn.functional.conv2d(flat, line.reshape(1, 1, -1, 1))
        return torch.nn.functional.conv2d(flat, line.reshape(1, 1, 1, -1)).reshape(x.shape)
