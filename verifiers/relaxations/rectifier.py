"""ReLU and leaky ReLU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation


class Rectifier:
    """``max(x, s x)`` with ``0 <= s <= 1``: the chord above; below, any line through 0 with a slope in [s, 1].

    The lower slope is 1 where the upper triangle is the larger and else ``s``, which makes the smaller area (CROWN-Ada:
    Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions, 2018, section
    3.3); alpha-CROWN (Xu et al., Fast and Complete, 2021) optimises it.
    """

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """The function is monotone: ends go to ends."""
        bend = _bend(node)
        lower, upper = operands[0]
        if bend == 0:
            return lower.clamp_min(0), upper.clamp_min(0)
        return torch.maximum(lower, bend * lower), torch.maximum(upper, bend * upper)

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """Lines, exact where the operand has one sign."""
        lower, upper = operands[0]
        bend = _bend(node)
        low, high = lower.clamp_max(0), upper.clamp_min(0)
        width = high - low
        if bend == 0:
            chord = (high / width).nan_to_num_(nan=0.0, posinf=1.0)
        else:
            chord = ((high - bend * low) / width).nan_to_num_(nan=1.0, posinf=1.0)
        below = torch.where(high > -low, 1.0, bend).to(lower)
        below = torch.where(width > 0, below, chord) if bend else below
        above = Lines((chord,), (bend - chord) * low)
        if not family:
            return Relaxation(Lines((below,)), above)
        stable = (low == 0) | (high == 0)
        ends = torch.stack([torch.where(stable, below, bend), torch.where(stable, below, 1.0)])
        return Relaxation(Lines((below,), None, Family((ends,), None, (below - bend) / (1 - bend))), above)

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """One of the two slopes, or both."""
        lower, upper = operands[0]
        bend = _bend(node)
        return [(torch.where(lower >= 0, 1.0, bend).to(lower), torch.where(upper <= 0, bend, 1.0).to(lower))]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Neurons whose sign is open."""
        lower, upper = operands[0]
        return (lower < 0) & (upper > 0)


def _bend(node: Node) -> float:
    return float(node.arguments["negative_slope"]) if node.op == "leaky_relu" else 0.0
