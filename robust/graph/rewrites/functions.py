"""Functions of torch that are taken over whole, because what lies below them cannot be followed.

Instance normalisation folds the batch into the channels, attention becomes one opaque kernel, circular padding writes
into slices, and recurrent layers write in place or are one opaque kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from robust.graph.rewrites.normalisation import instance_norm
from robust.graph.rewrites.recurrent import gru_cell, lstm_cell, plain_cell, unrolled
from robust.graph.rewrites.replacement import varies
from robust.graph.rewrites.shapes import circular_pad
from robust.graph.rewrites.softmax import softmax


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    return instance_norm(input, weight, bias, eps) if use_input_stats or running_mean is None else NotImplemented


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
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    scores, keep = _scores(query, key, attn_mask, factor)
    if keep is not None and not bool(keep.any(-1).all()):
        return NotImplemented
    return torch.matmul(softmax(scores, keep), value)


def _pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    return circular_pad(input, pad) if mode == "circular" else NotImplemented


def _heads(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:
    """``F.multi_head_attention_forward``, the plain case of it: ``[length, n, width]`` in and out."""
    given = (bias_k, bias_v, key_padding_mask, static_k, static_v)
    masked = attn_mask is not None and (attn_mask.ndim != 2 or varies(attn_mask))
    if (
        any(part is not None for part in given)
        or add_zero_attn
        or (training and dropout_p)
        or masked
        or query.ndim != 3
    ):
        return NotImplemented
    width, batch = query.shape[2], query.shape[1]
    weights: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
    if not use_separate_proj_weight and in_proj_weight is not None:
        weights = torch.split(in_proj_weight, width)
    biases = (None, None, None) if in_proj_bias is None else torch.split(in_proj_bias, width)
    parts = []
    for x, weight, bias in zip((query, key, value), weights, biases, strict=True):
        moved = F.linear(x.transpose(0, 1), weight, bias)
        parts.append(moved.reshape(batch, -1, num_heads, width // num_heads).transpose(1, 2))
    allowed = None if attn_mask is None else ~attn_mask if attn_mask.dtype == torch.bool else attn_mask
    scores, keep = _scores(parts[0], parts[1], allowed, 1 / math.sqrt(width // num_heads))
    shares = softmax(scores, keep)
    mixed = torch.matmul(shares, parts[2]).transpose(1, 2).reshape(batch, -1, width)
    result = F.linear(mixed, out_proj_weight, out_proj_bias).transpose(0, 1)
    if not need_weights:
        return result, None
    return result, shares.mean(1) if average_attn_weights else shares


def _scores(query: Tensor, key: Tensor, mask: Tensor | None, factor: float) -> tuple[Tensor, Tensor | None]:
    """Scaled scores, what a mask of numbers adds to them, and which of them it leaves."""
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if mask is None or mask.dtype == torch.bool:
        return scores, mask
    keep = torch.isfinite(mask)
    return scores + torch.where(keep, mask, torch.zeros_like(mask)), keep


FUNCTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.instance_norm: _instance_norm,
    F.scaled_dot_product_attention: _attention,
    F.pad: _pad,
    F.multi_head_attention_forward: _heads,
    torch.lstm: unrolled(lstm_cell),
    torch.gru: unrolled(gru_cell),
    torch.rnn_tanh: unrolled(plain_cell(torch.tanh)),
    torch.rnn_relu: unrolled(plain_cell(torch.relu)),
}
"""Function of torch -> what is run instead; NotImplemented where that does not apply."""
