"""Interval bounds (IBP; Gowal et al., On the Effectiveness of Interval Bound Propagation, 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor
from torch.nn.functional import linear

from robust.errors import UnsupportedOperatorError
from robust.graph import BatchConstant, Kind, Node, Operand
from robust.graph.operators import BILINEAR, MONOTONE_AFFINE
from verifiers.relaxations import RULES, Rule


@dataclass(frozen=True, eq=False)
class Bounds:
    """Enclosure of a node's value, both ends in the node's batched shape."""

    lower: Tensor
    upper: Tensor

    def flat(self, batch: int) -> tuple[Tensor, Tensor]:
        """Both ends as ``[batch, elements]``."""
        return self.lower.reshape(batch, -1), self.upper.reshape(batch, -1)


def interval_step(node: Node, operands: Sequence[Bounds], batch: int, rules: Mapping[str, Rule] = RULES) -> Bounds:
    """Bounds of one node from those of its operands.

    Monotone operators map ends to ends. An operator that is linear in its operand with coefficients ``W`` maps the
    middle by ``W`` and the half width by ``|W|``. Nonlinear operators have rules of their own.

    Raises:
        UnsupportedOperatorError: no rule.
    """
    if node.kind is Kind.MAXIMUM or (node.kind is Kind.AFFINE and node.op in MONOTONE_AFFINE):
        lower = node.apply([bounds.lower for bounds in operands], batch)
        return Bounds(lower, node.apply([bounds.upper for bounds in operands], batch))
    if node.kind is Kind.AFFINE and node.op in BILINEAR:
        (bounds,) = operands
        middle, half = (bounds.lower + bounds.upper) / 2, (bounds.upper - bounds.lower) / 2
        absolute = absolute_coefficients(node)
        if node.op == "linear":  # the commonest, without the detour over its schema
            middle = linear(middle, node.arguments["weight"], node.arguments["bias"])
            half = linear(half, absolute["weight"])
        else:
            middle, half = node.apply([middle], batch), node.apply([half], batch, **absolute)
        return Bounds(middle - half, middle + half)
    if node.kind is not Kind.AFFINE and node.op in rules:
        lower, upper = rules[node.op].interval(node, [bounds.flat(batch) for bounds in operands])
        shape = node.batched(batch)
        return Bounds(lower.reshape(shape), upper.reshape(shape))
    raise UnsupportedOperatorError(f"interval bounds have no rule for {node.op}, at {node.place}")


_ABSOLUTE: WeakKeyDictionary[Node, dict[str, Any]] = WeakKeyDictionary()


def absolute_coefficients(node: Node) -> dict[str, Any]:
    """The arguments that make an affine operator map half widths; made once."""
    if node not in _ABSOLUTE:
        replaced: dict[str, Any] = {"bias": None} if "bias" in node.arguments else {}
        for name in BILINEAR[node.op]:
            value = node.arguments[name]
            if isinstance(value, BatchConstant):
                replaced[name] = BatchConstant(value.rows.abs())
            elif not isinstance(value, Operand):
                replaced[name] = value.abs()
        _ABSOLUTE[node] = replaced
    return _ABSOLUTE[node]
