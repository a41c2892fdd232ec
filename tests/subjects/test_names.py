"""What the rooms export."""

from __future__ import annotations

import subprocess
import sys

import pytest

import robust.data
import robust.subjects


@pytest.mark.parametrize("room", [robust.subjects, robust.data])
def test_every_exported_name_is_there(room: object) -> None:
    names = room.__all__  # type: ignore[attr-defined]
    assert sorted(names) == names
    assert all(getattr(room, name) is not None for name in names)
    with pytest.raises(AttributeError):
        _ = room.nothing_of_this_name  # type: ignore[attr-defined]


def test_the_protocols_import_no_reader() -> None:
    heavy = "[m for m in ('onnx', 'onnxruntime', 'pandas', 'sklearn', 'torchvision') if m in sys.modules]"
    code = f"import sys, robust.subjects.protocols, robust.data; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
