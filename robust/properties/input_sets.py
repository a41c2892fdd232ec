"""What an input set is, and the box. Each knows its bounding box and lower bounds of linear functions."""

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
        if self.lower.numel() == 0:
            raise PropertyError("a box has no coordinate", wanted="at least one", got=tuple(self.lower.shape))
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
        """Membership of ``[n, *shape]``, exact: numbers are compared in float64."""
        wide, lower, upper = x.double(), self.lower.to(x.device).double(), self.upper.to(x.device).double()
        return ((wide >= lower) & (wide <= upper)).flatten(1).all(1)

    def clamp(self, x: Tensor) -> Tensor:
        """The nearest points of the box to ``[n, *shape]``."""
        return torch.minimum(torch.maximum(x, self.lower.to(x)), self.upper.to(x))


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
