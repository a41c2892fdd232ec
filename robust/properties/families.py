"""Families of properties of classifiers that people ask by name; outputs are logits."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.input_sets import InputSet
from robust.properties.property import Property
from robust.properties.unsafe_sets import Halfspaces, UnsafeSet

MOST_CLAUSES = 10_000


def misclassification(inputs: InputSet, label: int, classes: int) -> Property:
    """Untargeted robustness: unsafe when any other logit reaches the label's. A tie is unsafe.

    Args:
        inputs: the ball around the sample.
        label: the class that must stay, 0-based.
        classes: number of logits, at least 2.

    Raises:
        PropertyError: the label is not a class.
    """
    check_class(label, classes)
    clauses = [_halfspaces([reaches(rival, label, classes)]) for rival in range(classes) if rival != label]
    return Property(inputs, UnsafeSet(tuple(clauses)), f"the answer stays class {label}")


def targeted(inputs: InputSet, label: int, target: int, classes: int) -> Property:
    """Unsafe when the answer is ``target``: its logit reaches every other. A tie is unsafe.

    Args:
        inputs: the ball around a sample of class ``label``.
        label: the class that is right, 0-based.
        target: the class that must not be answered.
        classes: number of logits, at least 2.

    Raises:
        PropertyError: label or target is not a class, or they are the same.
    """
    check_class(label, classes)
    check_class(target, classes)
    if label == target:
        raise PropertyError("the target is the label itself", wanted="another class", got=target)
    rows = [reaches(target, other, classes) for other in range(classes) if other != target]
    return Property(inputs, UnsafeSet((_halfspaces(rows),)), f"class {label} is not taken for class {target}")


def top_k(inputs: InputSet, label: int, k: int, classes: int) -> Property:
    """The label stays among the ``k`` largest logits: unsafe when ``k`` others reach its own. A tie is unsafe.

    One clause per choice of ``k`` rivals; ``k = 1`` is ``misclassification``.

    Raises:
        PropertyError: the label is not a class, ``k`` is not between 1 and ``classes - 1``, or there are more than
            ``MOST_CLAUSES`` choices.
    """
    check_class(label, classes)
    if isinstance(k, bool) or int(k) != k or not 1 <= k < classes:
        raise PropertyError("a label cannot leave the top k", wanted=f"an integer 1 <= k < {classes}", got=k)
    count = math.comb(classes - 1, k)
    if count > MOST_CLAUSES:
        raise PropertyError(
            "a top-k property has too many choices of rivals",
            wanted=f"at most {MOST_CLAUSES}",
            got=f"{count} choices of {k} among {classes - 1}",
            hint="ask for a smaller k, or compare with chosen rivals only",
        )
    rivals = [other for other in range(classes) if other != label]
    rows = {rival: reaches(rival, label, classes) for rival in rivals}
    clauses = [_halfspaces([rows[rival] for rival in chosen]) for chosen in itertools.combinations(rivals, k)]
    return Property(inputs, UnsafeSet(tuple(clauses)), f"class {label} stays among the top {k}")


def check_class(label: int, classes: int) -> None:
    """That a label is one of at least two classes.

    Raises:
        PropertyError: it is not.
    """
    if classes < 2 or not 0 <= label < classes:
        raise PropertyError("a label is not a class", wanted=f"0 <= label < {classes} and 2 classes", got=label)


def reaches(winner: int, loser: int, classes: int) -> Tensor:
    """The row ``[classes]`` for which ``row @ y <= 0`` says ``y_winner >= y_loser``."""
    row = torch.zeros(classes)
    row[loser], row[winner] = 1.0, -1.0
    return row


def _halfspaces(rows: list[Tensor]) -> Halfspaces:
    return Halfspaces(torch.stack(rows), torch.zeros(len(rows)))
