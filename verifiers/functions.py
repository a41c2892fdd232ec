"""Linear functions of a network's values, many per sample.

Coefficients are ``[n, m, elements]``: ``m`` functions for each of ``n`` samples; ``[1, m, elements]`` are functions that
all samples share, and stay so until they meet a relaxation, which differs by sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Functions:
    """Linear functions of the values of some nodes, summed.

    Attributes:
        coefficients: node -> ``[n or 1, m, elements]``.
        constant: ``[n or 1, m]``.
    """

    coefficients: Mapping[int, Tensor]
    constant: Tensor

    @classmethod
    def of(cls, index: int, coefficients: Tensor) -> Functions:
        """Functions of one node alone, without a constant."""
        return cls({index: coefficients}, coefficients.new_zeros(coefficients.shape[:2]))


def inner(coefficients: Tensor, values: Tensor) -> Tensor:
    """``<coefficients, values>`` for ``[n or 1, m, elements]`` and ``[n, elements]``: ``[n, m]``."""
    if len(coefficients) == 1:
        return values @ coefficients[0].T
    return torch.bmm(coefficients, values[:, :, None])[:, :, 0]
