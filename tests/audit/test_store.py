"""Finished shards survive whatever kills the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from robust.audit.store import FILE_NAME, ShardStore, decode_payload, encode_payload
from robust.errors import RecordError, RunInUseError

ROOT = Path(__file__).resolve().parents[2]


@given(
    npst.arrays(np.float32, npst.array_shapes(max_dims=3, max_side=3)),
    st.dictionaries(st.text(min_size=1, max_size=5), st.integers() | st.text() | st.booleans(), max_size=3),
)
def test_payloads_come_back_as_they_went(array: np.ndarray, plain: dict[str, object]) -> None:
    payload = {"plain": plain, "array": array}
    back = decode_payload(encode_payload(payload))
    assert back["plain"] == plain
    np.testing.assert_array_equal(back["array"], array)
    assert back["array"].dtype == array.dtype


def test_arrays_may_be_nested() -> None:
    payload = {"scores": {"msp": np.arange(3.0)}, "list": [np.eye(2), 1, (2, 3)], "number": np.float64(0.5)}
    back = decode_payload(encode_payload(payload))
    assert back["scores"]["msp"].tolist() == [0.0, 1.0, 2.0]
    assert back["list"][0].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert back["list"][1:] == [1, [2, 3]]
    assert back["number"] == 0.5


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="objects"):
        encode_payload({"x": np.array([{}], dtype=object)})


def test_put_then_get(tmp_path: Path) -> None:
    with ShardStore(tmp_path) as store:
        assert store.get("k") is None
        store.put("k", "check", "shard", {"robust": np.array([True, False])}, 1.5)
    with ShardStore(tmp_path) as store:
        found = store.get("k")
    assert found is not None
    payload, seconds = found
    assert payload["robust"].tolist() == [True, False]
    assert seconds == 1.5


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with ShardStore(tmp_path), pytest.raises(RunInUseError):
        ShardStore(tmp_path)
    ShardStore(tmp_path).close()


def test_a_damaged_store_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database, not at all, " * 100)
    with pytest.raises(RecordError, match="delete the file"):
        ShardStore(tmp_path)


def test_kill_loses_nothing_that_was_put(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom pathlib import Path\nfrom robust.audit.store import ShardStore\n"
        f"store = ShardStore(Path({str(tmp_path)!r}))\n"
        "for i in range(5):\n    store.put(str(i), 'c', 's', {'i': i}, 0.0)\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"ready"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with ShardStore(tmp_path) as store:
        assert len(store) == 5
        found = store.get("4")
    assert found is not None
    assert found[0] == {"i": 4}
