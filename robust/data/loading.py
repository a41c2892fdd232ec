"""``load_data``: one door to every form of data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robust.data.arrays import load_array_samples, load_npy, load_npz
from robust.data.builtin import load_builtin
from robust.data.dataset import Dataset
from robust.data.folders import load_folder, load_pictures
from robust.data.groups import Bins
from robust.data.tables import load_table, load_table_samples
from robust.errors import DataFileError, UsageError

_TABLES = (".csv", ".tsv", ".parquet")
UNLABELLED = "unlabelled"


def load_data(
    source: str | Path,
    *,
    name: str | None = None,
    samples: str | None = None,
    labels: str | Path | None = None,
    groups: Sequence[str] | Mapping[str, str | int] = (),
    bins: Mapping[str, Bins] | None = None,
    features: Sequence[str] | None = None,
    missing: Literal["error", "drop"] = "error",
    scale: Literal["auto", "bytes", "none"] = "auto",
) -> Dataset:
    """Load labelled samples.

    Args:
        source: ``.npz``, ``.npy``, a folder with one folder of pictures per class, ``.csv`` / ``.tsv`` (also
            compressed), ``.parquet``, or ``builtin:digits`` (breast_cancer, wine, diabetes).
        name: for people; by default from the source.
        samples: key of the samples in an ``.npz``.
        labels: key of the labels in an ``.npz``, label column of a table, or labels file of an ``.npy``.
        groups: sensitive columns (tables) or keys (``.npz``); ``sex=8`` means feature 8.
        bins: for numeric sensitive columns: number of quantile bins, or inner edges, by group name.
        features: columns of a table that go into the model, in its order.
        missing: what a table's missing feature does: ``error``, or ``drop`` its row.
        scale: ``bytes``: values are 0-255 and are to be mapped onto the input box; ``none``: never map;
            ``auto``: map arrays of dtype uint8 and pictures.

    Returns:
        Labels are places in ``label_values`` until ``match_labels``; samples are unscaled until ``fit_to_box``.

    Raises:
        DataError: one of its kinds, naming the file, the wanted and the found.
        UsageError: an option that the form of the data has no use for, or a source of no known form.
    """
    dataset = _with_scale(_load(source, samples, labels, groups, bins, features, missing), scale)
    return replace(dataset, name=name or dataset.name)


def _with_scale(dataset: Dataset, scale: str) -> Dataset:
    if scale not in ("auto", "bytes", "none"):
        raise UsageError("scale has an unknown value", wanted="auto, bytes or none", got=scale)
    if scale == "bytes" and (dataset.samples.min() < 0 or dataset.samples.max() > 255):
        raise UsageError(
            f"{dataset.source}: the samples are no bytes",
            wanted="values 0 to 255",
            got=f"{dataset.samples.min():g} to {dataset.samples.max():g}",
        )
    raw = dataset.raw_uint8 if scale == "auto" else scale == "bytes"
    return replace(dataset, raw_uint8=raw)


def load_samples(
    source: str | Path,
    *,
    samples: str | None = None,
    features: Sequence[str] | None = None,
    missing: Literal["error", "drop"] = "error",
    scale: Literal["auto", "bytes", "none"] = "auto",
) -> Dataset:
    """Load samples whose labels nobody needs: abnormal inputs for detection. No labels are read.

    Args:
        source: as ``load_data``; a folder may hold its pictures in any folders or none, an ``.npz`` the samples alone.
        samples: key of the samples in an ``.npz``.
        features: columns of a table, in the model's order.
        missing: as ``load_data``.
        scale: as ``load_data``.

    Returns:
        All labels are 0, of the one value ``unlabelled``.

    Raises:
        DataError, UsageError: as ``load_data``.
    """
    path = Path(source)
    names: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    values: NDArray[np.generic]
    if str(source).startswith("builtin:"):
        found = load_builtin(str(source).removeprefix("builtin:"))
        values, names, rows, notes = found.samples, found.feature_names, found.identifiers, found.notes
    elif not path.exists():
        raise DataFileError(f"there is no file or folder {path}", wanted="data", hint="check the path")
    elif path.is_dir():
        values, rows = load_pictures(path)
    elif path.suffix in (".npz", ".npy"):
        values = load_array_samples(path, samples)
    elif any(ending in path.suffixes for ending in _TABLES):
        values, names, rows, notes = load_table_samples(path, features=features, missing=missing)
    else:
        raise _unknown_form(path)
    dataset = Dataset(
        name=path.name.split(".")[0].removeprefix("builtin:"),
        source=str(source),
        samples=np.ascontiguousarray(values, dtype=np.float32),
        labels=np.zeros(len(values), dtype=np.int64),
        label_values=(UNLABELLED,),
        identifiers=rows or tuple(map(str, range(len(values)))),
        feature_names=names,
        raw_uint8=values.dtype == np.uint8,
        notes=notes,
    )
    return _with_scale(dataset, scale)


def _load(
    source: str | Path,
    samples: str | None,
    labels: str | Path | None,
    groups: Sequence[str] | Mapping[str, str | int],
    bins: Mapping[str, Bins] | None,
    features: Sequence[str] | None,
    missing: Literal["error", "drop"],
) -> Dataset:
    if str(source).startswith("builtin:"):
        _unused(source, samples=samples, labels=labels, features=features)
        return _choose_groups(load_builtin(str(source).removeprefix("builtin:")), groups)
    path = Path(source)
    if not path.exists():
        raise DataFileError(f"there is no file or folder {path}", wanted="data", hint="check the path")
    key = None if labels is None else str(labels)
    if path.is_dir():
        _unused(source, samples=samples, labels=labels, features=features, groups=groups)
        return load_folder(path)
    if path.suffix == ".npz":
        _unused(source, features=features)
        return load_npz(path, samples=samples, labels=key, groups=groups, bins=bins)
    if path.suffix == ".npy":
        _unused(source, samples=samples, features=features, groups=groups)
        return load_npy(path, None if key is None else Path(key))
    if any(ending in path.suffixes for ending in _TABLES):
        _unused(source, samples=samples)
        return load_table(path, labels=key, features=features, groups=groups, bins=bins, missing=missing)
    raise _unknown_form(path)


def _unknown_form(path: Path) -> DataFileError:
    return DataFileError(
        f"{path} has an ending that is not known",
        wanted=".npz, .npy, .csv, .tsv, .parquet, a folder, or builtin:<name>",
        got=path.suffix or "no ending",
    )


def _choose_groups(dataset: Dataset, groups: Sequence[str] | Mapping[str, str | int]) -> Dataset:
    """All groups of a built-in set, or those that are named."""
    if not groups:
        return dataset
    unknown = [name for name in groups if name not in dataset.groups]
    if unknown:
        raise UsageError(
            f"{dataset.source} has no group column {unknown[0]!r}", wanted=", ".join(dataset.groups) or "no groups"
        )
    return replace(dataset, groups={name: dataset.groups[name] for name in groups})


def _unused(source: str | Path, **options: object) -> None:
    for option, value in options.items():
        if value:
            raise UsageError(f"{source}: the option {option} means nothing for this form of data", got=value)
