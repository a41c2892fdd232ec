"""Files that are either the old or the new one, never half of each."""

from __future__ import annotations

import os
from pathlib import Path

from robust.errors import UsageError


def write_atomically(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` beside ``path``, flush it to the disk, then rename it into place.

    Raises:
        UsageError: the directory cannot be made or written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write the report {path}",
            wanted="a directory that can be written to, with room on the disk",
            got=error,
            hint="name another directory for the reports",
        ) from error
