"""Out-of-distribution detection: one detector, one file. A larger score means more abnormal, everywhere."""

from robust.ood.detector import Activations, Detector, activations_of
from robust.ood.energy import Energy, energy_score
from robust.ood.knn import NearestNeighbours, neighbour_score
from robust.ood.mahalanobis import Mahalanobis, mahalanobis_score
from robust.ood.maximum_softmax import MaximumSoftmax, maximum_softmax_score
from robust.ood.metrics import DetectionMetrics, Measured, detection_metrics, measure
from robust.ood.relative_mahalanobis import RelativeMahalanobis

__all__ = [
    "Activations",
    "DetectionMetrics",
    "Detector",
    "Energy",
    "Mahalanobis",
    "MaximumSoftmax",
    "Measured",
    "NearestNeighbours",
    "RelativeMahalanobis",
    "activations_of",
    "detection_metrics",
    "energy_score",
    "mahalanobis_score",
    "maximum_softmax_score",
    "measure",
    "neighbour_score",
]
