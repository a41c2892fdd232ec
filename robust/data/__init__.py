"""Samples, labels, groups, digests; folders, arrays, tables, small real sets."""

from robust.data.builtin import BUILTIN
from robust.data.dataset import Dataset
from robust.data.fitting import fit_shape, fit_to_box
from robust.data.labels import match_labels
from robust.data.loading import load_data, load_samples

__all__ = ["BUILTIN", "Dataset", "fit_shape", "fit_to_box", "load_data", "load_samples", "match_labels"]
