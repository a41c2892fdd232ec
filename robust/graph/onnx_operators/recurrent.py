"""Recurrent layers, unrolled over their length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from robust.graph.onnx_operators.operator import Node, Operator, Table
from robust.graph.rewrites.recurrent import Cell, Weights, gru_cell, lstm_cell, plain_cell, run_cell

_LSTM, _GRU, _RNN = (0, 2, 3, 1), (1, 0, 2), (0,)
"""Where torch's gates lie among those of ONNX."""
_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


def _early_reset_cell(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    """A gated recurrent unit that resets the state before its matrix, the default of ONNX."""
    (h,) = states
    width = h.shape[-1]
    from_x, from_h = F.linear(x, weights[0], weights[2]), F.linear(h, weights[1][: 2 * width], weights[3][: 2 * width])
    r, z = torch.sigmoid(from_x[..., : 2 * width] + from_h).chunk(2, -1)
    new = torch.tanh(from_x[..., 2 * width :] + F.linear(r * h, weights[1][2 * width :], weights[3][2 * width :]))
    return (new + z * (h - new),)


def _recurrent(choose: Callable[[Node], Cell], order: tuple[int, ...], states: int) -> Operator:
    def run(node: Node, x: Tensor, w: Tensor, r: Tensor, b: Any = None, lengths: Any = None, *rest: Any) -> Any:
        _check(node, w.shape[0], lengths, rest[2:])
        cell, width = choose(node), r.shape[-1]
        gates = torch.cat([torch.arange(gate * width, (gate + 1) * width) for gate in order]).to(x.device)
        bias = torch.zeros(w.shape[0], 2 * w.shape[1], dtype=x.dtype, device=x.device) if b is None else b
        zero = torch.zeros(x.shape[1], width, dtype=x.dtype, device=x.device)
        outputs, finals = [], []
        for place in range(w.shape[0]):
            backwards = place == 1 or node.get("direction") == "reverse"
            parts = [w[place], r[place], *bias[place].chunk(2)]
            given = [*rest[:2], None, None][:states]
            start = tuple(zero if state is None else state[place] for state in given)
            steps = list(x.unbind(0))
            made, final = run_cell(cell, steps[::-1] if backwards else steps, start, [part[gates] for part in parts])
            outputs.append(torch.stack(made[::-1] if backwards else made, 0))
            finals.append(final)
        return torch.stack(outputs, 1), *(torch.stack(parts, 0) for parts in zip(*finals, strict=True))

    return Operator(run)


def _check(node: Node, directions: int, lengths: Any, peepholes: Any) -> None:
    odd = {
        "lengths of their own": lengths is not None,
        "peepholes": any(part is not None for part in peepholes),
        "clipping": node.get("clip") is not None,
        "the batch in front": node.get("layout", 0) != 0,
        "coupled gates": node.get("input_forget", 0) != 0,
        "other activations": node.op in _USUAL
        and node.get("activations", _USUAL[node.op] * directions) not in (_USUAL[node.op] * directions, []),
    }
    for what, found in odd.items():
        if found:
            raise node.refuse(what, "export the layer in its plain form, or unrolled")


def _plain(node: Node) -> Cell:
    names = {str(name).lower() for name in node.get("activations", ["Tanh"])}
    if names not in ({"tanh"}, {"relu"}):
        raise node.refuse(f"activations {sorted(names)}")
    return plain_cell(torch.tanh if names == {"tanh"} else torch.relu)


TABLE: Table = {
    "LSTM": _recurrent(lambda node: lstm_cell, _LSTM, 2),
    "GRU": _recurrent(lambda node: gru_cell if node.get("linear_before_reset", 0) else _early_reset_cell, _GRU, 1),
    "RNN": _recurrent(_plain, _RNN, 1),
}
"""Recurrent layers."""
