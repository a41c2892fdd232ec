"""Is a wrong number the model's fault, or the reading's? Other readings of the same samples and labels, compared."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize, stats

from robust.data.dataset import Dataset
from robust.errors import InputBoxError
from robust.subjects.protocols import Classifier

OTHER_BOXES = ((-1.0, 1.0), (0.0, 255.0))
COMPARED = 1000
LEVEL = 1e-3
GAIN = 0.02
MATCHED = 0.6


def check_assumed_box(classifier: Classifier, dataset: Dataset) -> None:
    """Refuse an input box [0, 1] that nobody declared where the model plainly expects another.

    The same samples are mapped onto [-1, 1] and [0, 255]; where accuracy rises by ``GAIN`` and an exact sign test over
    the samples whose answer changes is below ``LEVEL``, the assumption is wrong, and so would be every epsilon.

    Args:
        classifier: with the box [0, 1].
        dataset: samples in it, labels matched.

    Raises:
        InputBoxError: names the better box.
    """
    chosen = dataset.stratified_indices(COMPARED, 0)
    samples = torch.from_numpy(np.ascontiguousarray(dataset.samples[chosen]))
    labels = dataset.labels[chosen]
    here = _right(classifier, samples, labels)
    for low, high in OTHER_BOXES:
        there = _right(classifier, low + samples * (high - low), labels)
        better, worse = int((there & ~here).sum()), int((here & ~there).sum())
        gain = float(there.mean() - here.mean())
        if gain < GAIN or stats.binomtest(better, better + worse, 0.5, alternative="greater").pvalue > LEVEL:
            continue
        raise InputBoxError(
            f"no input box was declared, and {classifier.source} does not seem to expect [0, 1]",
            wanted="the box that the model was trained for",
            got=f"accuracy {here.mean():.3f} with the samples in [0, 1], {there.mean():.3f} in [{low:g}, {high:g}], "
            f"{len(labels)} samples",
            hint=f"declare it: model.input_box = [{low:g}, {high:g}] (or [0, 1], if that is meant)",
        )


def likely_order(
    predictions: NDArray[np.int64], labels: NDArray[np.int64], label_values: tuple[str, ...]
) -> tuple[tuple[str, ...], float] | None:
    """The order of the labels under which most answers would be right, if that is most of them.

    Args:
        predictions: class per sample, int64 ``[n]``.
        labels: as they were matched, int64 ``[n]``.
        label_values: one per class.

    Returns:
        one label per output of the model, and the accuracy under this order; None where no order reaches ``MATCHED``.
    """
    counts = np.zeros((len(label_values), len(label_values)), dtype=np.int64)
    np.add.at(counts, (predictions, labels), 1)
    outputs, places = optimize.linear_sum_assignment(counts, maximize=True)
    accuracy = float(counts[outputs, places].sum() / len(labels))
    return (tuple(label_values[place] for place in places), accuracy) if accuracy >= MATCHED else None


def _right(classifier: Classifier, samples: torch.Tensor, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    parts = [classifier.replay(part.to(classifier.device)).argmax(1).cpu() for part in torch.split(samples, 256)]
    return np.asarray(torch.cat(parts).numpy() == labels)
