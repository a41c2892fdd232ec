"""The networks that benchmarks run on: the shipped digits classifier, and MNIST networks where there are any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import ROOT, SHARED
from robust.subjects import load_classifier
from robust.subjects.protocols import Classifier


@dataclass(frozen=True)
class Trial:
    """A classifier with samples that it answers rightly.

    Attributes:
        name: for the tables.
        classifier: in input units [0, 1].
        x: float32 ``[n, *shape]``.
        labels: int64 ``[n]``.
        radii: L-inf radii that make a question of it.
    """

    name: str
    classifier: Classifier
    x: Tensor
    labels: Tensor
    radii: tuple[float, ...]


def trials(count: int) -> list[Trial]:
    """All there are, ``count`` samples each."""
    digits = ROOT / "examples" / "digits"
    with np.load(digits / "test.npz", allow_pickle=False) as file:
        found = [
            _trial("digits", digits / "classifier.onnx", file["samples"], file["labels"], (0.02, 0.05, 0.1), count)
        ]
    mnist = SHARED.parent / "mnist" / "test.npz"
    if mnist.is_file():
        with np.load(mnist, allow_pickle=False) as file:
            order = np.random.default_rng(0).permutation(len(file["labels"]))
            x, y = file["images"][order][:, None].astype(np.float32) / 255, file["labels"][order]
        found += [
            _trial(f"MNIST {name}", SHARED / f"mnist_{name}.onnx", x, y, (0.05, 0.1), count)
            for name in ("cnn", "wk17a")
        ]
    return found


def _trial(name: str, file: object, x: np.ndarray, y: np.ndarray, radii: tuple[float, ...], count: int) -> Trial:
    classifier = load_classifier(str(file))
    samples, labels = torch.from_numpy(x[: 2 * count]), torch.from_numpy(y[: 2 * count].astype(np.int64))
    right = torch.nonzero(classifier.replay(samples).argmax(1) == labels)[:count, 0]
    return Trial(name, classifier, samples[right], labels[right], radii)
