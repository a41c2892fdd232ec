"""A question to a network."""

from __future__ import annotations

from dataclasses import dataclass

from robust.properties.input_sets import InputSet
from robust.properties.unsafe_sets import UnsafeSet


@dataclass(frozen=True, eq=False)
class Property:
    """Holds when no input of ``inputs`` reaches ``unsafe``.

    Attributes:
        inputs: where the input may be, in input units.
        unsafe: the outputs (for a classifier: logits) that must not be reached.
        name: a short sentence for people.
    """

    inputs: InputSet
    unsafe: UnsafeSet
    name: str = ""
