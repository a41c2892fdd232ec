"""Finished shards on disk. SQLite in the run directory: each shard is one committed transaction.

Whatever kills the process, at most the shard in flight is lost. A shard is found again by its key, which is a digest
of everything its result depends on; so nothing is ever invalidated by hand.
"""

from __future__ import annotations

import fcntl
import io
import json
import sqlite3
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from robust.audit.check import Payload
from robust.errors import RecordError, RunInUseError

FILE_NAME = "shards.sqlite"
LOCK_NAME = "run.lock"
JSON_ENTRY = "__json__"
ARRAY_MARK = "__array__"


def encode_payload(payload: Payload) -> bytes:
    """Arrays and JSON values, nested at will, to the bytes of an ``.npz`` (no pickles).

    Raises:
        TypeError: a value is neither a numeric or text array nor JSON.
    """
    arrays: dict[str, NDArray[Any]] = {}
    text = json.dumps(_take_out(payload, arrays), allow_nan=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{JSON_ENTRY: np.frombuffer(text.encode(), dtype=np.uint8)}, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def decode_payload(data: bytes) -> Payload:
    """The inverse of ``encode_payload``; tuples come back as lists."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    payload: Payload = _put_back(json.loads(arrays.pop(JSON_ENTRY).tobytes().decode()), arrays)
    return payload


def _take_out(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("a payload holds an array of objects")
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {ARRAY_MARK: name}
    if isinstance(value, Mapping):
        return {key: _take_out(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_take_out(item, arrays) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _put_back(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, dict):
        if set(value) == {ARRAY_MARK}:
            return arrays[value[ARRAY_MARK]]
        return {key: _put_back(item, arrays) for key, item in value.items()}
    return [_put_back(item, arrays) for item in value] if isinstance(value, list) else value


class ShardStore:
    """Key -> payload, in ``directory``; one writer at a time. Use as a context manager.

    Raises:
        RunInUseError: another process holds the directory.
        RecordError: the file is not a store or is damaged.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / FILE_NAME
        self._lock = _lock(directory / LOCK_NAME)
        try:
            self._connection = sqlite3.connect(self.path)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS shards (key TEXT PRIMARY KEY, check_name TEXT NOT NULL, name TEXT NOT NULL,"
                " payload BLOB NOT NULL, seconds REAL NOT NULL)"
            )
            self._connection.commit()
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise _damaged(self.path, error) from error

    def get(self, key: str) -> tuple[Payload, float] | None:
        """Payload and seconds of a finished shard, or None."""
        try:
            row = self._connection.execute("SELECT payload, seconds FROM shards WHERE key = ?", (key,)).fetchone()
            return None if row is None else (decode_payload(row[0]), float(row[1]))
        except (sqlite3.DatabaseError, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise _damaged(self.path, error) from error

    def put(self, key: str, check: str, name: str, payload: Payload, seconds: float) -> Payload:
        """Store one finished shard, durably; returns the payload as a later run will read it."""
        data = encode_payload(payload)
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?, ?)", (key, check, name, data, seconds)
            )
        return decode_payload(data)

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM shards").fetchone()[0])

    def close(self) -> None:
        """Release the directory."""
        self._connection.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _lock(path: Path) -> IO[str]:
    handle = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise RunInUseError(
            f"another audit works in {path.parent}", hint="wait for it, or give this one another --output"
        ) from error
    return handle


def _damaged(path: Path, error: Exception) -> RecordError:
    return RecordError(
        f"{path} is damaged or not a store of this suite",
        got=error,
        hint="delete the file, or give another --output; finished work in it is then done again",
    )
