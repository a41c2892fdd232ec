"""Networks of one input and one output whose minimum is known in rational numbers."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn

GAPS = [Fraction(sign) / 10**power for power in (2, 4, 6, 9, 12) for sign in (1, -1)]
Row = list[Fraction]


def exact_minimum(layers: list[nn.Linear], low: float, high: float) -> Fraction:
    """Of a ReLU network of one input and one output: its kinks are found exactly, and the values there."""
    points: Row = [Fraction(low), Fraction(high)]
    values: list[Row] = [list(points)]
    for place, layer in enumerate(layers):
        rows = [[Fraction(w) for w in row] for row in layer.weight.tolist()]
        biases = [Fraction(b) for b in layer.bias.tolist()]
        values = [
            [sum((w * x[k] for w, x in zip(row, values, strict=True)), bias) for k in range(len(points))]
            for row, bias in zip(rows, biases, strict=True)
        ]
        if place == len(layers) - 1:
            return min(values[0])
        points, values = _with_kinks(points, values)
        values = [[max(v, Fraction(0)) for v in row] for row in values]
    raise AssertionError


def _with_kinks(points: Row, values: list[Row]) -> tuple[Row, list[Row]]:
    """The points where some row changes its sign, too; all rows are linear between points."""
    cuts = set(points)
    for row in values:
        for k in range(len(points) - 1):
            if row[k] * row[k + 1] < 0:
                share = row[k] / (row[k] - row[k + 1])
                cuts.add(points[k] + share * (points[k + 1] - points[k]))
    wanted = sorted(cuts)
    return wanted, [[_between(points, row, x) for x in wanted] for row in values]


def _between(points: Row, row: Row, x: Fraction) -> Fraction:
    k = max(i for i in range(len(points) - 1) if points[i] <= x)
    return row[k] + (row[k + 1] - row[k]) * (x - points[k]) / (points[k + 1] - points[k])


def drawn(seed: int) -> list[nn.Linear]:
    """Layers of a small network; every third with huge biases that cancel, every fifth with tiny weights."""
    generator = torch.Generator().manual_seed(seed)
    layers = [nn.Linear(1, 5), nn.Linear(5, 4), nn.Linear(4, 1)]
    for layer in layers:
        for parameter in (layer.weight, layer.bias):
            parameter.data = torch.randn(parameter.shape, generator=generator)
        if seed % 5 == 4:
            layer.weight.data *= 1e-3
    if seed % 3 == 2:
        layers[1].bias.data *= 1e6
    return layers
