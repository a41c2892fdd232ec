"""Input sets. Each knows its bounding box and the exact or lower-bounded minimum of linear functions over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from robust.errors import PropertyError


@runtime_checkable
class InputSet(Protocol):
    """A closed set of inputs of one shape (no batch axis)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        ...

    def bounding_box(self) -> Box:
        """The smallest box known to contain the set."""
        ...

    def minimum(self, coefficients: Tensor) -> Tensor:
        """A lower bound of ``<coefficients, x>`` over the set.

        Args:
            coefficients: ``[m, *shape]``.

        Returns:
            ``[m]``.
        """
        ...

    def contains(self, x: Tensor) -> Tensor:
        """Membership of points ``[n, *shape]`` to the last bit, as bool ``[n]``."""
        ...


@dataclass(frozen=True, eq=False)
class Box:
    """``{x : lower <= x <= upper}``, both ``[*shape]``, in input units."""

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        if self.lower.shape != self.upper.shape:
            raise PropertyError(
                "the two ends of a box differ in shape",
                wanted=tuple(self.lower.shape),
                got=tuple(self.upper.shape),
            )
        if not bool(torch.isfinite(self.lower).all() and torch.isfinite(self.upper).all()):
            raise PropertyError("a box has an end that is NaN or infinite", wanted="finite numbers")
        if bool((self.lower > self.upper).any()):
            raise PropertyError(
                "a box is inverted",
                wanted="lower <= upper everywhere",
                got=f"{int((self.lower > self.upper).sum())} coordinates with lower > upper",
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.lower.shape)

    def bounding_box(self) -> Box:
        """Itself."""
        return self

    def minimum(self, coefficients: Tensor) -> Tensor:
        """Exact minimum of ``<coefficients, x>`` up to rounding: ``[m, *shape] -> [m]``."""
        lower, upper = self.lower.to(coefficients), self.upper.to(coefficients)
        products = torch.where(coefficients > 0, coefficients * lower, coefficients * upper)
        return products.flatten(1).sum(1)

    def contains(self, x: Tensor) -> Tensor:
        """Membership of ``[n, *shape]``."""
        return ((x >= self.lower.to(x)) & (x <= self.upper.to(x))).flatten(1).all(1)

    def clamp(self, x: Tensor) -> Tensor:
        """The nearest points of the box to ``[n, *shape]``."""
        return torch.minimum(torch.maximum(x, self.lower.to(x)), self.upper.to(x))


@dataclass(frozen=True, eq=False)
class L2Ball:
    """``{x in box : ||x - center||_2 <= radius}``: an L2 ball cut to an input box."""

    center: Tensor
    radius: float
    box: Box

    def __post_init__(self) -> None:
        if not self.radius >= 0:
            raise PropertyError("an L2 ball has a negative radius", wanted=">= 0", got=self.radius)
        if tuple(self.center.shape) != self.box.shape:
            raise PropertyError(
                "the centre of a ball and its box differ in shape", wanted=self.box.shape, got=tuple(self.center.shape)
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.center.shape)

    def bounding_box(self) -> Box:
        """The L-inf ball of the same radius, cut to the box."""
        return linf_ball(self.center, self.radius, self.box)

    def minimum(self, coefficients: Tensor) -> Tensor:
        """The larger of the ball's minimum (dual norm) and the bounding box's; both are lower bounds."""
        flat = coefficients.flatten(1)
        ball = flat @ self.center.to(flat).flatten() - self.radius * torch.linalg.vector_norm(flat, dim=1)
        return torch.maximum(ball, self.bounding_box().minimum(coefficients))

    def contains(self, x: Tensor) -> Tensor:
        """Membership of ``[n, *shape]``; the distance is taken in float64."""
        distance = torch.linalg.vector_norm((x.double() - self.center.double()).flatten(1), dim=1)
        near: Tensor = distance <= self.radius
        return self.box.contains(x) & near


def linf_ball(center: Tensor, radius: float, box: Box) -> Box:
    """The L-inf ball around ``center`` ``[*shape]`` cut to ``box``; a box again.

    Raises:
        PropertyError: negative radius, or the centre lies outside the box.
    """
    if not radius >= 0:
        raise PropertyError("an L-inf ball has a negative radius", wanted=">= 0", got=radius)
    if not bool(box.contains(center[None])[0]):
        raise PropertyError(
            "the centre of a ball lies outside the input box",
            wanted="a sample inside the declared input box",
            got=f"values from {float(center.min()):.6g} to {float(center.max()):.6g}",
            hint="declare the box that the data really has",
        )
    lower, upper = box.lower.to(center), box.upper.to(center)
    return Box(torch.maximum(center - radius, lower), torch.minimum(center + radius, upper))
