"""Expected calibration error (Naeini et al. 2015; Guo et al. 2017): mean gap of confidence and accuracy over bins.

``ECE = sum_b (n_b / n) |accuracy_b - confidence_b|``. With equal-width bins this is Guo's; with bins of equal count
it is the adaptive variant (Nixon et al. 2019). Both are biased upward at small n: a perfectly calibrated model
does not score 0. ``calibrated_reference`` says what it would score (consistency resampling, Broecker and Smith 2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robust.calibration.reliability import BINS, bin_indices
from robust.record import Interval
from robust.statistics import LEVEL, bootstrap_batched, chunks


def expected_calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Equal-width ECE over ``bins`` bins of [0, 1].

    Args:
        confidence: ``[n]`` in [0, 1].
        right: ``[n]``, whether the answer was right.
        bins: how many.
    """
    surplus = confidence - right
    return float(np.abs(np.bincount(bin_indices(confidence, bins), weights=surplus)).sum() / len(confidence))


def adaptive_calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """ECE over bins that hold equally many samples (as near as can be), in order of confidence.

    Args and result as in ``expected_calibration_error``; equal confidences stay in the order given.
    """
    surplus = (confidence - right)[np.argsort(confidence, kind="stable")]
    parts = np.array_split(surplus, min(bins, len(surplus)))
    return float(sum(abs(part.sum()) for part in parts) / len(surplus))


def expected_calibration_error_interval(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    rng: np.random.Generator,
    bins: int = BINS,
    resamples: int = 1000,
    level: float = LEVEL,
) -> Interval:
    """Interval of the true equal-width ECE; the bins stay where they are.

    The ECE of a sample is biased upward, and that of a bootstrap sample once more: the percentile interval lies wholly
    above the truth of a calibrated model. So its upper end stays, which errs on the side of care. For the lower end,
    by the triangle inequality, a sample's ECE exceeds the true one by no more than the mean size of the noise in the
    bins, and that is what a calibrated model with these confidences scores (``calibrated_reference``): its upper
    quantile is taken off.
    """
    place, surplus = bin_indices(confidence, bins), confidence - right

    def statistic(indices: NDArray[np.int64]) -> NDArray[np.float64]:
        return _batched(place[indices], surplus[indices], bins)

    found = expected_calibration_error(confidence, right, bins)
    percentile = bootstrap_batched(statistic, len(confidence), rng, resamples, level)
    noise = float(np.quantile(calibrated_reference(confidence, rng, bins, resamples), 0.5 + level / 2))
    return Interval(
        low=max(0.0, found - noise),
        high=max(found, percentile.high),
        level=level,
        method=f"bootstrap ({resamples}) above, noise of a calibrated model below",
    )


def calibrated_reference(
    confidence: NDArray[np.float64], rng: np.random.Generator, bins: int = BINS, resamples: int = 1000
) -> NDArray[np.float64]:
    """The ECE of a perfectly calibrated model with these confidences, drawn ``resamples`` times.

    Args:
        confidence: ``[n]``.
        rng: owns the randomness.
        bins: as in the ECE it is compared with.
        resamples: how many draws.

    Returns:
        ``[resamples]``: each answer is right with the probability that its confidence says.
    """
    place = bin_indices(confidence, bins)
    draws = []
    for rows in chunks(resamples, len(confidence)):
        right = rng.random((rows, len(confidence))) < confidence
        draws.append(_batched(np.broadcast_to(place, right.shape), confidence - right, bins))
    return np.concatenate(draws)


def _batched(place: NDArray[np.int64], surplus: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """ECE of each row: bins and confidence surpluses ``[r, n] -> [r]``."""
    rows, count = place.shape
    flat = (place + np.arange(rows)[:, None] * bins).ravel()
    sums = np.bincount(flat, weights=surplus.ravel(), minlength=rows * bins).reshape(rows, bins)
    return np.asarray(np.abs(sums).sum(axis=1) / count, dtype=np.float64)
