"""Unions of input sets: a patch at any place, a few pixels, the cells of a range of parameters."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.balls import check_inside, check_pixels
from robust.properties.input_sets import Box, InputSet
from robust.properties.property import Property

MOST_PIECES = 100_000
MOST_NUMBERS = 2**28
"""Of all boxes of a union together: 1 GiB in float32 for each end."""


@dataclass(frozen=True, eq=False)
class Union:
    """The union of its members, all of one shape. A property over it holds when it holds over every piece.

    Raises:
        PropertyError: no member (every network would be safe), or members of different shapes.
    """

    members: tuple[InputSet, ...]

    def __post_init__(self) -> None:
        shapes = {item.shape for item in self.members}
        if len(shapes) != 1:
            raise PropertyError(
                "a union needs members of one shape", wanted="at least one member, one shape", got=sorted(shapes)
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.members[0].shape

    def pieces(self) -> tuple[InputSet, ...]:
        """Its members, and those of members that are unions themselves."""
        return tuple(itertools.chain.from_iterable(pieces(item) for item in self.members))

    def bounding_box(self) -> Box:
        """The smallest box around the members' boxes, in float64."""
        boxes = [item.bounding_box() for item in self.members]
        lower, upper = boxes[0].lower.double(), boxes[0].upper.double()
        for box in boxes[1:]:
            lower, upper = torch.minimum(lower, box.lower.double()), torch.maximum(upper, box.upper.double())
        return Box(lower, upper)

    def minimum(self, coefficients: Tensor) -> Tensor:
        """The smallest of the members' minima, ``[m, *shape] -> [m]``."""
        return torch.stack([item.minimum(coefficients) for item in self.members]).amin(0)

    def contains(self, x: Tensor) -> Tensor:
        """Membership of ``[n, *shape]`` in any member."""
        return torch.stack([item.contains(x) for item in self.members]).any(0)


def pieces(inputs: InputSet) -> tuple[InputSet, ...]:
    """The sets whose union ``inputs`` is: those of a ``Union``, else the set itself."""
    return inputs.pieces() if isinstance(inputs, Union) else (inputs,)


def split_property(question: Property) -> tuple[Property, ...]:
    """One property per piece of its inputs; it holds exactly when all of them do."""
    parts = pieces(question.inputs)
    if len(parts) == 1:
        return (Property(parts[0], question.unsafe, question.name),)
    names = (f"{question.name} (piece {place + 1} of {len(parts)})".strip() for place in range(len(parts)))
    return tuple(Property(part, question.unsafe, name) for part, name in zip(parts, names, strict=True))


def patch(x: Tensor, height: int, width: int, box: Box, *, merge: int = 1) -> Union:
    """A patch of ``height x width`` pixels, at any one place, changes as it likes within the box.

    Args:
        x: ``[..., H, W]``, inside ``box``; all leading axes change together.
        height: of the patch, 1 to ``H``.
        width: of the patch, 1 to ``W``.
        box: what changed pixels may become.
        merge: one piece serves ``merge x merge`` neighbouring places: fewer pieces, each larger, still sound.

    Raises:
        PropertyError: a patch larger than the image, more numbers than ``MOST_NUMBERS``.
    """
    check_inside(x, box, "the image under a patch")
    if x.ndim < 2 or not (1 <= height <= x.shape[-2] and 1 <= width <= x.shape[-1] and merge >= 1):
        raise PropertyError(
            "a patch does not fit the image",
            wanted=f"1 <= height, width <= {tuple(x.shape[-2:])} and merge >= 1",
            got=f"{height} x {width}, merge {merge}",
        )
    tops, lefts = (range(0, size - side + 1, merge) for size, side in ((x.shape[-2], height), (x.shape[-1], width)))
    check_count(len(tops) * len(lefts), x, "merge neighbouring places (merge=2, 4, ...)")
    members = []
    for top, left in itertools.product(tops, lefts):
        free = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
        free[..., top : top + height + merge - 1, left : left + width + merge - 1] = True
        members.append(_free_box(x, free, box))
    return Union(tuple(members))


def few_pixels(x: Tensor, pixels: int, box: Box, *, groups: int = 1) -> Union:
    """Any ``pixels`` pixels change as they like: one box per choice of them. ``L0Ball`` is the same set in one piece.

    Args:
        x: ``[*shape]``, inside ``box``.
        pixels: how many, at least 1.
        box: what changed pixels may become.
        groups: channels (first axis) that count as one pixel.

    Raises:
        PropertyError: an impossible number, more choices than ``MOST_PIECES``, more numbers than ``MOST_NUMBERS``.
    """
    check_inside(x, box, "the centre of a few-pixel set")
    count = check_pixels(pixels, groups, tuple(x.shape))
    check_count(math.comb(count, pixels), x, "use L0Ball, one set for all choices")
    members = []
    for chosen in itertools.combinations(range(count), pixels):
        free = torch.zeros(groups, count, dtype=torch.bool, device=x.device)
        free[:, list(chosen)] = True
        members.append(_free_box(x, free.reshape(x.shape), box))
    return Union(tuple(members))


def _free_box(x: Tensor, free: Tensor, box: Box) -> Box:
    return Box(torch.where(free, box.lower.to(x), x), torch.where(free, box.upper.to(x), x))


def check_count(count: int, x: Tensor, hint: str) -> None:
    """That so many boxes of the shape of ``x`` fit into memory.

    Raises:
        PropertyError: more than ``MOST_PIECES`` or ``MOST_NUMBERS``.
    """
    if count > MOST_PIECES or count * x.numel() > MOST_NUMBERS:
        raise PropertyError(
            "a union has too many pieces",
            wanted=f"at most {MOST_PIECES} pieces and {MOST_NUMBERS} numbers",
            got=f"{count} pieces of {x.numel()} numbers",
            hint=hint,
        )
