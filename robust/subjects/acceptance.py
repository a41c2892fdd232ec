"""Checks at the door: a model that fails here is an error before any number is shown."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from robust.data.dataset import Dataset
from robust.errors import ChanceAccuracyError, DataShapeError, DisagreementError, ModelShapeError, NonFiniteError
from robust.subjects.protocols import Classifier, Generator
from robust.subjects.suspicions import likely_order

LEVEL = 0.01
_CHUNK = 256
_TOLERANCE = 1e-3
_REPEATED = 1e-5
_COMPARED = 256
_BATCHES = (1, 2, 7)


def accept(classifier: Classifier, dataset: Dataset) -> NDArray[np.int64]:
    """Run the model over real samples and refuse what no audit could mean anything for.

    Args:
        classifier: the subject.
        dataset: samples fitted to its box, labels matched to its classes.

    Returns:
        Predicted class by ``classifier.replay``, int64 ``[n]``.

    Raises:
        ModelShapeError: the samples are not of the model's shape, or labels exceed its classes.
        NonFiniteError: NaN or infinite logits; names the first sample.
        DisagreementError: ``logits`` and ``replay`` differ, a second answer differs from the first, or an answer
            depends on the batch.
        ChanceAccuracyError: no better than guessing, see ``check_chance``.
    """
    if dataset.sample_shape != classifier.input_shape:
        raise ModelShapeError(
            f"{classifier.source} and {dataset.source} do not fit",
            wanted=f"samples {list(classifier.input_shape)}, the model's input",
            got=f"samples {list(dataset.sample_shape)}",
            hint="use the data that the model was trained for, or bring it to the model's shape",
        )
    if not len(dataset):
        raise DataShapeError(f"{dataset.source} has no samples", wanted="at least one", got=0)
    classes = len(classifier.class_names)
    if dataset.labels.min() < 0 or dataset.labels.max() >= classes:
        raise ModelShapeError(
            f"{classifier.source} has fewer classes than {dataset.source} has labels",
            wanted=f"labels 0 to {classes - 1}",
            got=f"{dataset.labels.min()} to {dataset.labels.max()}",
        )
    samples = torch.from_numpy(np.ascontiguousarray(dataset.samples))
    answers = torch.cat([classifier.replay(part.to(classifier.device)).cpu() for part in torch.split(samples, _CHUNK)])
    _check_finite(answers, classifier, dataset)
    _check_repeats(answers, samples, classifier)
    _check_agreement(answers, samples, classifier)
    predictions = answers.argmax(1).numpy().astype(np.int64)
    check_chance(predictions, dataset.labels, classes, classifier.source, label_values=dataset.label_values)
    return predictions


def accept_generator(generator: Generator, shape: tuple[int, ...], classes: int) -> None:
    """Refuse a generator that does not make samples of the data.

    Args:
        generator: the subject.
        shape: of one sample of the data.
        classes: of the classifier beside it.

    Raises:
        ModelShapeError: its samples have another shape, or it can be asked for another number of classes.
    """
    if tuple(generator.output_shape) != tuple(shape):
        raise ModelShapeError(
            f"generator {generator.name} makes samples of another shape than the data",
            wanted=tuple(shape),
            got=tuple(generator.output_shape),
            hint="name the generator that was trained on such data; a classifier is no generator",
        )
    if generator.conditions not in (0, classes):
        raise ModelShapeError(
            f"generator {generator.name} knows other classes than the classifier",
            wanted=f"{classes} classes, or none",
            got=generator.conditions,
        )


def check_chance(
    predictions: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: int,
    where: str,
    level: float = LEVEL,
    label_values: tuple[str, ...] = (),
) -> None:
    """Refuse a model that is no better than guessing.

    Guessing has two faces: accuracy ``1 / K`` (uniform guesses), and any accuracy that comes from answering without
    looking (always the commonest class, say), whose *balanced* accuracy is the mean of its answer rates. The model
    passes when one-sided tests at ``level`` say that its accuracy is above ``1 / K`` (exact binomial), and that it
    looks at its input: its accuracy is above the share of the commonest label (exact binomial), or its balanced
    accuracy is above guessing at its own answer rates (normal approximation). So where 95 % of a table are negative,
    a model that always says no is refused although 95 % of its answers are right, and one that finds the rare
    positives at the cost of some accuracy is not.

    Where the data hold one class only, the first test decides alone. Fewer samples than could ever reject are not
    judged: then only a model that gets nothing right is refused.

    Raises:
        ChanceAccuracyError.
    """
    count, right = len(labels), int((predictions == labels).sum())
    uniform = float(stats.binomtest(right, count, 1 / classes, alternative="greater").pvalue)
    balanced, guessing, p_looks = _looks(predictions, labels, classes)
    decidable = (1 / classes) ** count < level
    if (decidable and (uniform > level or p_looks > level)) or right == 0:
        raise ChanceAccuracyError(
            f"{where} is no better than guessing on these samples",
            wanted=f"accuracy above 1/{classes} and balanced accuracy above {guessing:.3f} (one-sided, {level:g})",
            got=f"accuracy {right / count:.3f} (p = {uniform:.2g}), balanced {balanced:.3f} (p = {p_looks:.2g}), "
            f"{count} samples",
            hint=_order_hint(predictions, labels, label_values)
            or "likely causes: wrong preprocessing (model.mean, model.std, a scale of 0-255 instead of 0-1), another "
            "order of labels (data.label_order) or channels, weights that were not loaded, or the wrong data set",
        )


def _order_hint(predictions: NDArray[np.int64], labels: NDArray[np.int64], label_values: tuple[str, ...]) -> str | None:
    found = likely_order(predictions, labels, label_values) if label_values else None
    if found is None:
        return None
    order, accuracy = found
    return (
        f"with data.label_order = {list(order)} accuracy would be {accuracy:.3f}: give the order that the model was "
        "trained with, if it is that; with colour pictures, swapped channels look alike (model.channel_order)"
    )


def _looks(predictions: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> tuple[float, float, float]:
    """Balanced accuracy, its value under guessing, and the smaller p-value of the two ways to show that it looks."""
    present = np.unique(labels)
    recalls = np.array([(predictions[labels == label] == label).mean() for label in present])
    balanced = float(recalls.mean())
    if len(present) < 2:
        return balanced, 1 / classes, 0.0
    commonest = float(np.bincount(labels).max() / len(labels))
    right = int((predictions == labels).sum())
    majority = float(stats.binomtest(right, len(labels), commonest, alternative="greater").pvalue)
    rates = np.bincount(predictions, minlength=classes)[present] / len(labels)
    sizes = np.array([(labels == label).sum() for label in present])
    guessing = float(rates.mean())
    variance = float((rates * (1 - rates) / sizes).sum()) / len(present) ** 2
    if variance == 0:
        return balanced, guessing, majority
    return balanced, guessing, min(majority, float(stats.norm.sf((balanced - guessing) / variance**0.5)))


def _check_finite(answers: Tensor, classifier: Classifier, dataset: Dataset) -> None:
    bad = ~torch.isfinite(answers).all(1)
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        name = dataset.identifiers[first] if dataset.identifiers else str(first)
        raise NonFiniteError(
            f"{classifier.source} answers with NaN or infinity for {int(bad.sum())} of {len(bad)} samples",
            wanted="finite scores",
            got=f"{answers[first].tolist()[:5]} for sample {name}",
            hint="the weights, or the preprocessing of such inputs, are broken",
        )


def _check_repeats(first: Tensor, samples: Tensor, classifier: Classifier) -> None:
    """A second answer to the same input, in batches of the same size, is the first to rounding."""
    parts = torch.split(samples, _CHUNK)
    again = torch.cat([classifier.replay(part.to(classifier.device)).cpu() for part in parts])
    moved = float((again - first).abs().nan_to_num(nan=torch.inf).max())
    scale = max(float(first.abs().max()), 1e-6)
    if moved > _REPEATED * scale:
        changed = int((again.argmax(1) != first.argmax(1)).sum())
        raise DisagreementError(
            f"{classifier.source} answers the same input differently the second time",
            wanted="one answer per input, whatever came before",
            got=f"a difference of {moved:.3g}, scale {scale:.3g}; the predicted class of {changed} of {len(first)} "
            "samples changes",
            hint="dropout or another noise is still on, or the model keeps a state between calls",
        )


def _check_agreement(replayed: Tensor, samples: Tensor, classifier: Classifier) -> None:
    """The torch reading answers like the model's own runtime, and a sample alone like in its batch."""
    compared = samples[:_COMPARED]
    with torch.no_grad():
        read = classifier.logits(compared.to(classifier.device)).cpu()
    scale = max(float(replayed[: len(read)].abs().max()), 1e-6)
    gap = float((read - replayed[: len(read)]).abs().max())
    same = float((read.argmax(1) == replayed[: len(read)].argmax(1)).double().mean())
    tolerance = float(getattr(classifier, "agreement_tolerance", _TOLERANCE))
    if not gap <= tolerance * scale:
        raise DisagreementError(
            f"the torch reading of {classifier.source} does not answer like its own runtime",
            wanted=f"logits within {tolerance:g} of their scale {scale:.3g}",
            got=f"a difference of {gap:.3g}; the predicted class agrees on {same:.1%} of {len(read)} samples",
            hint="this is a fault of the reader or of a lossy element type: please report the model's operators",
        )
    for size in _BATCHES:
        few = compared[-size:].to(classifier.device)
        with torch.no_grad():
            answers = torch.cat([classifier.logits(few).cpu(), classifier.replay(few).cpu()])
        wanted = torch.cat([read[-size:], replayed[: len(read)][-size:]])
        drift = float((answers - wanted).abs().nan_to_num(nan=torch.inf).max())
        if not drift <= _TOLERANCE * scale:
            raise DisagreementError(
                f"{classifier.source} answers differently for a sample alone and in a batch",
                wanted="answers that do not depend on the other samples",
                got=f"a difference of {drift:.3g} in a batch of {size}, scale {scale:.3g}",
                hint="normalisation in training mode, a reduction over the batch, or a branch on its size does this",
            )
