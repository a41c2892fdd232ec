"""One language for every question: an input set and an unsafe output set.

A property *holds when no input of the set reaches the unsafe outputs* (VNN-LIB's convention).
"""

from robust.properties.balls import L0Ball, L1Ball, L2Ball
from robust.properties.families import misclassification
from robust.properties.input_sets import Box, InputSet, linf_ball
from robust.properties.property import Property
from robust.properties.unsafe_sets import Halfspaces, UnsafeSet

__all__ = [
    "Box",
    "Halfspaces",
    "InputSet",
    "L0Ball",
    "L1Ball",
    "L2Ball",
    "Property",
    "UnsafeSet",
    "linf_ball",
    "misclassification",
]
