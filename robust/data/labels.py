"""Labels: from what stands in the file to places in a sorted list, and from there to the classes of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robust.data.dataset import Dataset
from robust.errors import DataShapeError, DataTypeError, EmptyClassError, LabelError


def encode_labels(raw: NDArray[np.generic], where: str) -> tuple[NDArray[np.int64], tuple[str, ...], tuple[str, ...]]:
    """Labels as they stand in a file to places among their sorted distinct values.

    Args:
        raw: ``[n]`` of whole numbers, booleans or text, or one-hot ``[n, K]``; numbers are sorted as numbers.
        where: file and key, for messages.

    Returns:
        places int64 ``[n]``, the distinct values as text, and notes.

    Raises:
        DataShapeError: neither ``[n]`` nor one-hot.
        DataTypeError: a dtype that is neither a number nor text.
        LabelError: NaN, or a fraction.
    """
    notes: tuple[str, ...] = ()
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim == 2 and raw.dtype.kind in "fiub" and np.isin(raw, (0, 1)).all() and (raw.sum(1) == 1).all():
        values = tuple(map(str, range(raw.shape[1])))
        return raw.argmax(1).astype(np.int64), values, (f"the labels of {where} were one-hot rows",)
    if raw.ndim != 1:
        raise DataShapeError(f"{where}: labels have the wrong shape", wanted="[n] or one-hot [n, K]", got=raw.shape)
    if raw.dtype.kind == "b":
        raw = raw.astype(np.int64)
    if raw.dtype.kind == "f":
        wrong = np.flatnonzero(~np.isfinite(raw) | (raw != np.floor(raw)))
        if len(wrong):
            raise LabelError(
                f"{where}: a label is not a whole number",
                wanted="class labels: whole numbers or text",
                got=f"{raw[wrong[0]]} in row {wrong[0]} and {len(wrong) - 1} more",
                hint="name the label column or key, or turn a measured target into classes first",
            )
        raw = raw.astype(np.int64)
    if raw.dtype.kind not in "iuU":
        raise DataTypeError(f"{where}: labels are neither numbers nor text", wanted="integers or text", got=raw.dtype)
    if raw.dtype.kind == "U":
        raw = _numbers_if_all(raw)
    distinct, places = np.unique(raw, return_inverse=True)
    return places.reshape(-1).astype(np.int64), tuple(str(value) for value in distinct), notes


def match_labels(
    dataset: Dataset,
    class_count: int,
    class_names: Sequence[str] | None = None,
    labels_order: Sequence[str | int] | None = None,
    allow_missing_classes: bool = False,
) -> Dataset:
    """Turn places in ``label_values`` into class indices of a model with ``class_count`` logits.

    The first rule that fits: an explicit order; every label is the name of a class; whole numbers all in
    ``0 .. class_count - 1`` stand for themselves; as many distinct labels as classes are taken in the order of
    ``label_values`` (sorted, numbers as numbers; a built-in set's own order), with a note. Afterwards
    ``label_values`` has one entry per class.

    Raises:
        LabelError: no rule fits.
        EmptyClassError: a class has no sample and ``allow_missing_classes`` is false.
    """
    order, note = _class_order(dataset, class_count, class_names, labels_order)
    index = {_canonical(value): place for place, value in enumerate(order)}
    unknown = [value for value in dataset.label_values if _canonical(value) not in index]
    if unknown:
        raise LabelError(
            f"{dataset.source}: a label is none of the classes in the order given",
            wanted=f"one of {_shorten(order)}",
            got=_shorten(unknown),
        )
    to_class = np.array([index[_canonical(value)] for value in dataset.label_values], dtype=np.int64)
    labels = to_class[dataset.labels] if len(dataset) else dataset.labels
    counts = np.bincount(labels, minlength=class_count)
    notes = dataset.notes + ((note,) if note else ())
    if (counts == 0).any():
        missing = [order[place] for place in np.flatnonzero(counts == 0)]
        if not allow_missing_classes:
            raise EmptyClassError(
                f"{dataset.source}: {len(missing)} of {class_count} classes have no sample",
                wanted="at least one sample of every class",
                got=f"none of {_shorten(missing)}",
                hint="add samples, correct the order of the labels (data.label_order), or accept it: "
                "data.allow_missing_classes = true in the plan",
            )
        notes += (f"no sample of {len(missing)} of {class_count} classes: {_shorten(missing)}",)
    return replace(dataset, labels=labels, label_values=tuple(map(str, order)), notes=notes)


def _class_order(
    dataset: Dataset,
    class_count: int,
    class_names: Sequence[str] | None,
    labels_order: Sequence[str | int] | None,
) -> tuple[list[str], str]:
    """One label value per class, and a note if something was assumed."""
    values = dataset.label_values
    if labels_order is not None:
        order = [str(value) for value in labels_order]
        if len(order) != class_count or len({_canonical(value) for value in order}) != class_count:
            raise LabelError(
                f"{dataset.source}: the order of the labels does not fit the model",
                wanted=f"{class_count} distinct labels, one per logit",
                got=_shorten(order),
            )
        return order, f"labels stand for classes in the order given: {_shorten(order)}"
    names = list(class_names or ())
    if len(names) == class_count == len(set(names)) and set(values) <= set(names):
        plain = names == [str(place) for place in range(class_count)]
        return names, "" if plain else "labels were matched to classes by name"
    if all(_whole(value) is not None and 0 <= int(value) < class_count for value in values):
        return [str(place) for place in range(class_count)], ""
    if len(values) == class_count:
        return list(values), f"labels were matched to classes in their order: {_shorten(values)}"
    raise LabelError(
        f"{dataset.source}: the labels do not fit the classes of the model",
        wanted=f"whole numbers 0 to {class_count - 1}, names of the classes, or exactly {class_count} distinct labels",
        got=f"{len(values)} distinct: {_shorten(values)}",
        hint="give the order of the labels, one per logit (data.label_order), or the right label column (data.labels)",
    )


def _numbers_if_all(raw: NDArray[np.generic]) -> NDArray[np.generic]:
    """Text that is all whole numbers becomes numbers, so that 10 sorts after 9; other text is stripped."""
    texts = [str(value).strip() for value in raw]
    numbers = [_whole(text) for text in texts]
    if texts and all(number is not None and str(number) == text for number, text in zip(numbers, texts, strict=True)):
        return np.array(numbers, dtype=np.int64)
    return np.array(texts)


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _canonical(value: str | int) -> str:
    """``1``, ``01`` and ``1.0`` are one label."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if np.isfinite(number) and number == int(number) else text


def _shorten(values: Sequence[object], most: int = 12) -> str:
    text = ", ".join(map(str, values[:most]))
    return text + (f", ... ({len(values)} in all)" if len(values) > most else "")
