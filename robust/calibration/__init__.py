"""Accuracy and calibration: is the answer right, and is the confidence true? One method, one file."""

from robust.calibration.brier import brier_scores
from robust.calibration.calibration_error import (
    adaptive_calibration_error,
    calibrated_reference,
    expected_calibration_error,
    expected_calibration_error_interval,
)
from robust.calibration.confusion import (
    ClassCounts,
    balanced_accuracy,
    balanced_accuracy_interval,
    class_counts,
    confusion_matrix,
)
from robust.calibration.log_loss import log_losses
from robust.calibration.probabilities import confidences, softmax
from robust.calibration.reliability import ReliabilityBin, reliability_curve

__all__ = [
    "ClassCounts",
    "ReliabilityBin",
    "adaptive_calibration_error",
    "balanced_accuracy",
    "balanced_accuracy_interval",
    "brier_scores",
    "calibrated_reference",
    "class_counts",
    "confidences",
    "confusion_matrix",
    "expected_calibration_error",
    "expected_calibration_error_interval",
    "log_losses",
    "reliability_curve",
    "softmax",
]
