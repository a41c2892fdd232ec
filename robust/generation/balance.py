"""Balance: are classes (or groups) as frequent among generated samples as among real ones?

Both sides are named by the same judge, so that its confusions cancel to first order. The largest difference of a share
has an interval that holds also when nothing differs: per class Newcombe's difference (1998, method 10) at a level
divided among the classes. Pearson's chi-square test of homogeneity beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from robust.errors import DataShapeError
from robust.record import Interval
from robust.statistics import newcombe_difference


@dataclass(frozen=True)
class Balance:
    """The largest absolute difference of a share, its interval, all differences, and the test of equal shares.

    ``expected`` is the smallest expected count: below 5 the p-value is rough (Cochran 1954).
    """

    gap: float
    interval: Interval
    differences: tuple[Interval, ...]
    p_value: float
    expected: float


def balance(generated: NDArray[np.int64], real: NDArray[np.int64], *, level: float = 0.95) -> Balance:
    """Compare counts per class ``[classes]``, generated against real.

    Raises:
        DataShapeError: different numbers of classes, or a side without samples.
    """
    if generated.shape != real.shape or not generated.sum() or not real.sum():
        raise DataShapeError(
            "balance needs counts of the same classes on both sides", wanted=f"{real.shape}, not all 0", got=generated
        )
    n, m, classes = int(generated.sum()), int(real.sum()), len(real)
    each = 1 - (1 - level) / classes
    differences = tuple(
        newcombe_difference(int(mine), n, int(theirs), m, each) for mine, theirs in zip(generated, real, strict=True)
    )
    low = max(max(0.0, item.low, -item.high) for item in differences)
    high = max(max(abs(item.low), abs(item.high)) for item in differences)
    gap = float(np.abs(generated / n - real / m).max())
    seen = (generated + real) > 0
    p_value, expected = 1.0, float(min(n, m))
    if seen.sum() > 1:
        test = stats.chi2_contingency(np.stack([generated[seen], real[seen]]), correction=False)
        p_value, expected = float(test[1]), float(test[3].min())
    method = f"newcombe, Bonferroni over {classes} classes"
    return Balance(gap, Interval(low=low, high=high, level=level, method=method), differences, p_value, expected)
