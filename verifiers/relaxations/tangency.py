"""Where tangents through a point of a curve touch one of its stretches, tabulated once and then looked up.

For an S-shaped function and an interval across its inflection, the best lines below are the tangents left of the one
that passes through the upper end (Zhang et al., CROWN, 2018, section 3.3). That point depends on the upper end alone,
so a table replaces the bisection in every call. It need not be exact: the rule that uses it computes the intercept of
its line from the function, whatever the slope.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from verifiers.relaxations.curve import Function

_POINTS = 2048
_FARTHEST = math.asinh(1e7)
_STEPS = 60


@dataclass(frozen=True, eq=False)
class Tangency:
    """Tangent points on the stretch from ``start`` to ``end`` (one may be infinite) for points outside of it.

    Attributes:
        f: the function, multiplied by ``sign`` convex on the stretch.
        derivative: its derivative.
        sign: 1 or -1.
        start: of the stretch.
        end: of the stretch.
        left: whether the points lie left of the stretch.
    """

    f: Function
    derivative: Function
    sign: float
    start: float
    end: float
    left: bool
    _tables: dict[tuple[torch.dtype, torch.device], Tensor] = field(default_factory=dict)

    def __call__(self, x: Tensor) -> Tensor:
        """The tangent points of ``x``, any shape. The stretch's near end where ``x`` is not outside of it."""
        key = (x.dtype, x.device)
        if key not in self._tables:
            self._tables[key] = self._table().to(x)
        table = self._tables[key]
        distance = self.start - x if self.left else x - self.end
        position = torch.asinh(distance.clamp_(0, 1e7)).mul_((_POINTS - 1) / _FARTHEST)
        place = position.nan_to_num(nan=0.0).long().clamp_(0, _POINTS - 2)
        return torch.lerp(table[place], table[place + 1], position - place)

    def _table(self) -> Tensor:
        """``[points]`` for distances ``sinh`` of equal steps, by bisection: the test changes its sign once."""
        distance = torch.sinh(torch.linspace(0, _FARTHEST, _POINTS, dtype=torch.float64))
        near, far = (self.start, self.end) if self.left else (self.end, self.start)
        direction = 1.0 if self.left else -1.0
        point = near - direction * distance
        value = self.sign * self.f(point)
        reach = math.asinh(abs(far - near)) if math.isfinite(far) else math.asinh(1e9)
        closest, farthest = torch.zeros_like(distance), torch.full_like(distance, reach)
        for _ in range(_STEPS):
            middle = (closest + farthest) / 2
            touch = near + direction * torch.sinh(middle)
            tangent = self.sign * (self.f(touch) + self.derivative(touch) * (point - touch))
            crosses = tangent > value
            closest, farthest = torch.where(crosses, middle, closest), torch.where(crosses, farthest, middle)
        result = near + direction * torch.sinh(farthest)
        result[0] = near
        return result
