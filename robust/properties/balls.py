"""Balls around a sample, cut to the input box: L2, L1, and L0 (a few pixels)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.input_sets import Box
from robust.properties.minimisers import by_pixel, l0_gain, l1_gain
from robust.properties.rounding import outward, step


@dataclass(frozen=True, eq=False)
class _Ball:
    """Inputs of the box within a distance of a centre; the norm is the subclass's."""

    center: Tensor
    radius: float
    box: Box

    def __post_init__(self) -> None:
        _check_ball(f"an {type(self).__name__.removesuffix('Ball')} ball", self.center, self.radius, self.box)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.center.shape)

    def bounding_box(self) -> Box:
        """The L-inf ball of the same radius, cut to the box, rounded outwards."""
        return _around(self.center, self.radius, self.box)


@dataclass(frozen=True, eq=False)
class L2Ball(_Ball):
    """``{x in box : ||x - center||_2 <= radius}``; ``center`` ``[*shape]``, ``radius`` in input units.

    Raises:
        PropertyError: negative or NaN radius, another shape than the box, a centre outside the box.
    """

    def minimum(self, coefficients: Tensor) -> Tensor:
        """The larger of the ball's minimum (dual norm) and the bounding box's; both are lower bounds."""
        flat = coefficients.flatten(1)
        ball = flat @ self.center.to(flat).flatten() - self.radius * torch.linalg.vector_norm(flat, dim=1)
        return torch.maximum(ball, self.bounding_box().minimum(coefficients))

    def contains(self, x: Tensor) -> Tensor:
        """Membership of ``[n, *shape]``; the distance is taken in float64."""
        near: Tensor = torch.linalg.vector_norm(_moves(x, self.center), dim=1) <= self.radius
        return self.box.contains(x) & near


@dataclass(frozen=True, eq=False)
class L1Ball(_Ball):
    """``{x in box : ||x - center||_1 <= radius}``; ``center`` ``[*shape]``, ``radius`` in input units.

    Raises:
        PropertyError: negative or NaN radius, another shape than the box, a centre outside the box.
    """

    def minimum(self, coefficients: Tensor) -> Tensor:
        """Exact minimum up to rounding, ``[m, *shape] -> [m]``, by a fractional knapsack."""
        flat = coefficients.flatten(1)
        budget = torch.tensor([self.radius], dtype=flat.dtype, device=flat.device)
        return _at_center(flat, self.center) - l1_gain(flat[None], *_room(self.center, self.box, flat), budget)[0]

    def contains(self, x: Tensor) -> Tensor:
        """Membership of ``[n, *shape]``; the sum of the float64 differences is compared exactly."""
        moves = _moves(x, self.center).abs().nan_to_num(nan=torch.inf)
        near = torch.tensor([math.fsum([*row, -self.radius]) <= 0 for row in moves.tolist()], device=x.device)
        return self.box.contains(x) & near


@dataclass(frozen=True, eq=False)
class L0Ball:
    """``{x in box : at most `pixels` pixels of x differ from center}``: a few pixels change as they like.

    Attributes:
        center: ``[*shape]``, inside the box.
        pixels: how many may change, 0 to the number of pixels.
        box: what a changed pixel may become.
        groups: channels that count as one pixel: the length of the first axis of images ``[C, H, W]``; 1 counts
            every number by itself.

    Raises:
        PropertyError: an impossible number of pixels or groups, another shape than the box, a centre outside it.
    """

    center: Tensor
    pixels: int
    box: Box
    groups: int = 1

    def __post_init__(self) -> None:
        _check_ball("an L0 ball", self.center, 0.0, self.box)
        check_pixels(self.pixels, self.groups, tuple(self.center.shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.center.shape)

    def bounding_box(self) -> Box:
        """The whole box, for any pixel may be the one; the centre when no pixel may change."""
        return self.box if self.pixels else Box(self.center, self.center)

    def minimum(self, coefficients: Tensor) -> Tensor:
        """Exact minimum up to rounding, ``[m, *shape] -> [m]``: the largest gains of single pixels add up."""
        flat = coefficients.flatten(1)
        count = torch.tensor([self.pixels], device=flat.device)
        low, high = _room(self.center, self.box, flat)
        return _at_center(flat, self.center) - l0_gain(flat[None], low, high, count, self.groups, self.pixels)[0]

    def contains(self, x: Tensor) -> Tensor:
        """Membership of ``[n, *shape]``, exact."""
        few: Tensor = by_pixel(_moves(x, self.center) != 0, self.groups).any(1).sum(1) <= self.pixels
        return self.box.contains(x) & few


def check_pixels(pixels: float, groups: int, shape: tuple[int, ...]) -> int:
    """The number of pixels of a shape, if ``pixels`` of them can be chosen.

    Raises:
        PropertyError: groups that are not the first axis, or more pixels than there are.
    """
    if groups != 1 and (groups < 1 or not shape or groups != shape[0]):
        raise PropertyError(
            "channels that count as one pixel are the first axis of an input",
            wanted=f"groups 1 or {shape[0] if shape else 1}",
            got=groups,
        )
    count = math.prod(shape) // groups
    if isinstance(pixels, bool) or int(pixels) != pixels or not 0 <= pixels <= count:
        raise PropertyError("an impossible number of pixels", wanted=f"an integer from 0 to {count}", got=pixels)
    return count


def _check_ball(what: str, center: Tensor, radius: float, box: Box) -> None:
    if not 0 <= radius < math.inf:
        raise PropertyError(f"{what} has an impossible radius", wanted="a finite number >= 0", got=radius)
    if tuple(center.shape) != box.shape:
        raise PropertyError(
            "the centre of a ball and its box differ in shape", wanted=box.shape, got=tuple(center.shape)
        )
    check_inside(center, box, "the centre of a ball")


def check_inside(x: Tensor, box: Box, what: str) -> None:
    """That ``x`` ``[*shape]`` lies in the box.

    Raises:
        PropertyError: it does not, or is NaN, or has another shape.
    """
    if tuple(x.shape) != box.shape:
        raise PropertyError(f"{what} and the input box differ in shape", wanted=box.shape, got=tuple(x.shape))
    if not bool(box.contains(x[None])[0]):
        raise PropertyError(
            f"{what} lies outside the input box",
            wanted="a sample inside the declared input box",
            got=f"values from {float(x.min()):.6g} to {float(x.max()):.6g}",
            hint="declare the box that the data really has",
        )


def _around(center: Tensor, radius: float, box: Box) -> Box:
    """The L-inf ball, cut to the box, as the smallest box of numbers of the centre's dtype that encloses it."""
    wide, low, high = center.double(), box.lower.to(center.device).double(), box.upper.to(center.device).double()
    lower = torch.maximum(step(wide - radius, down=True) if radius else wide, low)
    upper = torch.minimum(step(wide + radius, down=False) if radius else wide, high)
    return Box(outward(lower, center.dtype, down=True), outward(upper, center.dtype, down=False))


def _moves(x: Tensor, center: Tensor) -> Tensor:
    return (x.double() - center.to(x.device).double()).flatten(1)


def _room(center: Tensor, box: Box, like: Tensor) -> tuple[Tensor, Tensor]:
    """How far the box lies below and above the centre: ``[1, 1, e]`` each."""
    ends = (box.lower.to(center.device).double(), box.upper.to(center.device).double())
    low, high = ((end - center.double()).flatten()[None, None].to(like) for end in ends)
    return low, high


def _at_center(flat: Tensor, center: Tensor) -> Tensor:
    return flat @ center.to(flat).flatten()
