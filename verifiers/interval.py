"""Interval bounds (IBP; Gowal et al., On the Effectiveness of Interval Bound Propagation, 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from robust.errors import UnsupportedOperatorError
from robust.graph import BatchConstant, Kind, Node, Operand
from robust.graph.operators import BILINEAR, MONOTONE_AFFINE

MONOTONE = {"relu", "leaky_relu", "sigmoid", "tanh"}
"""Nonlinear functions that map ends to ends."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """Enclosure of a node's value, both ends in the node's batched shape."""

    lower: Tensor
    upper: Tensor

    def flat(self, batch: int) -> tuple[Tensor, Tensor]:
        """Both ends as ``[batch, elements]``."""
        return self.lower.reshape(batch, -1), self.upper.reshape(batch, -1)


def interval_step(node: Node, operands: Sequence[Bounds], batch: int) -> Bounds:
    """Bounds of one node from those of its operands.

    Monotone operators map ends to ends. An operator that is linear in its operand with coefficients ``W`` maps the
    middle by ``W`` and the half width by ``|W|``.

    Raises:
        UnsupportedOperatorError: no rule.
    """
    if node.kind is Kind.MAXIMUM or node.op in MONOTONE | set(MONOTONE_AFFINE):
        lower = node.apply([bounds.lower for bounds in operands], batch)
        return Bounds(lower, node.apply([bounds.upper for bounds in operands], batch))
    if node.op in BILINEAR and node.kind is Kind.AFFINE:
        (bounds,) = operands
        middle = node.apply([(bounds.lower + bounds.upper) / 2], batch)
        half = node.apply([(bounds.upper - bounds.lower) / 2], batch, **_absolute_coefficients(node))
        return Bounds(middle - half, middle + half)
    raise UnsupportedOperatorError(f"interval bounds have no rule for {node.op}, at {node.place}")


def _absolute_coefficients(node: Node) -> dict[str, object]:
    replaced: dict[str, object] = {"bias": None} if "bias" in node.arguments else {}
    for name in BILINEAR[node.op]:
        value = node.arguments[name]
        if isinstance(value, BatchConstant):
            replaced[name] = BatchConstant(value.rows.abs())
        elif not isinstance(value, Operand):
            replaced[name] = value.abs()
    return replaced
