"""Generators whose faults are known, made of real samples. The measures must find each fault, every time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.properties.input_sets import Box

NOISE = 0.02
"""Standard deviation of the memoriser's noise, as a share of the box."""


def memoriser(
    training: Tensor, labels: NDArray[np.int64], box: Box, count: int, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.int64]]:
    """Training samples ``[n, *shape]`` drawn with replacement plus a little noise: perfect in all but one respect."""
    rows = rng.integers(len(training), size=count)
    lower, upper = box.lower.to(training), box.upper.to(training)
    noise = torch.from_numpy(rng.standard_normal((count, *training.shape[1:]))).to(training)
    samples = training[torch.from_numpy(rows).to(training.device)] + NOISE * (upper - lower) * noise
    return samples.clamp(lower, upper), labels[rows]


def one_per_class(
    real: Tensor, labels: NDArray[np.int64], asked: NDArray[np.int64]
) -> tuple[Tensor, NDArray[np.int64]]:
    """The first real sample of each class again and again: right class, no diversity."""
    first = {int(label): int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)}
    kept = np.array([int(label) for label in asked if int(label) in first], dtype=np.int64)
    rows = np.array([first[int(label)] for label in kept], dtype=np.int64)
    return real[torch.from_numpy(rows).to(real.device)], kept


def mode_dropper(
    real: Tensor, labels: NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.int64]]:
    """Real samples drawn with replacement, but never of the commonest classes, which hold half of the data or more."""
    counts = np.bincount(labels)
    order = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]]
    before = np.cumsum([0, *counts[order][:-1]])
    rare = [label for label, mass in zip(order, before, strict=True) if mass >= len(labels) / 2] or order[-1:]
    kept = np.flatnonzero(np.isin(labels, rare))
    rows = kept[rng.integers(len(kept), size=count)]
    return real[torch.from_numpy(rows).to(real.device)], labels[rows]
