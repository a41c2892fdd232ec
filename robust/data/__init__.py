"""Samples, labels, groups, digests; folders, arrays, tables, small real sets."""

from robust.data.dataset import Dataset

__all__ = ["Dataset"]
