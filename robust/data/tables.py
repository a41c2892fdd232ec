"""Tables: CSV (also compressed) and Parquet with a label column, numeric features and sensitive columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from robust.data.dataset import Dataset
from robust.data.groups import Bins, parse_groups, to_groups
from robust.data.labels import encode_labels
from robust.errors import DataFileError, DataRangeError, DataShapeError, DataTypeError, LabelError, MissingColumnError

if TYPE_CHECKING:
    import pandas as pd

_LABEL_NAMES = ("label", "labels", "y", "target", "class")


def load_table(
    path: Path,
    *,
    labels: str | None = None,
    features: Sequence[str] | None = None,
    groups: Sequence[str] | Mapping[str, str | int] = (),
    bins: Mapping[str, Bins] | None = None,
    missing: Literal["error", "drop"] = "error",
) -> Dataset:
    """Read a table: one row per sample.

    Args:
        path: ``.csv``, ``.tsv`` (also ``.gz`` and the like) or ``.parquet``. Empty cells and ``?`` are missing.
        labels: the label column; by default one named label, y, target or class.
        features: columns that go into the model, in its order; by default all numeric columns but the label, so
            that a numeric sensitive column is a feature too.
        groups: sensitive columns; ``name=column`` renames.
        bins: how to cut numeric sensitive columns, by group name.
        missing: what a missing feature or label does: an error, or its row is dropped with a note.

    Raises:
        DataFileError, MissingColumnError, DataTypeError, DataShapeError, DataRangeError, LabelError.
    """
    frame = _read(path)
    label = _column(frame, labels, path, "label column") if labels else _find_label(frame, path)
    wanted = parse_groups(groups)
    sensitive = {name: _sensitive(frame, key, path) for name, key in wanted.items()}
    chosen, notes = _features(frame, features, label, set(sensitive.values()), path)
    frame, dropped = _without_missing(frame, [*chosen, label], missing, path)
    notes += dropped
    places, values, more = encode_labels(_array(frame[label]), f"{path}: column {label!r}")
    notes += more
    named: dict[str, NDArray[np.str_]] = {}
    for name, column in sensitive.items():
        where = f"{path}: column {column!r}"
        named[name], more = to_groups(_array(frame[column]), (bins or {}).get(name), where)
        notes += more
    samples = np.stack([frame[column].to_numpy(dtype=np.float32) for column in chosen], axis=1)
    return Dataset(
        name=path.name.split(".")[0],
        source=str(path),
        samples=samples,
        labels=places,
        label_values=values,
        groups=named,
        identifiers=tuple(str(row) for row in frame.index),
        feature_names=tuple(chosen),
        notes=notes,
    )


def load_table_samples(
    path: Path, *, features: Sequence[str] | None = None, missing: Literal["error", "drop"] = "error"
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Feature columns of a table that needs no label: samples ``[n, d]``, feature names, row names and notes.

    Args:
        path: as ``load_table``.
        features: columns in the model's order; all numeric ones if not given.
        missing: as ``load_table``.

    Raises:
        DataFileError, MissingColumnError, DataTypeError, DataShapeError, DataRangeError.
    """
    frame = _read(path)
    chosen, notes = _features(frame, features, "", set(), path)
    frame, dropped = _without_missing(frame, chosen, missing, path)
    samples = np.stack([frame[column].to_numpy(dtype=np.float32) for column in chosen], axis=1)
    return samples, tuple(chosen), tuple(str(row) for row in frame.index), (*notes, *dropped)


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            separator = "\t" if ".tsv" in path.suffixes else ","
            frame = pd.read_csv(path, sep=separator, na_values=["?"], skipinitialspace=True, low_memory=False)
    except (OSError, EOFError, ValueError, pd.errors.ParserError) as error:
        raise DataFileError(
            f"cannot read the table {path}", wanted="a CSV with a header line, or Parquet", got=error
        ) from error
    frame.columns = [str(column).strip() for column in frame.columns]
    if not len(frame):
        raise DataShapeError(f"{path} has no rows", wanted="at least one sample", got=0)
    if frame.columns.duplicated().any():
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise DataFileError(f"{path} has two columns of one name", wanted="names that differ", got=", ".join(twice))
    return frame


def _column(frame: pd.DataFrame, name: str, path: Path, what: str) -> str:
    if name in frame.columns:
        return name
    near = get_close_matches(name, list(frame.columns), n=1, cutoff=0.5)
    raise MissingColumnError(
        f"{path} has no column {name!r} ({what})",
        wanted=f"one of {', '.join(frame.columns)}",
        got=name,
        hint=f"did you mean {near[0]!r}?" if near else None,
    )


def _sensitive(frame: pd.DataFrame, key: str | int, path: Path) -> str:
    if isinstance(key, int) and key < frame.shape[1]:
        return str(frame.columns[key])
    return _column(frame, str(key), path, "sensitive column")


def _find_label(frame: pd.DataFrame, path: Path) -> str:
    found = [column for column in frame.columns if column.lower() in _LABEL_NAMES]
    if len(found) == 1:
        return str(found[0])
    raise MissingColumnError(
        f"{path}: which column holds the labels?",
        wanted="the name of one column",
        got=f"columns {', '.join(frame.columns)}",
        hint="say which: --labels COLUMN, data.labels in the plan, or labels= in Python",
    )


def _features(
    frame: pd.DataFrame, features: Sequence[str] | None, label: str, sensitive: set[str], path: Path
) -> tuple[list[str], tuple[str, ...]]:
    numeric = [c for c in frame.columns if _is_numeric(frame[c])]
    if features is not None:
        chosen = [_column(frame, name, path, "feature") for name in features]
        text = [column for column in chosen if column not in numeric]
        if text:
            raise DataTypeError(
                f"{path}: a feature column is not numeric",
                wanted="numbers, encoded as the model was trained",
                got=", ".join(f"{column} ({frame[column].dtype})" for column in text),
                hint="encode the column into numbers, or leave it out of the features",
            )
        if label in chosen:
            raise LabelError(f"{path}: the label column {label!r} is among the features", hint="take it out")
        return chosen, ()
    chosen = [column for column in numeric if column != label]
    if not chosen:
        raise DataTypeError(f"{path} has no numeric column beside the label", wanted="numeric features")
    left = [column for column in frame.columns if column not in chosen and column != label and column not in sensitive]
    notes = (f"columns that are not numeric and were left out: {', '.join(left)}",) if left else ()
    return chosen, notes


def _without_missing(
    frame: pd.DataFrame, columns: list[str], missing: str, path: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    holes = frame[columns].isna()
    if not holes.to_numpy().any():
        return frame, ()
    counts = {str(c): int(n) for c, n in holes.sum().items() if n}
    rows = int(holes.any(axis=1).sum())
    if missing == "error":
        raise DataRangeError(
            f"{path}: {rows} rows miss a feature or the label",
            wanted="a number in every cell that the model reads",
            got=", ".join(f"{column}: {count}" for column, count in counts.items()),
            hint="fill the cells as the model was trained, or leave such rows out: data.missing = 'drop' in the plan",
        )
    kept = frame[~holes.any(axis=1)]
    if not len(kept):
        raise DataShapeError(f"{path}: every row misses something", wanted="at least one whole row", got=counts)
    return kept, (f"{rows} of {len(frame)} rows miss a feature or the label and were left out",)


def _is_numeric(series: pd.Series) -> bool:
    return bool(getattr(series.dtype, "kind", "O") in "fiub")


def _array(series: pd.Series) -> NDArray[np.generic]:
    """Numbers stay numbers; everything else becomes text, with missing cells empty."""
    if _is_numeric(series):
        return np.asarray(series.to_numpy())
    return np.array(["" if missing else str(value) for value, missing in zip(series, series.isna(), strict=True)])
