"""One language for every question: an input set and an unsafe output set.

A property *holds when no input of the set reaches the unsafe outputs* (VNN-LIB's convention).
"""

from robust.properties.affine_image import AffineImage, AffineMap
from robust.properties.balls import L0Ball, L1Ball, L2Ball
from robust.properties.changes import (
    bias_field,
    brightness,
    brightness_and_contrast,
    contrast,
    convex_mixture,
    haze,
    latent_box,
)
from robust.properties.families import misclassification, targeted, top_k
from robust.properties.geometry import Motion, moved, rotation, scaling, transformed, translation
from robust.properties.input_sets import Box, InputSet, linf_ball
from robust.properties.output_limits import confidence_above, confidence_above_on_logits, output_range, with_softmax
from robust.properties.pairs import Paired, locally_stable, monotone, unchanged_decision
from robust.properties.parametrised import Parametrised, composed
from robust.properties.property import Property
from robust.properties.union import Union, few_pixels, patch, pieces, split_property
from robust.properties.unsafe_sets import Halfspaces, UnsafeSet

__all__ = [
    "AffineImage",
    "AffineMap",
    "Box",
    "Halfspaces",
    "InputSet",
    "L0Ball",
    "L1Ball",
    "L2Ball",
    "Motion",
    "Paired",
    "Parametrised",
    "Property",
    "Union",
    "UnsafeSet",
    "bias_field",
    "brightness",
    "brightness_and_contrast",
    "composed",
    "confidence_above",
    "confidence_above_on_logits",
    "contrast",
    "convex_mixture",
    "few_pixels",
    "haze",
    "latent_box",
    "linf_ball",
    "locally_stable",
    "misclassification",
    "monotone",
    "moved",
    "output_range",
    "patch",
    "pieces",
    "rotation",
    "scaling",
    "split_property",
    "targeted",
    "top_k",
    "transformed",
    "translation",
    "unchanged_decision",
    "with_softmax",
]
