"""Tables in units of each column's range: the box is [0, 1] and an epsilon is a share of every column's range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from robust.data.dataset import Dataset
from robust.errors import DataRangeError
from robust.properties.input_sets import Box
from robust.subjects.box import BoxLike, make_box
from robust.subjects.digests import digest_of
from robust.subjects.preprocessing import AffineInput
from robust.subjects.protocols import Classifier


class RangeScaled:
    """A classifier seen through ``x * (upper - lower) + lower``: its inputs live in [0, 1].

    Args:
        inner: the classifier in its own units.
        ranges: the ends that 0 and 1 stand for; by default the inner box.
    """

    def __init__(self, inner: Classifier, ranges: BoxLike | None = None) -> None:
        self.inner = inner
        self.ranges = inner.input_box if ranges is None else make_box(ranges, inner.input_shape, inner.device)
        width = self.ranges.upper - self.ranges.lower
        self._input = AffineInput(self.ranges.lower, width)
        zero = torch.zeros_like(width)
        self.input_box = Box(zero, torch.ones_like(zero))
        self.digest = digest_of(inner.digest, self.ranges.lower, self.ranges.upper)
        self.notes: tuple[str, ...] = (
            *inner.notes,
            "inputs are in shares of each column's range: 0 and 1 stand for its lowest and highest value",
        )
        self.name, self.source, self.format = inner.name, inner.source, inner.format
        self.parameters, self.device = inner.parameters, inner.device
        self.input_shape, self.class_names = inner.input_shape, inner.class_names
        self.differentiable = inner.differentiable
        self.agreement_tolerance = float(getattr(inner, "agreement_tolerance", 1e-3))

    def logits(self, x: Tensor) -> Tensor:
        """``[n, *input_shape]`` in shares of the ranges to ``[n, classes]``."""
        return self.inner.logits(self._input(x.to(self.device, torch.float32)))

    def replay(self, x: Tensor) -> Tensor:
        """Logits in the inner model's own arithmetic."""
        return self.inner.replay(self._input(x.to(self.device, torch.float32)))

    def module(self) -> nn.Module | None:
        """Shares to logits as one module; None if the inner model is a black box."""
        inner = self.inner.module()
        return None if inner is None else nn.Sequential(self._input, inner).eval()

    def features(self, x: Tensor) -> Tensor | None:
        """Features of the inner model."""
        return self.inner.features(self._input(x.to(self.device, torch.float32)))

    def scale(self, dataset: Dataset, *, beyond: bool = False) -> Dataset:
        """Samples in the inner units to shares; a column without range becomes 0.

        Args:
            dataset: in the inner units.
            beyond: keep values outside the ranges as shares below 0 or above 1, with a note: for abnormal inputs, which
                no attack starts from. A column without range still becomes 0: the model is audited with it constant.

        Raises:
            DataRangeError: NaN or infinite, or a value outside the ranges by more than rounding.
        """
        lower = self.ranges.lower.cpu().numpy().astype(np.float64)
        width = self.ranges.upper.cpu().numpy().astype(np.float64) - lower
        shares = (dataset.samples - lower) / np.where(width > 0, width, 1.0)
        if beyond and np.isfinite(shares).all():
            return _kept(dataset, np.where(width > 0, shares, 0.0), (shares < -1e-5) | (shares > 1 + 1e-5))
        if not np.isfinite(shares).all() or shares.min() < -1e-5 or shares.max() > 1 + 1e-5:
            raise DataRangeError(
                f"{dataset.source}: values lie outside the ranges of the columns",
                wanted="values inside the model's input box",
                got=f"shares from {shares.min():g} to {shares.max():g}",
                hint="declare wider ranges, or take them from this data set",
            )
        return replace(dataset, samples=shares.clip(0.0, 1.0).astype(np.float32))


def _kept(dataset: Dataset, shares: np.ndarray, outside: np.ndarray) -> Dataset:
    rows = int(outside.any(axis=1).sum())
    note = f"{rows} of {len(shares)} samples have a value outside the ranges of the evaluation data"
    notes = (*dataset.notes, note) if rows else dataset.notes
    return replace(dataset, samples=shares.astype(np.float32), notes=notes)


def column_ranges(*datasets: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each input number over all samples, both ``[*shape]``."""
    lower = np.min([dataset.samples.min(axis=0) for dataset in datasets], axis=0)
    upper = np.max([dataset.samples.max(axis=0) for dataset in datasets], axis=0)
    return lower, upper


def scale_to_ranges(
    classifier: Classifier, *datasets: Dataset, ranges: BoxLike | None = None
) -> tuple[RangeScaled, tuple[Dataset, ...]]:
    """The classifier and the data sets in shares of each column's range.

    Args:
        classifier: in the units of the data.
        datasets: in those units; the ranges are taken over all of them unless given.
        ranges: lower and upper end per column.
    """
    scaled = RangeScaled(classifier, column_ranges(*datasets) if ranges is None else ranges)
    return scaled, tuple(scaled.scale(dataset) for dataset in datasets)
