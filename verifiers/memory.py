"""How much goes through a pass at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from verifiers.network import Network

TEMPORARIES = 5
"""Tensors of the size of the widest coefficients that a pass holds at a time."""


@dataclass(frozen=True)
class Effort:
    """How much work and memory a bound may take.

    Attributes:
        rows: at most so many neurons of one node are bounded anew, the widest ones; the others keep intervals.
        bytes: aim for temporaries of at most about so many bytes. What stays near a processor's caches is up to three
            times as fast as what does not (``benchmarks/results/bounds.md``); an accelerator wants more.
    """

    rows: int = 4096
    bytes: int = 32 * 2**20


def chunk_rows(network: Network, batch: int, effort: Effort) -> int:
    """How many linear functions per sample a backward pass may carry at once."""
    return max(1, effort.bytes // (TEMPORARIES * _itemsize(network) * network.widest * batch))


def chunk_samples(network: Network, rows: int, effort: Effort) -> int:
    """How many samples may go together when each carries ``rows`` linear functions."""
    return max(1, min(256, effort.bytes // (TEMPORARIES * _itemsize(network) * network.widest * max(rows, 16))))


def _itemsize(network: Network) -> int:
    return torch.finfo(network.graph.dtype).bits // 8
