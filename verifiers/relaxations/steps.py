"""Step functions: sign, floor, ceil, round.

A staircase ``floor(x + c)`` lies between ``x + c - 1`` and ``x + c`` and between its values at the ends. Its envelope
has one more line on each side: below, through the foot of the last step and the upper end; above, through the top of
the first step and the lower end. Sign has one step, at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import Node
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation

_STEEPEST = 8.0
"""Slope up to which the line through an end of the interval is used: steeper ones are good on a sliver only."""


@dataclass(frozen=True)
class Steps:
    """Rule of the step functions."""

    def interval(self, node: Node, operands: Sequence[Interval]) -> Interval:
        """The functions are monotone: ends go to ends."""
        lower, upper = operands[0]
        f = _FUNCTIONS[_plain(node)][0]
        return f(lower), f(upper)

    def relax(self, node: Node, operands: Sequence[Interval], *, family: bool = False) -> Relaxation:
        """The line that is best in the middle; the family adds the constant and, of staircases, the line of slope 1."""
        lower, upper = operands[0]
        f, shift = _FUNCTIONS[_plain(node)]
        low, high = f(lower), f(upper)
        middle, flat = lower / 2 + upper / 2, torch.zeros_like(lower)
        below, above = [(flat, low)], [(flat, high)]
        constant = low == high
        if shift is None:
            below.append(_sign_line(low, upper))
            above.append(_negative(_sign_line(-high, -lower)))
        else:
            stair = torch.where(constant, 0.0, 1.0).to(lower)
            below.append((stair, torch.where(constant, low, shift - 1)))
            above.append((stair, torch.where(constant, high, shift)))
            below.append(_last_step(lower, upper, shift, high))
            above.append(_negative(_last_step(-upper, -lower, 1 - shift, -low)))
        return Relaxation(_best(below, middle, constant, 1, family), _best(above, middle, constant, -1, family))

    def slopes(self, node: Node, operands: Sequence[Interval]) -> Sequence[Interval]:
        """0, and infinite where there is a step between the ends."""
        low, high = self.interval(node, operands)
        return [(torch.zeros_like(low), torch.where(low == high, 0.0, torch.inf).to(low))]

    def loose(self, node: Node, operands: Sequence[Interval]) -> Tensor:
        """Where there is a step between the ends."""
        low, high = self.interval(node, operands)
        return low != high


_FUNCTIONS = {
    "floor": (torch.floor, 0.0),
    "ceil": (torch.ceil, 1.0),
    "round": (torch.round, 0.5),
    "sign": (torch.sign, None),
}


def _plain(node: Node) -> str:
    if node.arguments.get("decimals", 0):
        raise UnsupportedOperatorError(
            f"there is no rule for rounding to decimals, at {node.place}", got=node.arguments["decimals"]
        )
    return node.op


def _slack(slope: Tensor, x: Tensor, y: Tensor) -> Tensor:
    info = torch.finfo(slope.dtype)
    return 4 * info.eps * (slope.abs() * x.abs() + y.abs()) + info.tiny


def _sign_line(low: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """From ``(0, low)`` to ``(upper, 1)``."""
    slope = ((1 - low) / upper).where(upper > 0, torch.nan)
    slope = slope.where(torch.isfinite(slope), torch.nan)
    return slope, low - _slack(slope, upper, torch.ones_like(low))


def _last_step(lower: Tensor, upper: Tensor, shift: float, top: Tensor) -> tuple[Tensor, Tensor]:
    """From the foot of the last step at or below ``upper`` to ``(upper, top)``; NaN where too steep or none."""
    step = torch.floor(upper + shift) - shift
    slope = 1 / (upper - step)
    slope = slope.where((slope > 0) & (slope <= _STEEPEST) & (upper.abs() < 1e5), torch.nan)
    foot = top - 1
    return slope, foot - slope * step - _slack(slope, step.abs() + 1, top.abs() + 1)


def _negative(line: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A line below ``-f(-x)`` as one above ``f(x)``."""
    return line[0], -line[1]


def _best(lines: list[tuple[Tensor, Tensor]], middle: Tensor, constant: Tensor, sign: int, family: bool) -> Lines:
    """The best in the middle. Lines that are not finite are replaced by the first."""
    (flat, level), *others = lines
    usable = [torch.isfinite(slope) & torch.isfinite(intercept) & ~constant for slope, intercept in others]
    slopes = torch.stack([flat, *(line[0].where(good, flat) for line, good in zip(others, usable, strict=True))])
    levels = torch.stack([level, *(line[1].where(good, level) for line, good in zip(others, usable, strict=True))])
    values = (sign * (slopes * middle + levels)).nan_to_num(-torch.inf, torch.inf, -torch.inf)
    best = values.argmax(0, keepdim=True)
    slope, intercept = slopes.gather(0, best)[0], levels.gather(0, best)[0]
    members = Family((slopes,), levels, best[0].to(middle)) if family else None
    return Lines((slope,), intercept, members)
