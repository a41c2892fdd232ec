"""Concrete inputs kept beside the record, as ``.npz`` with the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.audit.run_directory import keep_file
from robust.record import Witness

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time stamp of every member: the first that a zip file can name."""


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An uncompressed ``.npz``: no clock, no order but the mapping's. ``numpy.load`` reads it without pickles."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), member.getvalue())
    return buffer.getvalue()


def keep_witnesses(
    directory: Path, name: str, arrays: Mapping[str, NDArray[Any]], *, title: str, count: int, caption: str = ""
) -> Witness:
    """Write ``directory/witnesses/name.npz`` and return its evidence, with path and digest.

    Raises:
        StoreError: it cannot be written.
    """
    data = npz_bytes(arrays)
    path = directory / "witnesses" / f"{name}.npz"
    keep_file(path, data)
    return Witness(
        title=title,
        path=path.relative_to(directory).as_posix(),
        sha256=hashlib.sha256(data).hexdigest(),
        count=count,
        caption=caption,
    )
