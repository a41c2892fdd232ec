"""Families of properties that people ask by name."""

from __future__ import annotations

import torch

from robust.errors import PropertyError
from robust.properties.input_sets import InputSet
from robust.properties.property import Property
from robust.properties.unsafe_sets import Halfspaces, UnsafeSet


def misclassification(inputs: InputSet, label: int, classes: int) -> Property:
    """Untargeted robustness: unsafe when any other logit reaches the label's. A tie is unsafe.

    Args:
        inputs: the ball around the sample.
        label: the class that must stay, 0-based.
        classes: number of logits, at least 2.

    Raises:
        PropertyError: the label is not a class.
    """
    if classes < 2 or not 0 <= label < classes:
        raise PropertyError("a label is not a class", wanted=f"0 <= label < {classes} and 2 classes", got=label)
    clauses = []
    for rival in range(classes):
        if rival != label:
            row = torch.zeros(1, classes)
            row[0, label], row[0, rival] = 1.0, -1.0
            clauses.append(Halfspaces(row, torch.zeros(1)))
    return Property(inputs, UnsafeSet(tuple(clauses)), f"the answer stays class {label}")
