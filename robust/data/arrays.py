"""Samples from ``.npz`` and ``.npy`` files, never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robust.data.dataset import Dataset
from robust.data.groups import Bins, parse_groups, to_groups
from robust.data.labels import encode_labels
from robust.errors import DataFileError, DataShapeError, DataTypeError, MissingColumnError, UsageError

_SAMPLE_NAMES = ("samples", "sample", "images", "image", "x", "data", "inputs", "features")
_LABEL_NAMES = ("labels", "label", "y", "targets", "target", "classes")


def load_npz(
    path: Path,
    *,
    samples: str | None = None,
    labels: str | None = None,
    groups: Sequence[str] | Mapping[str, str | int] = (),
    bins: Mapping[str, Bins] | None = None,
) -> Dataset:
    """Read an ``.npz``: samples ``[n, ...]``, labels ``[n]``, optional group arrays ``[n]``.

    Args:
        path: the file.
        samples: key of the samples; by default found by name (samples, images, x, ...).
        labels: key of the labels; by default found by name (labels, y, ...) with the suffix of the samples' key.
        groups: group keys; ``sex=8`` is feature 8 of the samples.
        bins: how to cut numeric group columns, by group name.

    Raises:
        DataFileError: missing, truncated, pickled.
        MissingColumnError: a key is not there, or several could be meant.
        DataTypeError, DataShapeError: samples that are not numbers, or not one row each.
    """
    arrays = _read_npz(path)
    samples_key = samples if samples is not None else _find(arrays, _SAMPLE_NAMES, path, "samples", "")
    values = array_samples(_key(arrays, samples_key, path), f"{path}: {samples_key!r}")
    suffix = _suffix(samples_key, _SAMPLE_NAMES)
    labels_key = labels if labels is not None else _find(arrays, _LABEL_NAMES, path, "labels", suffix)
    where = f"{path}: {labels_key!r}"
    places, label_values, notes = encode_labels(_plain(_key(arrays, labels_key, path), where), where)
    check_count(len(values), len(places), where)
    named: dict[str, NDArray[np.str_]] = {}
    for name, key in parse_groups(groups).items():
        place = f"{path}: group {name!r}"
        column = feature_column(values, key, place) if isinstance(key, int) else _key(arrays, key, path)
        named[name], more = to_groups(_plain(column, place), (bins or {}).get(name), place)
        check_count(len(values), len(named[name]), place)
        notes += more
    return Dataset(
        name=path.stem,
        source=str(path),
        samples=np.ascontiguousarray(values, dtype=np.float32),
        labels=places,
        label_values=label_values,
        groups=named,
        identifiers=tuple(str(row) for row in range(len(values))),
        raw_uint8=values.dtype == np.uint8,
        notes=notes,
    )


def load_npy(path: Path, labels: Path | None) -> Dataset:
    """Read samples from an ``.npy`` and labels from another ``.npy`` or a text file with one label per line.

    Raises:
        UsageError: no labels file.
        DataFileError, DataTypeError, DataShapeError: as ``load_npz``.
    """
    if labels is None:
        raise UsageError(
            f"{path} holds samples without labels",
            wanted="a labels file: .npy, or text with one label per line",
            hint="name it with labels=, or put both arrays into one .npz",
        )
    values = array_samples(_read_npy(path), str(path))
    if labels.suffix == ".npy":
        raw = _read_npy(labels)
    else:
        try:
            raw = np.array([line.strip() for line in labels.read_text(encoding="utf-8").split("\n") if line.strip()])
        except (OSError, UnicodeDecodeError) as error:
            raise DataFileError(f"cannot read the labels {labels}", got=error) from error
    places, label_values, notes = encode_labels(_plain(raw, str(labels)), str(labels))
    check_count(len(values), len(places), str(labels))
    return Dataset(
        name=path.stem,
        source=str(path),
        samples=np.ascontiguousarray(values, dtype=np.float32),
        labels=places,
        label_values=label_values,
        identifiers=tuple(str(row) for row in range(len(values))),
        raw_uint8=values.dtype == np.uint8,
        notes=notes,
    )


def load_array_samples(path: Path, samples: str | None = None) -> NDArray[np.generic]:
    """Samples ``[n, ...]`` of an ``.npz`` or ``.npy``, whatever labels lie beside them.

    Args:
        path: the file.
        samples: key in an ``.npz``; by default found by name, or the only array there is.

    Raises:
        DataFileError, MissingColumnError, DataTypeError, DataShapeError: as ``load_npz``.
    """
    if path.suffix == ".npy":
        return array_samples(_read_npy(path), str(path))
    arrays = _read_npz(path)
    if samples is None:
        samples = next(iter(arrays)) if len(arrays) == 1 else _find(arrays, _SAMPLE_NAMES, path, "samples", "")
    return array_samples(_key(arrays, samples, path), f"{path}: {samples!r}")


def array_samples(values: NDArray[np.generic], where: str) -> NDArray[np.generic]:
    """Check that an array can be samples: numbers, ``[n, ...]`` with n > 0, booleans turned to bytes 0 and 255.

    Raises:
        DataTypeError, DataShapeError.
    """
    if values.dtype.kind not in "fiub":
        raise DataTypeError(f"{where}: samples are not numbers", wanted="float, integer or uint8", got=values.dtype)
    if values.ndim < 2 or 0 in values.shape:
        raise DataShapeError(
            f"{where}: samples have the wrong shape", wanted="[n, ...] with at least one sample", got=values.shape
        )
    return values.astype(np.uint8) * np.uint8(255) if values.dtype.kind == "b" else values


def feature_column(values: NDArray[np.generic], index: int, where: str) -> NDArray[np.generic]:
    """Feature ``index`` of tabular samples ``[n, d]``.

    Raises:
        MissingColumnError: not a table, or fewer features.
    """
    if values.ndim != 2 or not 0 <= index < values.shape[1]:
        raise MissingColumnError(
            f"{where}: there is no feature {index}", wanted="[n, d] with d > index", got=values.shape
        )
    return values[:, index]


def check_count(wanted: int, got: int, where: str) -> None:
    """Raise DataShapeError unless there is one value per sample."""
    if wanted != got:
        raise DataShapeError(f"{where} has not one value per sample", wanted=wanted, got=got)


def _read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataFileError(f"{path} is not an .npz archive", wanted="a zip of arrays", got="a single array")
            return {key: archive[key] for key in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, TypeError, KeyError) as error:
        raise _unreadable(path, error, "an .npz written by numpy.savez, without pickled objects") from error


def _read_npy(path: Path) -> NDArray[np.generic]:
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise _unreadable(path, error, "an .npy written by numpy.save, without pickled objects") from error
    if not isinstance(loaded, np.ndarray):
        raise DataFileError(f"{path} is not one array", wanted=".npy", got=type(loaded).__name__)
    return loaded


def _unreadable(path: Path, error: Exception, wanted: str) -> DataFileError:
    if not path.is_file():
        return DataFileError(f"there is no file {path}", wanted=wanted, hint="check the path")
    pickled = "pickle" in str(error).lower()
    hint = (
        "save plain numeric arrays: pickled objects can run code and are never loaded"
        if pickled
        else "the file may be truncated or of another format; write it again"
    )
    return DataFileError(f"cannot read {path}", wanted=wanted, got=error, hint=hint)


def _key(arrays: Mapping[str, NDArray[np.generic]], key: str, path: Path) -> NDArray[np.generic]:
    if key not in arrays:
        raise MissingColumnError(f"{path} has no array {key!r}", wanted=f"one of {', '.join(arrays)}", got=key)
    return arrays[key]


def _find(arrays: Mapping[str, NDArray[np.generic]], names: Sequence[str], path: Path, what: str, suffix: str) -> str:
    """The key that is one of the names plus the suffix, else the only one that begins with one (x_test)."""
    exact = [key for key in arrays if key.lower() in {name + suffix for name in names}]
    found = exact or [key for key in arrays if _suffix(key, names) or key.lower() in names]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{key} {array.dtype}{list(array.shape)}" for key, array in arrays.items()) or "nothing"
    raise MissingColumnError(
        f"{path}: {'several arrays could be' if found else 'no array is named like'} the {what}",
        wanted=f"one key of {', '.join(names)}",
        got=listed,
        hint=f"say which: data.{what} in the plan, or {what}= in Python",
    )


def _suffix(key: str, names: Sequence[str]) -> str:
    """``_test`` of ``x_test``; empty where the key is a plain name or of another kind."""
    for name in names:
        if key.lower().startswith(name + "_"):
            return key.lower()[len(name) :]
    return ""


def _plain(values: NDArray[np.generic], where: str) -> NDArray[np.generic]:
    """Byte strings become text; objects are refused."""
    if values.dtype.kind == "S":
        return np.char.decode(values.astype(np.bytes_), "utf-8")
    if values.dtype.kind == "O":
        raise DataTypeError(f"{where} holds Python objects", wanted="numbers or text", got=values.dtype)
    return values
