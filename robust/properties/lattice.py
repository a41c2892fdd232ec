"""Points of a box whose chosen coordinates are whole, and of whose one-hot groups exactly one coordinate is 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.input_sets import Box


@dataclass(frozen=True, eq=False)
class LatticeBox(Box):
    """A box without the points that are no table rows. Bounds take the whole box, which is a larger set.

    Attributes:
        whole: flat places of coordinates that are whole numbers.
        groups: flat places of one-hot groups, each all of its coordinates.

    Raises:
        PropertyError: a place outside the box.
    """

    whole: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        count = self.lower.numel()
        if not all(0 <= place < count for part in (self.whole, *self.groups) for place in part):
            raise PropertyError("a lattice has a place outside its box", wanted=f"0 to {count - 1}")

    def bounding_box(self) -> Box:
        """The box alone."""
        return Box(self.lower, self.upper)

    def contains(self, x: Tensor) -> Tensor:
        """Membership of ``[n, *shape]``, exact."""
        flat = x.double().flatten(1)
        whole = flat[:, list(self.whole)]
        inside = super().contains(x) & (whole == whole.round()).all(1)
        for group in self.groups:
            values = flat[:, list(group)]
            inside = inside & ((values == 0) | (values == 1)).all(1) & (values.sum(1) == 1)
        return inside

    def nearest(self, x: Tensor) -> Tensor:
        """A point of the lattice near each of ``[n, *shape]``; of a group the largest coordinate becomes 1."""
        flat = x.clone().flatten(1)
        flat[:, list(self.whole)] = flat[:, list(self.whole)].round()
        for group in self.groups:
            places = list(group)
            allowed = self.upper.flatten()[places].to(flat) >= 1
            best = flat[:, places].masked_fill(~allowed, -torch.inf).argmax(1)
            flat[:, places] = torch.nn.functional.one_hot(best, len(places)).to(flat)
        return flat.reshape(x.shape)
