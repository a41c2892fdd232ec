"""Errors say what was wanted, what was got and what to do; the tree in the docstring is the tree."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from robust import errors
from robust.errors import DataShapeError, RobustError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RobustError)]


def test_the_message_has_all_parts() -> None:
    error = DataShapeError("samples.npz: wrong shape", wanted="[n, 1, 28, 28]", got=(3, 4), hint="reshape it")
    assert str(error).splitlines() == [
        "samples.npz: wrong shape",
        "  wanted: [n, 1, 28, 28]",
        "  got: (3, 4)",
        "  what to do: reshape it",
    ]


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_travel_between_processes(kind: type[RobustError]) -> None:
    back = pickle.loads(pickle.dumps(kind("m", wanted=1, got=2, hint="h")))
    assert type(back) is kind
    assert str(back) == str(kind("m", wanted=1, got=2, hint="h"))


def test_the_tree_in_the_docstring_is_complete() -> None:
    drawn = set(re.findall(r"(\w+Error)\b", errors.__doc__ or ""))
    assert drawn == {kind.__name__ for kind in CLASSES}
