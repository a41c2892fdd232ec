"""Every member of a finite set of manipulated pictures, asked on the real model: complete over so many pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.properties.input_sets import Box
from robust.properties.manipulations import Manipulation
from robust.record.answer import Verdict

BATCH = 512
"""Pictures that are asked together, at most."""


@dataclass(frozen=True, eq=False)
class Searched:
    """The answer about one picture.

    Attributes:
        verdict: VERIFIED when all members were asked and keep the answer, FALSIFIED with a member that does not,
            UNKNOWN when some were not asked.
        asked: how many members were.
        count: how many there are.
        broken: how many of those asked get another answer, or none that is a number.
        number: a member that does, asked alone.
        witness: that picture, ``[*shape]``.
        answer: the class that the real model gives it.
    """

    verdict: Verdict
    asked: int
    count: int
    broken: int
    number: int | None = None
    witness: Tensor | None = None
    answer: int | None = None


def search(
    replay: Callable[[Tensor], Tensor],
    x: Tensor,
    label: int,
    manipulation: Manipulation,
    box: Box,
    *,
    most: int | None = None,
    generator: torch.Generator | None = None,
) -> Searched:
    """Ask all members, or ``most`` of them, drawn without repeating.

    Args:
        replay: inputs ``[n, *shape]`` to the real model's logits.
        x: the picture, ``[*shape]``.
        label: the class that must stay; a tie counts as broken only where another class comes first.
        manipulation: the set.
        box: what its pictures are clamped to.
        most: members to ask; None: all.
        generator: of what is drawn.
    """
    count = manipulation.count(tuple(x.shape))
    numbers = _chosen(count, most, generator)
    broken, witness = 0, None
    for part in torch.split(numbers, BATCH):
        pictures = manipulation.pictures(x, part, box)
        wrong = torch.nonzero(_wrong(replay(pictures), label).cpu())[:, 0]
        broken += len(wrong)
        for place in wrong.tolist() if witness is None else ():
            alone = replay(pictures[place : place + 1])
            if bool(_wrong(alone, label)[0]) and bool(torch.isfinite(alone).all()):
                witness = int(part[place]), pictures[place], int(alone[0].argmax())
                break
    if witness is not None:
        return Searched(Verdict.FALSIFIED, len(numbers), count, broken, *witness)
    verdict = Verdict.VERIFIED if len(numbers) == count and not broken else Verdict.UNKNOWN
    return Searched(verdict, len(numbers), count, broken)


def _chosen(count: int, most: int | None, generator: torch.Generator | None) -> Tensor:
    if most is None or count <= most:
        return torch.arange(count)
    if count <= 10 * most:
        return torch.randperm(count, generator=generator)[:most].sort().values
    drawn = (torch.rand(2 * most, generator=generator, dtype=torch.float64) * count).long().clamp_max(count - 1)
    return torch.tensor(sorted(set(drawn.tolist()))[:most])


def _wrong(logits: Tensor, label: int) -> Tensor:
    return (logits.argmax(1) != label) | ~torch.isfinite(logits).all(1)
