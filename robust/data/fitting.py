"""Bring samples into a subject's shape and input box, or say why they do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robust.data.dataset import Dataset
from robust.errors import DataRangeError, DataShapeError

if TYPE_CHECKING:
    from robust.subjects.protocols import Classifier

_SLACK = 1e-5
"""Overshoot that rounding explains, as a share of the box's width; clipped."""


def fit_to_box(dataset: Dataset, classifier: Classifier) -> Dataset:
    """The same samples in the subject's shape and units.

    Bytes 0-255 are mapped affinely onto the box (with a note; not where the box is 0-255 or differs by feature).
    Floats must lie in the box already.

    Raises:
        DataShapeError: the shape is not the subject's and no unambiguous reading makes it so.
        DataRangeError: NaN, infinite or outside the box.
    """
    dataset = fit_shape(dataset, classifier.input_shape)
    lower = classifier.input_box.lower.detach().cpu().numpy().astype(np.float64)
    upper = classifier.input_box.upper.detach().cpu().numpy().astype(np.float64)
    _check_finite(dataset)
    samples, notes = dataset.samples, dataset.notes
    uniform = float(lower.min()) == float(lower.max()) and float(upper.min()) == float(upper.max())
    if dataset.raw_uint8 and uniform and (lower.min(), upper.max()) != (0.0, 255.0):
        samples = (samples.astype(np.float64) / 255.0 * (upper - lower) + lower).astype(np.float32)
        notes += (f"bytes 0 to 255 were mapped onto the input box {_ends(lower, upper)}",)
    samples = _inside(samples, lower, upper, dataset)
    return replace(dataset, samples=samples, notes=notes, raw_uint8=False)


def fit_shape(dataset: Dataset, shape: tuple[int, ...]) -> Dataset:
    """Reshape samples where there is only one sensible reading, with a note.

    Axes of length one come and go; channels-last pictures of 1 to 4 channels become channels-first and the other
    way round; one-channel pictures are flattened row by row, and flat ones unfolded.

    Raises:
        DataShapeError: anything else.
    """
    own = dataset.sample_shape
    if own == shape:
        return dataset
    samples = dataset.samples
    thin, wanted = _thin(own), _thin(shape)
    if thin == wanted:
        fitted, how = samples.reshape(-1, *shape), "axes of length one were added or removed"
    elif len(own) == 3 and own[-1] <= 4 and (own[2], own[0], own[1]) == shape:
        fitted, how = samples.transpose(0, 3, 1, 2), "channels last were moved to the front"
    elif len(own) == 3 and own[0] <= 4 and (own[1], own[2], own[0]) == shape:
        fitted, how = samples.transpose(0, 2, 3, 1), "channels first were moved to the end"
    elif int(np.prod(own)) == int(np.prod(shape)) and {len(thin), len(wanted)} == {1, 2}:
        fitted, how = samples.reshape(-1, *shape), "one-channel pictures were read row by row"
    else:
        raise DataShapeError(
            f"{dataset.source}: the samples do not have the model's shape",
            wanted=f"each sample {list(shape)}",
            got=f"each sample {list(own)}",
            hint="bring the samples to the model's shape, or name the right array or feature columns",
        )
    note = f"samples {list(own)} were read as {list(shape)}: {how}"
    return replace(dataset, samples=np.ascontiguousarray(fitted), notes=(*dataset.notes, note))


def _thin(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _check_finite(dataset: Dataset) -> None:
    bad = ~np.isfinite(dataset.samples)
    if bad.any():
        first = tuple(int(place[0]) for place in np.nonzero(bad))
        raise DataRangeError(
            f"{dataset.source}: {int(bad.sum())} values are NaN or infinite",
            wanted="finite numbers",
            got=f"{dataset.samples[first]} in sample {_identifier(dataset, first[0])} at {list(first[1:])}",
        )


def _inside(
    samples: NDArray[np.float32], lower: NDArray[np.float64], upper: NDArray[np.float64], dataset: Dataset
) -> NDArray[np.float32]:
    """Clip what rounding explains; refuse the rest."""
    slack = _SLACK * (upper - lower) + 1e-12
    outside = (samples < lower - slack) | (samples > upper + slack)
    if not outside.any():
        return np.clip(samples, lower.astype(np.float32), upper.astype(np.float32))
    first = tuple(int(place[0]) for place in np.nonzero(outside))
    axes = ", ".join(map(str, first[1:]))
    named = dataset.feature_names[first[1]] if len(first) == 2 and dataset.feature_names else f"[{axes}]"
    raise DataRangeError(
        f"{dataset.source}: {int(outside.sum())} of {outside.size} values lie outside the model's input box",
        wanted=f"values in {_ends(lower, upper)}",
        got=f"values from {samples.min():g} to {samples.max():g}; the first outside is {samples[first]:g} in sample "
        f"{_identifier(dataset, first[0])} at {named}",
        hint=_way_out(samples, dataset),
    )


def _way_out(samples: NDArray[np.float32], dataset: Dataset) -> str:
    """What to do about values outside the box."""
    if samples.min() >= 0 and 1 < samples.max() <= 255:
        whole = bool((samples == np.round(samples)).all())
        if whole or (len(dataset.sample_shape) > 1 and samples.max() > 64):
            return (
                "these look like values 0 to 255: say data.scale = 'bytes' where the model expects them mapped onto "
                "the box, or model.input_box = [0, 255] where it takes them as they are"
            )
    low, high = np.floor(samples.min()), np.ceil(samples.max())
    return (
        f"declare the box the model was trained for (model.input_box = [{low:g}, {high:g}] would hold these samples), "
        "or scale the samples as the model expects them"
    )


def _ends(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> str:
    low = f"{lower.min():g}" if lower.min() == lower.max() else f"{lower.min():g}..{lower.max():g}"
    high = f"{upper.min():g}" if upper.min() == upper.max() else f"{upper.min():g}..{upper.max():g}"
    return f"[{low}, {high}]"


def _identifier(dataset: Dataset, row: int) -> str:
    return dataset.identifiers[row] if dataset.identifiers else str(row)
