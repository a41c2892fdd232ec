"""Small ReLU networks decided by brute force: one linear programme for each pattern of active neurons."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from scipy import optimize
from torch import Tensor, nn

from robust.graph import trace
from verifiers import Network


def dense(widths: Sequence[int], seed: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), activation()]
        return nn.Sequential(*layers[:-1]).double()


def network_of(module: nn.Module, inputs: int) -> Network:
    return Network(trace(module, (inputs,), device=torch.device("cpu")))


Split = tuple[int, int, float, float]
"""Layer, neuron, and the interval that its value is held in."""


def exact_minimum(module: nn.Sequential, low: Tensor, high: Tensor, row: Tensor, splits: Sequence[Split] = ()) -> float:
    """The least ``row @ y`` over a box, where the splits hold; infinite if nowhere."""
    layers = [layer for layer in module if isinstance(layer, nn.Linear)]
    weights = [layer.weight.detach().numpy() for layer in layers]
    biases = [layer.bias.detach().numpy() for layer in layers]
    hidden = [len(bias) for bias in biases[:-1]]
    box = np.stack([low.numpy(), high.numpy()], 1)
    best = np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=sum(hidden)):
        best = min(best, _piece(weights, biases, np.array(pattern), box, row.numpy(), splits))
    return float(best)


def _piece(weights, biases, pattern, box, row, splits) -> float:  # type: ignore[no-untyped-def]
    matrix, shift, start = np.eye(len(box)), np.zeros(len(box)), 0
    table, limits = [], []
    for layer, (weight, bias) in enumerate(zip(weights[:-1], biases[:-1], strict=True)):
        z, c = weight @ matrix, weight @ shift + bias
        active = pattern[start : start + len(bias)]
        start += len(bias)
        sign = 1 - 2 * active
        table.append(sign[:, None] * z)
        limits.append(-sign * c)
        for where, neuron, least, most in splits:
            if where == layer:
                table.append(np.stack([-z[neuron], z[neuron]]))
                limits.append(np.array([c[neuron] - least, most - c[neuron]]))
        matrix, shift = active[:, None] * z, active * c
    z, c = weights[-1] @ matrix, weights[-1] @ shift + biases[-1]
    found = optimize.linprog(row @ z, np.concatenate(table), np.concatenate(limits), bounds=box, method="highs")
    return float(found.fun + row @ c) if found.status == 0 else np.inf
