"""How much goes through a pass at once, and what happens when even that is too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.graph import Kind
from verifiers.deadline import OutOfTimeError
from verifiers.network import Network

TEMPORARIES = 5
"""Tensors of the size of the widest coefficients that a pass holds at a time."""
KEPT = 12
"""Tensors of the size of all nodes that the bounds and lines of one sample take."""
CACHED = 32 * 2**20
"""On a processor: what stays near its caches is up to three times as fast as what does not."""
SHARE = 8
"""On an accelerator: one part in so many of the memory that is free."""
LARGEST_FORM = 2**25
"""Coefficients of one node's affine form of one sample; the same everywhere, because bounds depend on it."""


@dataclass(frozen=True)
class Effort:
    """How much work and memory a bound may take.

    Attributes:
        rows: at most so many neurons of one node are bounded anew, the widest ones; the others keep intervals.
        symbols: affine forms of a node depend on at most so many inputs and noise symbols; fewer where nodes are large.
        bytes: aim for temporaries of at most about so many bytes; None: chosen by device, see ``budget``.
        expired: asked between passes; once it says yes, the bound stops with ``OutOfTimeError``.
    """

    rows: int = 4096
    symbols: int = 4096
    bytes: int | None = None
    expired: Callable[[], bool] | None = field(default=None, repr=False, compare=False)

    def check(self) -> None:
        """Stop here if time is up.

        Raises:
            OutOfTimeError: it is.
        """
        if self.expired is not None and self.expired():
            raise OutOfTimeError

    def budget(self, device: torch.device) -> int:
        """Bytes for temporaries: what was asked for, or what suits the device."""
        if self.bytes is not None:
            return self.bytes
        if device.type == "cuda":
            return max(CACHED, torch.cuda.mem_get_info(device)[0] // SHARE)
        return CACHED


def chunk_rows(network: Network, batch: int, effort: Effort) -> int:
    """How many linear functions per sample a backward pass may carry at once."""
    return max(1, effort.budget(network.graph.device) // (TEMPORARIES * _itemsize(network) * network.widest * batch))


def form_symbols(network: Network, effort: Effort) -> int:
    """How many inputs and noise symbols the affine forms of a network may depend on."""
    return min(effort.symbols, LARGEST_FORM // network.widest)


def chunk_samples(network: Network, rows: int, effort: Effort, *, forms: bool = False) -> int:
    """How many samples may be bounded together: their bounds, lines and forms take no more than the temporaries."""
    elements = sum(node.elements for node in network.graph.nodes)
    kept = max(KEPT * elements, network.widest * min(rows, 16))
    if forms:
        made = sum(node.elements for node in network.graph.nodes if node.kind is not Kind.AFFINE)
        kept = max(kept, TEMPORARIES * network.widest * min(made, form_symbols(network, effort)))
    return max(1, min(4096, 4 * effort.budget(network.graph.device) // (_itemsize(network) * kept)))


def in_chunks(call: Callable[[Tensor], Tensor], count: int, size: int, like: Tensor) -> Tensor:
    """``call(rows)`` for the rows ``0 .. count - 1``, ``size`` at a time, joined.

    Where memory does not suffice, halves are tried; a single row that does not fit is NaN.

    Args:
        call: from int64 indices ``[k]`` to ``[k, ...]``.
        count: of rows.
        size: at most so many go together.
        like: ``[any, ...]``: shape, type and device of what ``call`` gives.
    """
    parts = [like[:0]]
    for start in range(0, count, size):
        parts.append(_halving(call, torch.arange(start, min(start + size, count), device=like.device), like))
    return torch.cat(parts)


def _halving(call: Callable[[Tensor], Tensor], rows: Tensor, like: Tensor) -> Tensor:
    try:
        return call(rows)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
    if len(rows) == 1:
        return like.new_full((1, *like.shape[1:]), torch.nan)
    middle = len(rows) // 2
    return torch.cat([_halving(call, rows[:middle], like), _halving(call, rows[middle:], like)])


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory did not suffice."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        phrase in text for phrase in ("out of memory", "not enough memory", "can't allocate memory")
    )


def _itemsize(network: Network) -> int:
    return torch.finfo(network.graph.dtype).bits // 8
