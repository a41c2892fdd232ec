from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import pytest

from robust.audit.witnesses import keep_witnesses, npz_bytes


def test_the_bytes_know_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True])}
    first = npz_bytes(arrays)
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 1e6)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(0))
    assert npz_bytes(arrays) == first


def test_what_was_kept_is_what_was_given(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(3, 1, 4)).astype(np.float32)
    witness = keep_witnesses(tmp_path, "x", {"points": points}, title="X", count=3)
    data = (tmp_path / witness.path).read_bytes()
    assert witness.path == "witnesses/x.npz"
    assert witness.sha256 == hashlib.sha256(data).hexdigest()
    with np.load(tmp_path / witness.path, allow_pickle=False) as kept:
        assert np.array_equal(kept["points"], points)
