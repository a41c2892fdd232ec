"""Batches of input sets in the shape that bound propagation wants: one tensor for many samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties import Box, InputSet, L2Ball

MULTIPLIERS = 3
"""Lagrange multipliers that are tried for an L2 ball cut to a box; every one gives a bound."""


@dataclass(frozen=True, eq=False)
class Region:
    """``n`` input sets: boxes, or L2 balls cut to boxes.

    Attributes:
        lower: ``[n, *shape]``, the lower corner of each bounding box.
        upper: ``[n, *shape]``.
        center: ``[n, *shape]``, centres of the L2 balls; None for plain boxes.
        radius: ``[n]``; None for plain boxes.
    """

    lower: Tensor
    upper: Tensor
    center: Tensor | None = None
    radius: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lower)

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Region:
        """The same sets in another arithmetic; to fewer digits the corners move outwards, never inwards."""
        lower, upper = (_outward(self.lower, dtype, down=True), _outward(self.upper, dtype, down=False))
        center = None if self.center is None else self.center.to(dtype)
        radius = self.radius
        if radius is not None and self.center is not None and center is not None:
            moved = torch.linalg.vector_norm((self.center - center.to(self.center)).flatten(1), dim=1)
            radius = _outward(radius + moved, dtype, down=False)
        parts = (lower, upper, center, radius)
        return Region(*[None if part is None else part.to(device or part.device) for part in parts])  # type: ignore[arg-type]

    def take(self, rows: Tensor) -> Region:
        """The sets at ``rows`` (indices or mask)."""
        parts = (self.lower, self.upper, self.center, self.radius)
        return Region(*[None if part is None else part[rows] for part in parts])  # type: ignore[arg-type]

    def minimum(self, coefficients: Tensor) -> Tensor:
        """Lower bounds of ``<a, x>`` over each set: exact for boxes, the better of ball and box for balls.

        Args:
            coefficients: ``[n, m, elements]``.

        Returns:
            ``[n, m]``.
        """
        middle = (self.lower + self.upper).flatten(1) / 2
        half = (self.upper - self.lower).flatten(1) / 2
        box = _inner(coefficients, middle) - _inner(coefficients.abs(), half)
        if self.center is None or self.radius is None:
            return box
        return torch.maximum(box, self._dual(coefficients, self.center, self.radius))

    def minimiser(self, coefficients: Tensor) -> Tensor:
        """Points ``[n, m, elements]`` of the bounding boxes where ``<a, x>`` is smallest."""
        low, high = self.lower.flatten(1)[:, None], self.upper.flatten(1)[:, None]
        return torch.where(coefficients > 0, low, high)

    def _dual(self, coefficients: Tensor, center: Tensor, radius: Tensor) -> Tensor:
        """Lagrangian bound over the ball cut to the box: for every multiplier ``t > 0``,

        ``min_x <a, x - c> >= min over the box of <a, d> + (||d||^2 - r^2) / (2 t)``, reached at ``d = clip(-t a)``.
        The first multiplier is optimal for the whole ball; each further one for the coordinates that were not clipped.
        """
        low, high = ((end - center).flatten(1)[:, None] for end in (self.lower, self.upper))
        squared = radius[:, None] ** 2
        tiny = torch.finfo(coefficients.dtype).tiny
        step = radius[:, None] / torch.linalg.vector_norm(coefficients, dim=2).clamp_min(tiny)
        best = torch.full_like(step, -torch.inf)
        for _ in range(MULTIPLIERS):
            wish = coefficients * -step[:, :, None]
            move = torch.minimum(torch.maximum(wish, low), high)
            spent = (move * move).sum(2)
            value = (coefficients * move).sum(2) + (spent - squared) / (2 * step.clamp_min(tiny))
            best = torch.maximum(best, value)
            free = move == wish
            inside = (wish * wish * free).sum(2)
            step = step * ((squared - spent + inside).clamp_min(0) / inside.clamp_min(tiny)).sqrt().clamp(1.0, 1e3)
        best = torch.where(coefficients.abs().amax(2) > tiny, best, torch.zeros_like(best))
        return best + _inner(coefficients, center.flatten(1))


def region_of(inputs: Sequence[InputSet]) -> Region:
    """Stack input sets of one kind and shape, in float64.

    Raises:
        PropertyError: they are of different kinds or shapes, or of a kind that bounds do not know.
    """
    boxes = [item.bounding_box() for item in inputs]
    if len({box.shape for box in boxes}) != 1:
        raise PropertyError("input sets of one batch differ in shape", got=sorted({box.shape for box in boxes}))
    lower = torch.stack([box.lower.double() for box in boxes])
    upper = torch.stack([box.upper.double() for box in boxes])
    balls = [item for item in inputs if isinstance(item, L2Ball)]
    if not balls and all(isinstance(item, Box) for item in inputs):
        return Region(lower, upper)
    if len(balls) != len(inputs):
        raise PropertyError(
            "input sets of one batch are of different kinds",
            wanted="all Box or all L2Ball",
            got=sorted({type(item).__name__ for item in inputs}),
        )
    radius = torch.tensor([ball.radius for ball in balls], dtype=torch.float64, device=lower.device)
    return Region(lower, upper, torch.stack([ball.center.double() for ball in balls]), radius)


def ball_region(samples: Tensor, epsilon: float, norm: str, box: Box) -> Region:
    """Balls of one radius around many samples, cut to the input box, in float64.

    The radius is widened by ``1e-6`` of itself plus one float32 rounding of the box, so that an input that an attack
    computed in float32 to lie within ``epsilon`` is inside.

    Args:
        samples: ``[n, *shape]``, inside ``box``.
        epsilon: in input units, at least 0.
        norm: ``linf`` or ``l2``.
        box: the declared input box.

    Raises:
        PropertyError: negative radius, unknown norm, or a sample outside the box.
    """
    if norm not in ("linf", "l2"):
        raise PropertyError("unknown norm", wanted="linf or l2", got=norm)
    if not 0 <= epsilon < float("inf"):
        raise PropertyError("a ball has an impossible radius", wanted="a finite number >= 0", got=epsilon)
    center, low, high = samples.double(), box.lower.double(), box.upper.double()
    if not bool(((center >= low) & (center <= high)).all()):
        raise PropertyError(
            "a sample lies outside the input box (or is NaN)",
            wanted="samples inside the declared input box",
            got=f"values from {float(center.min()):.6g} to {float(center.max()):.6g}",
            hint="declare the box that the data really has",
        )
    rounding = float(torch.finfo(torch.float32).eps) * float(torch.maximum(low.abs(), high.abs()).max())
    size = box.lower.numel() ** 0.5 if norm == "l2" else 1.0
    radius = epsilon * (1 + 1e-6) + rounding * size
    lower, upper = torch.maximum(center - radius, low), torch.minimum(center + radius, high)
    if norm == "linf":
        return Region(lower, upper)
    return Region(lower, upper, center, torch.full((len(center),), radius, dtype=torch.float64, device=center.device))


def _inner(coefficients: Tensor, points: Tensor) -> Tensor:
    if len(coefficients) == 1:
        return points @ coefficients[0].T
    return torch.bmm(coefficients, points[:, :, None])[:, :, 0]


def _outward(value: Tensor, dtype: torch.dtype, down: bool) -> Tensor:
    cast = value.to(dtype)
    wrong = (cast.to(value.dtype) > value) if down else (cast.to(value.dtype) < value)
    beyond = torch.nextafter(cast, torch.full_like(cast, -torch.inf if down else torch.inf))
    return torch.where(wrong, beyond, cast)
