"""scikit-learn's digits as images in [0, 1], split by seed into training and test part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
SPLIT_SEED = 0
TEST_SIZE = 500


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples float32 ``[n, 1, 8, 8]`` (levels k/16) and labels int64 ``[n]``: training part, then test part."""
    digits = load_digits()
    samples = (digits.data.reshape(-1, 1, 8, 8) / 16.0).astype(np.float32)
    labels = digits.target.astype(np.int64)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SIZE, stratify=labels, random_state=SPLIT_SEED
    )
    return samples[train], labels[train], samples[test], labels[test]
