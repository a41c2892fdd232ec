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
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from robust.audit.check import Payload
from robust.audit.run_directory import cannot_write, make_directory
from robust.errors import RunInUseError, StoreError

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
        StoreError: the directory cannot be made or written, or the file is not a store or is damaged.
    """

    def __init__(self, directory: Path) -> None:
        make_directory(directory)
        self.path = directory / FILE_NAME
        self._lock = _lock(directory / LOCK_NAME)
        try:
            self._connection = sqlite3.connect(self.path)
            try:
                self._prepare()
            except sqlite3.Error:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            self._lock.close()
            raise _broken(self.path, error) from error

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS shards (key TEXT PRIMARY KEY, check_name TEXT NOT NULL, name TEXT NOT NULL,"
            " payload BLOB NOT NULL, seconds REAL NOT NULL)"
        )
        self._connection.commit()

    def get(self, key: str) -> tuple[Payload, float] | None:
        """Payload and seconds of a finished shard, or None.

        Raises:
            StoreError: the file is damaged.
        """
        try:
            row = self._connection.execute("SELECT payload, seconds FROM shards WHERE key = ?", (key,)).fetchone()
            return None if row is None else (decode_payload(row[0]), float(row[1]))
        except (sqlite3.Error, zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError) as error:
            raise _broken(self.path, error) from error

    def put(self, key: str, check: str, name: str, payload: Payload, seconds: float) -> Payload:
        """Store one finished shard, durably; returns the payload as a later run will read it.

        Raises:
            StoreError: it cannot be written (a full disk, say). What was stored before is kept.
            TypeError: the payload holds what cannot be stored.
        """
        data = encode_payload(payload)
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?, ?)", (key, check, name, data, seconds)
                )
        except sqlite3.Error as error:
            raise _broken(self.path, error) from error
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
    try:
        handle = path.open("a", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise RunInUseError(
            f"another audit works in {path.parent}", hint="wait for it, or give this one another --output"
        ) from error
    except OSError as error:
        handle.close()
        raise StoreError(
            f"cannot lock {path}",
            wanted="a file system with locks, so that two audits do not work in one directory",
            got=error,
            hint="give another --output, on a local disk",
        ) from error
    return handle


def _broken(path: Path, error: Exception) -> StoreError:
    """An ``OperationalError`` is the disk's (full, read-only, out of reach); anything else is the file's."""
    if isinstance(error, sqlite3.OperationalError):
        return cannot_write(path, error)
    return StoreError(
        f"{path} is damaged or not a store of this suite",
        got=error,
        hint="delete the file, or give another --output; finished work in it is then done again",
    )
