"""Recurrent layers of fixed length, one step after the other, samples kept in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = Sequence[Any]
"""Input weights, state weights, and their biases, in torch's order and layout."""
Cell = Callable[[Tensor, tuple[Tensor, ...], Weights], tuple[Tensor, ...]]
"""From the input of a step, the states and the weights to the new states, the first of which is the output."""


def lstm_cell(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    """Hochreiter and Schmidhuber, Long short-term memory, 1997, with a forget gate."""
    h, c = states
    gates = F.linear(x, weights[0], weights[2]) + F.linear(h, weights[1], weights[3])
    i, f, g, o = gates.chunk(4, -1)
    cell = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def gru_cell(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> tuple[Tensor, ...]:
    """Cho et al., Learning phrase representations using RNN encoder-decoder, 2014, with torch's reset gate."""
    (h,) = states
    from_x, from_h = F.linear(x, weights[0], weights[2]), F.linear(h, weights[1], weights[3])
    (r, z, n), (hr, hz, hn) = from_x.chunk(3, -1), from_h.chunk(3, -1)
    new = torch.tanh(n + torch.sigmoid(r + hr) * hn)
    return (new + torch.sigmoid(z + hz) * (h - new),)


def plain_cell(function: Callable[[Tensor], Tensor]) -> Cell:
    """A function of the sum of both."""
    return lambda x, states, weights: (
        function(F.linear(x, weights[0], weights[2]) + F.linear(states[0], weights[1], weights[3])),
    )


def unrolled(cell: Cell) -> Callable[..., Any]:
    """Stands in for ``torch.lstm`` and its kin, with their arguments."""

    def run(
        x: Tensor,
        states: Any,
        flat: Sequence[Tensor],
        has_biases: Any,
        layers: int,
        dropout: float = 0.0,
        train: bool = False,
        bidirectional: bool = False,
        batch_first: bool = False,
    ) -> Any:
        if not isinstance(has_biases, bool) or (train and dropout):
            return NotImplemented
        given = list(states) if isinstance(states, list | tuple) else [states]
        directions, per = (2 if bidirectional else 1), (4 if has_biases else 2)
        if len(flat) != layers * directions * per or x.ndim != 3:
            return NotImplemented
        steps, last = list(x.unbind(1 if batch_first else 0)), []
        for layer in range(layers):
            outputs = []
            for direction in range(directions):
                place = layer * directions + direction
                weights: Weights = [*flat[place * per : (place + 1) * per], None, None][:4]
                state = tuple(part[place] for part in given)
                made, state = run_cell(cell, steps[::-1] if direction else steps, state, weights)
                outputs.append(made[::-1] if direction else made)
                last.append(state)
            steps = [torch.cat(parts, -1) if directions == 2 else parts[0] for parts in zip(*outputs, strict=True)]
        finals = [torch.stack([state[place] for state in last], 0) for place in range(len(given))]
        return (torch.stack(steps, 1 if batch_first else 0), *finals)

    return run


def run_cell(
    cell: Cell, steps: Sequence[Tensor], state: tuple[Tensor, ...], weights: Weights
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """The outputs of a cell for each step, and its last states."""
    outputs = []
    for x in steps:
        state = cell(x, state, weights)
        outputs.append(state[0])
    return outputs, state
