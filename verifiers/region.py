"""Batches of input sets in the shape that bound propagation wants: one tensor for many samples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.balls import L0Ball, L1Ball, L2Ball, check_pixels
from robust.properties.input_sets import Box, InputSet
from robust.properties.minimisers import by_pixel, l0_gain, l0_move, l1_gain, l1_move, l2_move
from robust.properties.rounding import outward, step

Gamma = Callable[[float], float]
NORMS = ("linf", "l2", "l1", "l0")
MULTIPLIERS = 3
"""Lagrange multipliers that are tried for an L2 ball cut to a box; every one gives a bound."""


@dataclass(frozen=True, eq=False)
class Region:
    """``n`` input sets of one kind: boxes, or balls cut to boxes.

    Attributes:
        lower: ``[n, *shape]``, the lower corner of each bounding box.
        upper: ``[n, *shape]``.
        center: ``[n, *shape]``, centres of balls; None for plain boxes.
        radius: ``[n]``, in the ball's norm; for ``l0`` an L2 radius that encloses the set; None for plain boxes.
        norm: ``linf`` (a box), ``l2``, ``l1`` or ``l0``; by default ``l2`` where there is a centre, else ``linf``.
        pixels: ``l0`` only: int64 ``[n]``, how many pixels may differ from the centre.
        groups: ``l0`` only: how many channels (first axis) count as one pixel.
        drift: ``l0`` only: ``[n]``, how far casts have moved the numbers of the centre, at most.

    Every one of the four kinds lies within ``lower..upper``; ``l2``, ``l1`` and ``l0`` also within the L2 ball of
    ``radius`` around ``center``.

    Raises:
        PropertyError: fields that do not belong to the norm, or an unknown norm.
    """

    lower: Tensor
    upper: Tensor
    center: Tensor | None = None
    radius: Tensor | None = None
    norm: str = ""
    pixels: Tensor | None = None
    groups: int = 1
    drift: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.norm:
            object.__setattr__(self, "norm", "linf" if self.center is None else "l2")
        if self.norm not in NORMS:
            raise PropertyError("unknown norm", wanted=f"one of {', '.join(NORMS)}", got=self.norm)
        ball = self.norm != "linf"
        present = (self.center is not None, self.radius is not None, self.pixels is not None)
        if present != (ball, ball, self.norm == "l0"):
            raise PropertyError(
                f"a region of norm {self.norm} has the wrong fields",
                wanted="centre and radius for balls, pixels as well for l0, none of them for boxes",
                got=f"centre, radius and pixels: {present}",
            )

    def __len__(self) -> int:
        return self.lower.shape[0]

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Region:
        """The same sets in another arithmetic; to fewer digits all limits move outwards, never inwards."""
        if dtype == self.lower.dtype and device in (None, self.lower.device):
            return self
        parts: dict[str, Tensor | None] = {
            "lower": outward(self.lower, dtype, down=True),
            "upper": outward(self.upper, dtype, down=False),
            "pixels": self.pixels,
        }
        if self.center is not None and self.radius is not None:
            parts |= self._moved_center(self.center, self.radius, dtype)
        target = device or self.lower.device
        placed: dict[str, Any] = {name: None if part is None else part.to(target) for name, part in parts.items()}
        return dataclasses.replace(self, **placed)

    def _moved_center(self, center: Tensor, radius: Tensor, dtype: torch.dtype) -> dict[str, Tensor | None]:
        """Centre, radius and drift in another arithmetic: the radius grows by as much as the centre moves."""
        cast = center.to(dtype)
        move = (center.double() - cast.double()).flatten(1)
        far = torch.linalg.vector_norm(move, ord=1 if self.norm == "l1" else 2, dim=1)
        wide = radius.double() + far
        wide = torch.where(far > 0, step(wide, down=False), wide)
        drift = None
        if self.norm == "l0":
            drift = move.abs().amax(1) + (0 if self.drift is None else self.drift.double())
            drift = outward(drift, dtype, down=False)
        return {"center": cast, "radius": outward(wide, dtype, down=False), "drift": drift}

    def take(self, rows: Tensor) -> Region:
        """The sets at ``rows`` (indices or mask)."""
        names = ("lower", "upper", "center", "radius", "pixels", "drift")
        parts = {name: getattr(self, name) for name in names}
        taken = {name: part[rows] for name, part in parts.items() if part is not None}
        result = dataclasses.replace(self, **taken)
        if "_most" in self.__dict__:
            result.__dict__["_most"] = self._most
        return result

    def minimum(self, coefficients: Tensor) -> Tensor:
        """Lower bounds of ``<a, x>`` over each set, exact up to rounding for all but ``l2``.

        L2: the better of the box and a Lagrangian bound of the ball cut to the box.

        Args:
            coefficients: ``[n, m, elements]``, or ``[1, m, elements]``: the same functions for all sets.

        Returns:
            ``[n, m]``.
        """
        return self.valued(coefficients)[0]

    def valued(self, coefficients: Tensor, gamma: Gamma | None = None) -> tuple[Tensor, Tensor | None]:
        """``minimum`` as computed, and what rounding may have added to it beyond the inner products with the centre and
        with the ends of the box: ``[n, m]`` each; None where that is nothing, or not asked.

        Args:
            coefficients: see ``minimum``.
            gamma: from a number of terms to the relative error of their sum; None: rounding is not asked about.
        """
        if self.center is None or self.radius is None:
            return self._box_minimum(coefficients), None
        at_center = _inner(coefficients, self.center.flatten(1))
        if self.norm == "l2":
            return self._l2_minimum(coefficients, at_center, self.radius, gamma)
        low, high = self._room
        if self.norm == "l1":
            gain = l1_gain(coefficients, low, high, self.radius)
            return at_center - gain, self._loss(coefficients, gain, gamma)
        gain = l0_gain(coefficients, low, high, _present(self.pixels), self.groups, self._most)
        if self.drift is not None:
            gain = gain + self.drift[:, None] * coefficients.abs().sum(2)
        return at_center - gain, self._loss(coefficients, gain, gamma)

    def _loss(self, coefficients: Tensor, gain: Tensor, gamma: Gamma | None) -> Tensor | None:
        """What rounding may have taken from a gain over an L1 or L0 ball.

        A sum of products errs by a share of their sum. In L1 the sums of rooms by which the budget is spent err by a
        share of the budget and of the last room, which is worth the dearest coefficient.
        """
        if gamma is None:
            return None
        share = gamma(2 * coefficients.shape[2] + 16)
        loss = share * gain + self._underflow
        if self.norm == "l1":
            furthest = torch.maximum(-self._room[0], self._room[1]).amax(2)
            loss = loss + share * (_present(self.radius)[:, None] + furthest) * coefficients.abs().amax(2)
        return loss

    @property
    def _underflow(self) -> Tensor:
        """What products too small for the arithmetic may add up to: ``[n, 1]``."""
        low, high = self._room
        tiny = torch.finfo(low.dtype).tiny
        return tiny * (16 + low.shape[2] + (high - low).sum(2))

    def minimiser(self, coefficients: Tensor) -> Tensor:
        """Points of the sets where ``<a, x>`` is minimal; for ``l2`` feasible points close to minimal.

        Args:
            coefficients: ``[n, m, elements]`` or ``[1, m, elements]``.

        Returns:
            ``[n, m, elements]``, inside the sets up to rounding (of a cast centre, for ``l0``).
        """
        lower, upper = self.lower.flatten(1)[:, None], self.upper.flatten(1)[:, None]
        if self.center is None or self.radius is None:
            return torch.where(coefficients > 0, lower, upper)
        low, high = self._room
        if self.norm == "l2":
            move = l2_move(coefficients, low, high, self.radius)
        elif self.norm == "l1":
            move = l1_move(coefficients, low, high, self.radius)
        else:
            move = l0_move(coefficients, low, high, _present(self.pixels), self.groups, self._most)
        point = self.center.flatten(1)[:, None] + move
        return torch.minimum(torch.maximum(point, lower), upper)

    @cached_property
    def _ends(self) -> tuple[Tensor, Tensor]:
        """Middle and half width ``[n, e]`` of the bounding boxes; together they enclose both ends, up to rounding."""
        lower, upper = self.lower.flatten(1), self.upper.flatten(1)
        middle = lower + (upper - lower) / 2
        return middle, torch.maximum(upper - middle, middle - lower)

    @cached_property
    def _room(self) -> tuple[Tensor, Tensor]:
        """How far each box lies below and above its centre, ``[n, 1, e]`` each; at most and at least 0."""
        center = _present(self.center)
        low, high = ((end - center).flatten(1)[:, None] for end in (self.lower, self.upper))
        return low.clamp_max(0), high.clamp_min(0)

    @cached_property
    def _most(self) -> int:
        """The largest number of pixels; read from the device once."""
        return int(_present(self.pixels).max()) if len(self) else 0

    def _box_minimum(self, coefficients: Tensor) -> Tensor:
        middle, half = self._ends
        return _inner(coefficients, middle) - _inner(coefficients.abs(), half)

    def _l2_minimum(
        self, coefficients: Tensor, at_center: Tensor, radius: Tensor, gamma: Gamma | None
    ) -> tuple[Tensor, Tensor | None]:
        """The better of the box and the ball."""
        box = self._box_minimum(coefficients)
        ball, loss = self._dual(coefficients, radius, gamma)
        ball = ball + at_center
        if loss is None:
            return torch.maximum(box, ball), None
        better = ball - loss > box
        return torch.where(better, ball, box), torch.where(better, loss, 0.0)

    def _dual(self, coefficients: Tensor, radius: Tensor, gamma: Gamma | None) -> tuple[Tensor, Tensor | None]:
        """Lagrangian bound of ``<a, x - c>`` over the ball cut to the box: for every multiplier ``t > 0``,

        ``min_x <a, x - c> >= min over the box of <a, d> + (||d||^2 - r^2) / (2 t)``, reached at ``d = clip(-t a)``.
        The first multiplier is optimal for the whole ball; each further one for the coordinates that were not clipped.

        With ``gamma`` also what rounding may have added: a share of the magnitudes that are summed, ``|<a, d>| <=
        ||a|| ||d||``. That ``d`` is rounded itself costs the square of a unit of ``||d||^2 / (2 t)``, which is less.
        """
        low, high = self._room
        squared = radius[:, None] ** 2
        tiny, largest = torch.finfo(coefficients.dtype).tiny, torch.finfo(coefficients.dtype).max
        norm = torch.linalg.vector_norm(coefficients, dim=2)
        step = (radius[:, None] / norm.clamp_min(tiny)).clamp_max(largest)
        best = torch.full_like(step, -torch.inf)
        share = 0.0 if gamma is None else gamma(2 * coefficients.shape[2] + 16)
        loss = None if gamma is None else torch.zeros_like(best)
        for _ in range(MULTIPLIERS):
            wish = coefficients * -step[:, :, None]
            move = torch.minimum(torch.maximum(wish, low), high)
            spent = (move * move).sum(2)
            half = 2 * step.clamp_min(tiny)
            value = (coefficients * move).sum(2) + (spent - squared) / half
            if loss is None:
                best = torch.maximum(best, value)
            else:
                lost = share * (norm * spent.sqrt() + (spent + squared) / half) + self._underflow
                lost = lost + tiny * (coefficients.shape[2] + 2) / half
                better = value - lost > best - loss
                best, loss = torch.where(better, value, best), torch.where(better, lost, loss)
            inside = torch.where(move == wish, wish, 0.0).square().sum(2)
            growth = ((squared - spent + inside).clamp_min(0) / inside.clamp_min(tiny)).sqrt().clamp(1.0, 1e3)
            step = (step * growth).clamp_max(largest)
        some = coefficients.abs().amax(2) > tiny
        if loss is not None:
            loss = torch.where(some, loss, self._underflow)
        return torch.where(some, best, torch.zeros_like(best)), loss


def kind_of_set(inputs: InputSet) -> Hashable:
    """What must agree for input sets to share a ``Region``: the kind of ball, and for L0 what counts as a pixel."""
    if isinstance(inputs, L0Ball):
        return L0Ball, inputs.groups
    return type(inputs)


def region_of(inputs: Sequence[InputSet]) -> Region:
    """Stack input sets of one kind and shape, in float64.

    Raises:
        PropertyError: none at all, of different kinds or shapes, or of a kind that bounds do not know as one set.
    """
    kinds = {kind_of_set(item) for item in inputs}
    if len(kinds) != 1:
        raise PropertyError(
            "input sets of one batch are of different kinds",
            wanted="one or more sets, all boxes or all balls of one norm (for L0 with the same groups)",
            got=sorted({type(item).__name__ for item in inputs}),
        )
    stack = next((stack for kind, stack in STACKED.items() if isinstance(inputs[0], kind)), None)
    if stack is None:
        raise PropertyError(
            "bounds do not take this kind of input set as it is",
            wanted=", ".join(kind.__name__ for kind in STACKED),
            got=type(inputs[0]).__name__,
            hint="verify composed(property, module) over the box of parameters, or the pieces of a union one by one",
        )
    if len({item.shape for item in inputs}) != 1:
        raise PropertyError("input sets of one batch differ in shape", got=sorted({item.shape for item in inputs}))
    return stack(inputs)


def _stacked_boxes(inputs: Sequence[InputSet]) -> Region:
    boxes = [item.bounding_box() for item in inputs]
    lower, upper = (torch.stack([end.double() for end in ends]) for ends in zip(*_ends(boxes), strict=True))
    return Region(lower, upper)


def _ends(boxes: Sequence[Box]) -> list[tuple[Tensor, Tensor]]:
    return [(box.lower, box.upper) for box in boxes]


def _stacked_balls(inputs: Sequence[InputSet]) -> Region:
    balls = [item for item in inputs if isinstance(item, L2Ball | L1Ball)]
    box = _stacked_boxes(inputs)
    radius = torch.tensor([ball.radius for ball in balls], dtype=torch.float64, device=box.lower.device)
    center = torch.stack([ball.center.double() for ball in balls])
    return Region(box.lower, box.upper, center, radius, "l1" if isinstance(balls[0], L1Ball) else "l2")


def _stacked_pixels(inputs: Sequence[InputSet]) -> Region:
    balls = [item for item in inputs if isinstance(item, L0Ball)]
    box = _stacked_boxes(inputs)
    center = torch.stack([ball.center.double() for ball in balls])
    pixels = torch.tensor([ball.pixels for ball in balls], device=box.lower.device)
    return _few_pixels(center, box.lower, box.upper, pixels, balls[0].groups)


STACKED: dict[type, Callable[[Sequence[InputSet]], Region]] = {
    Box: _stacked_boxes,
    L2Ball: _stacked_balls,
    L1Ball: _stacked_balls,
    L0Ball: _stacked_pixels,
}
"""Kind of input set -> how many of it make a region."""


def ball_region(samples: Tensor, epsilon: float, norm: str, box: Box, groups: int = 1) -> Region:
    """Balls of one radius around many samples, cut to the input box, in float64.

    The radius is widened by ``1e-6`` of itself plus one float32 rounding of the box, so that an input that an attack
    computed in float32 to lie within ``epsilon`` is inside. A number of pixels is not widened.

    Args:
        samples: ``[n, *shape]``, inside ``box``.
        epsilon: in input units, at least 0; for ``l0`` the number of pixels.
        norm: ``linf``, ``l2``, ``l1`` or ``l0``.
        box: the declared input box.
        groups: for ``l0``: how many channels (first axis of ``shape``) count as one pixel.

    Raises:
        PropertyError: negative radius, unknown norm, an impossible number of pixels, or a sample outside the box.
    """
    if norm not in NORMS:
        raise PropertyError("unknown norm", wanted=f"one of {', '.join(NORMS)}", got=norm)
    if not 0 <= epsilon < math.inf:
        raise PropertyError("a ball has an impossible radius", wanted="a finite number >= 0", got=epsilon)
    center, low, high = samples.double(), box.lower.double(), box.upper.double()
    if tuple(center.shape[1:]) != box.shape:
        raise PropertyError("samples and their box differ in shape", wanted=box.shape, got=tuple(center.shape[1:]))
    if not bool(((center >= low) & (center <= high)).all()):
        raise PropertyError(
            "a sample lies outside the input box (or is NaN)",
            wanted="samples inside the declared input box",
            got=f"values from {float(center.min()):.6g} to {float(center.max()):.6g}",
            hint="declare the box that the data really has",
        )
    if norm == "l0":
        check_pixels(epsilon, groups, box.shape)
        pixels = torch.full((len(center),), int(epsilon), device=center.device)
        lower, upper = (low.expand_as(center), high.expand_as(center)) if epsilon else (center, center)
        return _few_pixels(center, lower, upper, pixels, groups)
    rounding = float(torch.finfo(torch.float32).eps) * float(torch.maximum(low.abs(), high.abs()).max())
    size = {"linf": 1.0, "l2": math.sqrt(box.lower.numel()), "l1": float(box.lower.numel())}[norm]
    radius = epsilon * (1 + 1e-6) + rounding * size
    lower, upper = torch.maximum(center - radius, low), torch.minimum(center + radius, high)
    if norm == "linf":
        return Region(lower, upper)
    radii = torch.full((len(center),), radius, dtype=torch.float64, device=center.device)
    return Region(lower, upper, center, radii, norm)


def _few_pixels(center: Tensor, lower: Tensor, upper: Tensor, pixels: Tensor, groups: int) -> Region:
    """L0 balls, with the L2 radius of the ball around: the root of the largest pixels' squared moves."""
    furthest = torch.maximum(upper - center, center - lower).flatten(1)
    squares = by_pixel(furthest**2, groups).sum(1).sort(1, descending=True).values
    allowed = torch.arange(squares.shape[1], device=pixels.device) < pixels[:, None]
    radius = (squares * allowed).sum(1).sqrt() * (1 + 1e-12)
    return Region(lower, upper, center, radius, "l0", pixels, groups)


def _inner(coefficients: Tensor, points: Tensor) -> Tensor:
    """``[n or 1, m, e]`` times ``[n, e]`` to ``[n, m]``, as one product."""
    if coefficients.shape[0] == 1:
        return points @ coefficients[0].T
    return torch.bmm(coefficients, points[:, :, None])[:, :, 0]


def _present(value: Tensor | None) -> Tensor:
    if value is None:
        raise PropertyError("a region lacks a field that its norm needs")
    return value
