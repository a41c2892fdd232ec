"""Scores that a recorded model has masked with minus infinity, until a softmax asks which they are.

No bound could follow an infinity. So the scores are recorded without their mask, the mask is kept beside them, moves
with them, and goes into the softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from robust.errors import UnsupportedOperatorError
from robust.graph.rewrites import IDENTITIES
from robust.graph.rewrites.masks import ASKED_BY, KEPT_BY, unmasked


@dataclass
class Masks:
    """For each tensor of bare scores the bool tensor of those that stay; tensors must outlive this."""

    _keep: dict[int, Tensor] = field(default_factory=dict)

    def of(self, value: Any) -> Tensor | None:
        """The mask of a tensor, if it has one."""
        return self._keep.get(id(value))

    def put(self, scores: Tensor, keep: Tensor) -> None:
        """``scores`` are masked where ``keep`` is False."""
        self._keep[id(scores)] = keep

    def hand_on(self, scores: Tensor, to: Tensor) -> None:
        """Another tensor that now holds the same scores."""
        if id(scores) in self._keep:
            self._keep[id(to)] = self._keep[id(scores)]

    def follow(self, packet: str, scores: Tensor, result: Tensor) -> None:
        """The mask moves as operator ``packet`` has moved the scores."""
        keep = self._keep[id(scores)]
        with _disable_current_modes():
            self._keep[id(result)] = keep if packet in IDENTITIES else keep.expand(scores.shape).reshape(result.shape)

    def require_softmax_next(self, packet: str, tensors: Iterable[Tensor], place: str) -> None:
        """That operator ``packet`` may read these tensors.

        Raises:
            UnsupportedOperatorError: one is masked, and the operator would compute with infinities.
        """
        if packet not in ASKED_BY | KEPT_BY and any(id(tensor) in self._keep for tensor in tensors):
            raise UnsupportedOperatorError(
                f"scores masked with minus infinity are used by {packet}, at {place}",
                wanted="softmax right after the mask",
                hint="put the mask last before the softmax, or let it be finite, such as -1e4",
            )


def bare_form(
    packet: str, args: Any, keywords: dict[str, Any], is_constant: Callable[[Any], bool]
) -> tuple[Any, Any, Tensor] | None:
    """Operator, arguments and mask of an operator that masks, written without its infinities; None of any other."""
    may_mask = packet in ("where", "masked_fill") or (packet == "add" and keywords.get("alpha", 1) == 1)
    return unmasked(packet, args, is_constant) if may_mask else None
