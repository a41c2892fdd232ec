"""A proof file: a zip archive of numpy arrays, read as streams, whatever it claims about itself."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as layout
from numpy.typing import NDArray

from robust.checker.verdict import InvalidError, RefusedError

Array = NDArray[Any]
MOST_BYTES = 2**32
"""What all arrays of a file may unpack to."""
MOST_ROWS = 2**31
MOST_HEADER = 2**24
KINDS = "iufbU"
UNREADABLE = (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)


@dataclass(eq=False)
class Column:
    """One array, row after row.

    Attributes:
        name: for messages.
        dtype, shape: as the file has them.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    _stream: IO[bytes] = field(repr=False)

    def next(self, rows: int) -> Array:
        """The next rows ``[rows, ...]``."""
        shape = (rows, *self.shape[1:])
        wanted = math.prod(shape) * self.dtype.itemsize
        try:
            content = self._stream.read(wanted)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise RefusedError(f"array {self.name} cannot be read: {error}") from error
        if len(content) != wanted:
            raise RefusedError(f"array {self.name} ends too soon")
        return np.frombuffer(content, self.dtype).reshape(shape)

    def whole(self) -> Array:
        """All rows."""
        return self.next(self.shape[0]) if self.shape else self.next(1).reshape(())


class ProofFile:
    """An opened proof; use as a context.

    Raises:
        RefusedError: it is no such file, or too large, or says one thing twice.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise RefusedError(f"{path} is no proof: {error}") from error
        entries = self._zip.infolist()
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names):
            raise RefusedError(f"{path} holds one name twice")
        if sum(entry.file_size for entry in entries) > MOST_BYTES:
            raise RefusedError(f"{path} would unpack to more than {MOST_BYTES} bytes")
        self._names = set(names)
        header = self.column("header")
        if header.dtype != np.uint8 or len(header.shape) != 1 or header.shape[0] > MOST_HEADER:
            raise RefusedError("the header is no text")
        try:
            self.header = json.loads(header.whole().tobytes())
        except (ValueError, RecursionError) as error:
            raise RefusedError(f"the header is no JSON: {error}") from error
        if not isinstance(self.header, dict):
            raise RefusedError("the header is no object")

    def __enter__(self) -> ProofFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def column(self, name: str) -> Column:
        """An array of the file, by name.

        Raises:
            RefusedError: it is missing, or no array of plain numbers or text in rows.
        """
        if f"{name}.npy" not in self._names:
            raise RefusedError(f"array {name} is missing")
        try:
            stream = self._zip.open(f"{name}.npy")
            version = layout.read_magic(stream)
            read = layout.read_array_header_1_0 if version == (1, 0) else layout.read_array_header_2_0
            shape, by_columns, dtype = read(stream)
        except (
            OSError,
            ValueError,
            EOFError,
            zlib.error,
            zipfile.BadZipFile,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise RefusedError(f"array {name} cannot be read: {error}") from error
        if dtype.hasobject or dtype.kind not in KINDS or (by_columns and len(shape) > 1):
            raise RefusedError(f"array {name} is not of plain numbers, row after row")
        if any(not 0 <= size < MOST_ROWS for size in shape) or math.prod(shape) * dtype.itemsize > MOST_BYTES:
            raise RefusedError(f"array {name} has impossible sizes: {shape}")
        return Column(name, dtype, shape, stream)


def numbers(column: Column, rows: int | None, width: int | None = None) -> Column:
    """The column, of float64 or int64, if its shape is as it must be.

    Raises:
        InvalidError: it is not.
    """
    shape = column.shape
    fits = (rows is None or shape[:1] == (rows,)) and (width is None or shape[1:] == (width,))
    if not fits:
        raise InvalidError(f"array {column.name}", f"of {rows} rows and {width} columns it has {shape}")
    if column.dtype.kind not in "iufb":
        raise InvalidError(f"array {column.name}", "it holds no numbers")
    return column
