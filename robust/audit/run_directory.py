"""Files of the run directory: made, written whole or not at all, and a typed error where the disk refuses."""

from __future__ import annotations

import os
from pathlib import Path

from robust.errors import StoreError


def make_directory(directory: Path) -> None:
    """Make ``directory`` and its parents, if they are missing.

    Raises:
        StoreError: something else has the name, or nothing may be written there.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(directory, error) from error


def keep_file(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to the disk, and rename it into place: the old file or the new one.

    Raises:
        StoreError: it cannot be written.
    """
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: Exception) -> StoreError:
    """The error to raise where the disk refuses."""
    return StoreError(
        f"cannot work in the run directory: {path}",
        wanted="a directory that can be written to, with room on the disk",
        got=error,
        hint="make room, or give another --output; finished work is kept, and the same command continues",
    )
