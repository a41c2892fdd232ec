"""Functions of torch that are taken over whole, because what lies below them cannot be followed.

Instance normalisation folds the batch into the channels, attention becomes one opaque kernel, circular padding writes
into slices, and recurrent layers are one opaque kernel on some processors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from robust.graph.rewrites.normalisation import instance_norm
from robust.graph.rewrites.replacement import varies
from robust.graph.rewrites.shapes import circular_pad
from robust.graph.rewrites.softmax import softmax


def _instance_norm(
    a: Tensor,
    mean: Tensor | None = None,
    variance: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *rest: Any,
) -> Any:
    return instance_norm(a, weight, bias, eps) if use_input_stats or mean is None else NotImplemented


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Softmax of scaled scores, times the values (Vaswani et al., Attention is all you need, 2017, section 3.2.1)."""
    if dropout_p or enable_gqa or (attn_mask is not None and varies(attn_mask)):
        return NotImplemented
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    if attn_mask is None:
        return torch.matmul(softmax(scores), value)
    keep = attn_mask if attn_mask.dtype == torch.bool else torch.isfinite(attn_mask)
    if not bool(keep.any(-1).all()):
        return NotImplemented
    if attn_mask.dtype != torch.bool:
        scores = scores + torch.where(keep, attn_mask, torch.zeros_like(attn_mask))
    return torch.matmul(softmax(scores, keep), value)


def _pad(a: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    return circular_pad(a, pad) if mode == "circular" else NotImplemented


def _recurrent(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any, **keywords: Any) -> Any:
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False):
            return function(*arguments, **keywords)

    return run


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "instance_norm": _instance_norm,
    "scaled_dot_product_attention": _attention,
    "pad": _pad,
    "lstm": _recurrent(torch.lstm),
    "gru": _recurrent(torch.gru),
    "rnn_tanh": _recurrent(torch.rnn_tanh),
    "rnn_relu": _recurrent(torch.rnn_relu),
}
"""Name of a function of torch -> what is run instead; NotImplemented where that does not apply."""
