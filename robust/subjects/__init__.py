"""What is audited: protocols, and the ways a trained model comes in.

Names are resolved on first use, so that the protocols alone drag in neither onnx nor the readers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from robust.subjects.protocols import Classifier, Generator, Subject

if TYPE_CHECKING:
    from robust.subjects.acceptance import accept, accept_generator
    from robust.subjects.box import box_in_words, make_box
    from robust.subjects.callable_classifier import CallableClassifier
    from robust.subjects.generators import OnnxGenerator, TorchGenerator
    from robust.subjects.loading import load_classifier, load_generator
    from robust.subjects.onnx_classifier import OnnxClassifier
    from robust.subjects.range_scaled import RangeScaled, scale_to_ranges
    from robust.subjects.suspicions import check_assumed_box
    from robust.subjects.torch_classifier import TorchClassifier

_HOMES = {
    "CallableClassifier": "callable_classifier",
    "OnnxClassifier": "onnx_classifier",
    "OnnxGenerator": "generators",
    "RangeScaled": "range_scaled",
    "TorchClassifier": "torch_classifier",
    "TorchGenerator": "generators",
    "accept": "acceptance",
    "accept_generator": "acceptance",
    "box_in_words": "box",
    "check_assumed_box": "suspicions",
    "load_classifier": "loading",
    "load_generator": "loading",
    "make_box": "box",
    "scale_to_ranges": "range_scaled",
}

__all__ = [
    "CallableClassifier",
    "Classifier",
    "Generator",
    "OnnxClassifier",
    "OnnxGenerator",
    "RangeScaled",
    "Subject",
    "TorchClassifier",
    "TorchGenerator",
    "accept",
    "accept_generator",
    "box_in_words",
    "check_assumed_box",
    "load_classifier",
    "load_generator",
    "make_box",
    "scale_to_ranges",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"robust.subjects.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'robust.subjects' has no attribute {name!r}")
