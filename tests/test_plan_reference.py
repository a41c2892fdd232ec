"""docs/plan.md is what the models say, and says all of it."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from docs.write_plan_reference import TARGET, reference, words
from robust.audit.plan import Plan
from robust.audit.plan_layers import flatten_plan


def test_the_published_page_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == reference(), "run: python -m docs.write_plan_reference"


@pytest.mark.parametrize("key", [key for key, _ in flatten_plan(Plan())])
def test_every_key_has_a_row_with_a_meaning(key: str) -> None:
    """The keys come from a resolved plan, not from the walk over the models that wrote the page."""
    section, _, name = key.rpartition(".")
    optional_section = key in {"reference", "ood", "generator"}
    if optional_section:
        assert f"## `[{name}" in TARGET.read_text(encoding="utf-8")
        return
    shared = section.startswith("checks.") and name in {"enabled", "gate", "thresholds"}
    header = "## `[checks.*]`" if shared else f"## `[{section}]`" if section else "## Top level"
    body = TARGET.read_text(encoding="utf-8").split(f"{header}\n", 1)[1].split("\n## ", 1)[0]
    row = next(line for line in body.splitlines() if line.startswith(f"| `{name}` |"))
    assert row.rsplit("|", 2)[-2].strip(), f"{key} has no meaning"


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "whole number"),
        (tuple[float, ...], "list of numbers"),
        (tuple[float, str], "[number, text]"),
        (tuple[str | int, ...], "list of (text or whole number)"),
        (dict[str, bool], "table of name -> true or false"),
        (BaseModel, "section"),
    ],
)
def test_types_become_words(annotation: object, text: str) -> None:
    assert words(annotation) == text
