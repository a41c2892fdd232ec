"""Small real data sets that ship inside scikit-learn: no network, no files of ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robust.data.dataset import Dataset
from robust.data.groups import to_groups
from robust.errors import UsageError


def load_builtin(name: str) -> Dataset:
    """A set by name: ``digits``, ``breast_cancer``, ``wine`` or ``diabetes``.

    Raises:
        UsageError: no such set.
    """
    if name not in BUILTIN:
        raise UsageError(f"there is no built-in data set {name!r}", wanted=f"one of {', '.join(BUILTIN)}", got=name)
    return BUILTIN[name]()


def _digits() -> Dataset:
    """1,797 digits ``[n, 1, 8, 8]`` (Alpaydin and Kaynak 1998), grey levels 0-16 divided by 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    samples = (bunch.images / 16.0).astype(np.float32)[:, None]
    return _dataset("digits", samples, bunch.target, tuple(map(str, range(10))), (), "grey levels 0-16 divided by 16")


def _breast_cancer() -> Dataset:
    """569 biopsies, 30 features (Wolberg and others 1993), in the units of the file."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return _dataset("breast_cancer", bunch.data, bunch.target, bunch.target_names, bunch.feature_names)


def _wine() -> Dataset:
    """178 wines, 13 features, 3 classes (Forina 1991), in the units of the file."""
    from sklearn.datasets import load_wine

    bunch = load_wine()
    return _dataset("wine", bunch.data, bunch.target, bunch.target_names, bunch.feature_names)


def _diabetes() -> Dataset:
    """442 patients, 10 features (Efron and others 2004); the progress of the disease cut at its median.

    Groups: ``sex`` has two values, which the file does not name; ``age`` is in years, cut at 40 and 55.
    """
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    median = float(np.median(bunch.target))
    sex, _ = to_groups(np.char.add("sex ", bunch.data[:, 1].astype(np.int64).astype(np.str_)), None, "sex")
    age, _ = to_groups(bunch.data[:, 0], (40.0, 55.0), "age")
    notes = (
        f"the measured progress of the disease was cut at its median: class 1 is above {median:g}",
        "the two values of sex are numbers in the file; which is which is not stated",
    )
    dataset = _dataset(
        "diabetes", load_diabetes().data, bunch.target > median, ("slow", "fast"), bunch.feature_names, *notes
    )
    return Dataset(**{**vars(dataset), "groups": {"sex": sex, "age": age}})


def _dataset(
    name: str,
    samples: NDArray[np.generic],
    labels: NDArray[np.generic],
    values: tuple[str, ...],
    features: tuple[str, ...],
    *notes: str,
) -> Dataset:
    return Dataset(
        name=name,
        source=f"builtin:{name}",
        samples=np.ascontiguousarray(samples, dtype=np.float32),
        labels=labels.astype(np.int64),
        label_values=tuple(map(str, values)),
        identifiers=tuple(str(row) for row in range(len(samples))),
        feature_names=tuple(map(str, features)),
        notes=notes,
    )


BUILTIN: dict[str, Callable[[], Dataset]] = {
    "digits": _digits,
    "breast_cancer": _breast_cancer,
    "wine": _wine,
    "diabetes": _diabetes,
}
"""Name -> loader."""
