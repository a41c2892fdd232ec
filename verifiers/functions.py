"""Linear functions of a network's values, many per sample.

Coefficients are ``[n, m, elements]``: ``m`` functions for each of ``n`` samples; ``[1, m, elements]`` are functions
that all samples share, and stay so until they meet a relaxation, which differs by sample. Coefficients on a picture
may be windows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from verifiers.windows import Window


@dataclass(frozen=True, eq=False)
class Coefficients:
    """On one node's value.

    Attributes:
        values: ``[n or 1, m, elements]``, of the node or of the windows; zero outside of the picture.
        window: where the elements lie; None: all elements of the node in order.
    """

    values: Tensor
    window: Window | None = None

    def dense(self) -> Tensor:
        """``[n or 1, m, elements of the node]``."""
        return self.values if self.window is None else self.window.dense(self.values)

    def spread(self, values: Tensor) -> Tensor:
        """Per-element values ``[n or 1, elements of the node]`` in a shape that multiplies with ``self.values``."""
        return values[:, None] if self.window is None else self.window.pick(values)

    def inner(self, values: Tensor) -> Tensor:
        """``<coefficients, values>`` with ``[n, elements of the node]``: ``[n, m]``."""
        if self.window is None:
            return inner(self.values, values)
        return (self.values * self.window.pick(values)).sum(2)

    def plus(self, other: Coefficients) -> Coefficients:
        """The sum."""
        one, two = self.window, other.window
        if one is None and two is None:
            return Coefficients(self.values + other.values)
        if one is None or two is None or one.stride != two.stride:
            return Coefficients(self.dense() + other.dense())
        hull = one.around(two)
        if hull.whole:
            return Coefficients(self.dense() + other.dense())
        return Coefficients(one.grown(self.values, hull) + two.grown(other.values, hull), hull)


@dataclass(frozen=True, eq=False)
class Functions:
    """Linear functions of the values of some nodes, summed.

    Attributes:
        coefficients: by node.
        constant: ``[n or 1, m]``.
    """

    coefficients: Mapping[int, Coefficients]
    constant: Tensor

    @classmethod
    def of(cls, index: int, coefficients: Tensor) -> Functions:
        """Functions ``[n or 1, m, elements]`` of one node alone, without a constant."""
        return cls({index: Coefficients(coefficients)}, coefficients.new_zeros(coefficients.shape[:2]))


def inner(coefficients: Tensor, values: Tensor) -> Tensor:
    """``<coefficients, values>`` for ``[n or 1, m, elements]`` and ``[n, elements]``: ``[n, m]``."""
    if coefficients.shape[0] == 1:
        return values @ coefficients[0].T
    return torch.bmm(coefficients, values[:, :, None])[:, :, 0]
