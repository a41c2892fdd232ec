"""The nouns of the suite: subjects, data sets, properties, verdicts, findings, errors.

Names are resolved on first use, so that ``import robust`` costs nothing and drags in no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from robust.data import Dataset, load_data
    from robust.errors import RobustError
    from robust.properties import Property, misclassification
    from robust.record import AuditRecord, Evidence, Finding, Outcome, Verdict
    from robust.subjects import Classifier, Generator, TorchClassifier, load_classifier, load_generator

_HOMES = {
    "AuditRecord": "robust.record",
    "Classifier": "robust.subjects",
    "Dataset": "robust.data",
    "Evidence": "robust.record",
    "Finding": "robust.record",
    "Generator": "robust.subjects",
    "Outcome": "robust.record",
    "Property": "robust.properties",
    "RobustError": "robust.errors",
    "TorchClassifier": "robust.subjects",
    "Verdict": "robust.record",
    "load_classifier": "robust.subjects",
    "load_data": "robust.data",
    "load_generator": "robust.subjects",
    "misclassification": "robust.properties",
}

__all__ = [
    "AuditRecord",
    "Classifier",
    "Dataset",
    "Evidence",
    "Finding",
    "Generator",
    "Outcome",
    "Property",
    "RobustError",
    "TorchClassifier",
    "Verdict",
    "__version__",
    "load_classifier",
    "load_data",
    "load_generator",
    "misclassification",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'robust' has no attribute {name!r}")
