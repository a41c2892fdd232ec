"""The moves of the Square attack, on pictures ``[n, c, h, w]``: pure functions of where one is and of drawn numbers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attacks.balls import AnyNorm
from attacks.projections import onto_l1_ball

Size = tuple[int, int, int]
"""Channels, height, width."""

TILES = 5
"""The first L2 or L1 picture has so many bumps along each side (paper, appendix)."""


@dataclass(frozen=True, eq=False)
class Field:
    """Where rows may move.

    Attributes:
        centre: ``[n, c, h, w]``.
        lower: the same shape; for L-inf of ball and box, else of the box.
        upper: likewise.
        epsilon: radius.
        norm: of the ball.
    """

    centre: Tensor
    lower: Tensor
    upper: Tensor
    epsilon: float
    norm: AnyNorm

    def take(self, keep: Tensor) -> Field:
        """Those rows."""
        return replace(self, centre=self.centre[keep], lower=self.lower[keep], upper=self.upper[keep])

    def cut(self, pictures: Tensor) -> Tensor:
        """Into ball and box."""
        if self.norm == "l1":
            return onto_l1_ball(self.centre, pictures, self.epsilon, self.lower, self.upper)
        if self.norm == "l2":
            move = pictures - self.centre
            size = _size(move, self.norm, (1, 2, 3))
            pictures = self.centre + move * (self.epsilon / size.clamp_min(1e-30)).clamp_max(1.0)
        return torch.minimum(torch.maximum(pictures, self.lower), self.upper)


class Start(ABC):
    """Makes the first pictures."""

    @abstractmethod
    def numbers(self, size: Size) -> int:
        """How many uniform numbers a picture takes."""

    @abstractmethod
    def __call__(self, field: Field, drawn: Tensor) -> Tensor:
        """``drawn`` ``[n, numbers]`` to pictures in ball and box."""


class Move(ABC):
    """Makes candidates."""

    @abstractmethod
    def numbers(self, size: Size) -> int:
        """How many uniform numbers a candidate takes."""

    @abstractmethod
    def __call__(self, field: Field, now: Tensor, drawn: Tensor, share: float) -> Tensor:
        """Pictures ``[n, c, h, w]`` and ``drawn`` ``[n, numbers]`` to candidates in ball and box."""


class _FirstStripes(Start):
    """A sign per channel and column (per row where there is one column alone)."""

    def numbers(self, size: Size) -> int:
        channels, height, width = size
        return channels * (width if width > 1 else height)

    def __call__(self, field: Field, drawn: Tensor) -> Tensor:
        _, channels, height, width = field.centre.shape
        signs = _signs(drawn).reshape(len(drawn), channels, *((1, width) if width > 1 else (height, 1)))
        return field.cut(field.centre + field.epsilon * signs)


class _Squares(Move):
    """One square, the same sign all over it, at the edge of the ball (algorithm 2)."""

    def numbers(self, size: Size) -> int:
        return 2 + size[0]

    def __call__(self, field: Field, now: Tensor, drawn: Tensor, share: float) -> Tensor:
        height, width = now.shape[2:]
        tall, broad = _sides(share, height, width, 1)
        there = _window(drawn[:, 0], tall, height)[:, None, :, None] & _window(drawn[:, 1], broad, width)[:, None, None]
        push = field.epsilon * _signs(drawn[:, 2:])[:, :, None, None]
        candidate = field.cut(field.centre + push)
        same = (((candidate - now).abs() < 1e-6) | ~there).flatten(1).all(1)[:, None, None, None]
        return torch.where(there, torch.where(same, field.cut(field.centre - push), candidate), now)


class _FirstBumps(Start):
    """A grid of bumps, each with a sign per channel."""

    def numbers(self, size: Size) -> int:
        tall, broad = self._tile(size[1], size[2])
        return size[0] * math.ceil(size[1] / tall) * math.ceil(size[2] / broad)

    def __call__(self, field: Field, drawn: Tensor) -> Tensor:
        count, channels, height, width = field.centre.shape
        tall, broad = self._tile(height, width)
        grid = math.ceil(height / tall), math.ceil(width / broad)
        signs = _signs(drawn).reshape(count, channels, *grid)
        tiled = bump(tall, broad, field.norm, field.centre.device).repeat(*grid)
        whole = signs.repeat_interleave(tall, 2).repeat_interleave(broad, 3) * tiled
        whole = whole[:, :, :height, :width]
        return field.cut(field.centre + field.epsilon * whole / _size(whole, field.norm, (1, 2, 3)).clamp_min(1e-30))

    @staticmethod
    def _tile(height: int, width: int) -> tuple[int, int]:
        return max(1, height // TILES), max(1, width // TILES)


class _Bumps(Move):
    """What a second window holds goes into the first, as a bump of either sign (algorithm 3)."""

    def numbers(self, size: Size) -> int:
        return 5 + size[0]

    def __call__(self, field: Field, now: Tensor, drawn: Tensor, share: float) -> Tensor:
        channels, height, width = now.shape[1:]
        tall, broad = _sides(share, height, width, 3)
        move = now - field.centre
        first, at = _place(drawn[:, 0], drawn[:, 1], tall, broad, height, width)
        second, _ = _place(drawn[:, 2], drawn[:, 3], tall, broad, height, width)
        shape = bump(tall, broad, field.norm, now.device)
        if tall == broad:
            shape = torch.where((drawn[:, 4] < 0.5)[:, None, None], shape, shape.T)[:, None]
        old = move[at].permute(0, 3, 1, 2)
        shape = _signs(drawn[:, 5:])[:, :, None, None] * shape / _size(shape.expand_as(old), field.norm, (2, 3))
        fresh = shape + old / _size(old, field.norm, (2, 3)).clamp_min(1e-30)
        power = 2 if field.norm == "l2" else 1
        unused = (field.epsilon**power - _size(move, field.norm, (1, 2, 3)) ** power).clamp_min(0) / channels
        held = _size(torch.where(first | second, move, 0.0), field.norm, (2, 3)) ** power
        fresh = fresh / _size(fresh, field.norm, (2, 3)).clamp_min(1e-30) * (held + unused) ** (1 / power)
        move = torch.where(second, 0.0, move)
        move[at] = fresh.permute(0, 2, 3, 1)
        return field.cut(field.centre + move)


first_stripes, squares, first_bumps, bumps = _FirstStripes(), _Squares(), _FirstBumps(), _Bumps()


def bump(tall: int, broad: int, norm: AnyNorm, device: torch.device) -> Tensor:
    """Two pyramids of opposite signs, one on the other, ``[tall, broad]`` (paper, equation 2 and section 4.3)."""
    half = tall // 2
    parts = [_pyramid(half, broad, norm, device)] if half else []
    return torch.cat([*parts, -_pyramid(tall - half, broad, norm, device)])


def _pyramid(tall: int, broad: int, norm: AnyNorm, device: torch.device) -> Tensor:
    """``sum over k = 0..M of 1 / (n + 1 - k)^2`` (L1: to the 4th), with M how far inside a place is."""
    reach = max(tall, broad) // 2
    down, across = ((torch.arange(size, device=device) - size // 2).abs() for size in (tall, broad))
    depth = (reach - torch.maximum(down[:, None], across[None])).clamp_min(0)
    rungs = 1.0 / (reach + 1 - torch.arange(reach + 1, device=device)) ** (2 if norm == "l2" else 4)
    return rungs.cumsum(0)[depth]


def _signs(drawn: Tensor) -> Tensor:
    return torch.where(drawn < 0.5, -1.0, 1.0)


def _sides(share: float, height: int, width: int, least: int) -> tuple[int, int]:
    """Height and width of a window of that share; runs of a column where there is one column alone."""
    if width == 1:
        return min(max(round(share * height), least), height), 1
    side = max(round(math.sqrt(share * height * width)), least)
    return min(side, height), min(side, width)


def _window(drawn: Tensor, side: int, size: int) -> Tensor:
    """Bool ``[n, size]``: a run of ``side`` places at a drawn one."""
    start = (drawn * (size - side + 1)).long().clamp_max(size - side)[:, None]
    places = torch.arange(size, device=drawn.device)
    return (places >= start) & (places < start + side)


def _place(
    down: Tensor, across: Tensor, tall: int, broad: int, height: int, width: int
) -> tuple[Tensor, tuple[Tensor, slice, Tensor, Tensor]]:
    """A window as a mask ``[n, 1, h, w]`` and as an index."""
    mask = _window(down, tall, height)[:, None, :, None] & _window(across, broad, width)[:, None, None]
    top, left = (
        (each * (size - side + 1)).long().clamp_max(size - side)
        for each, size, side in ((down, height, tall), (across, width, broad))
    )
    rows = (top[:, None] + torch.arange(tall, device=down.device))[:, :, None]
    columns = (left[:, None] + torch.arange(broad, device=down.device))[:, None]
    return mask, (torch.arange(len(down), device=down.device)[:, None, None], slice(None), rows, columns)


def _size(values: Tensor, norm: AnyNorm, axes: tuple[int, ...]) -> Tensor:
    """L2 or L1 norm over axes, kept for broadcasts."""
    found: Tensor = torch.linalg.vector_norm(values, ord=2 if norm == "l2" else 1, dim=axes, keepdim=True)
    return found
