"""The package exports what it says."""

from __future__ import annotations

import pytest

import robust


@pytest.mark.parametrize("name", robust.__all__)
def test_every_exported_name_resolves(name: str) -> None:
    assert getattr(robust, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = robust.nothing
