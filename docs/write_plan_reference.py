"""Write the reference of the plan's keys from its models: ``python -m docs.write_plan_reference``."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from robust.audit.check import CheckSettings, ThresholdRule
from robust.audit.plan import Plan

TARGET = Path(__file__).parent / "plan.md"
PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "absent"}
PLURAL = {"number": "numbers", "whole number": "whole numbers", "text": "texts", "threshold": "thresholds"}
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "length at least"}
HEAD = """\
# The plan, key by key

Written by `python -m docs.write_plan_reference`; do not edit. The same as a schema for editors:
[schema/plan.schema.json](schema/plan.schema.json), or `robust config schema`.

A plan is a `robust.toml`, or the table `[tool.robust]` of a `pyproject.toml`. Command line (`--set KEY=VALUE` and
options) goes before environment (`ROBUST_` and the key in capitals, `__` for each dot), before the file, before the
defaults below. An unknown key is an error that names the nearest known one. Paths in a file are relative to the file;
`output` is relative to where the command is run. `robust config show` prints what holds and why.
"""
COMMON = """\
Every section `[checks.NAME]` also takes the keys of [`[checks.*]`](#checks)."""


def words(annotation: Any) -> str:
    """A type as words: ``list of numbers``, ``"warn" or "off"``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(words(argument) for argument in arguments if argument is not type(None)))
    if origin is Literal:
        return " or ".join(f"`{json.dumps(argument)}`" for argument in arguments)
    if origin is tuple:
        inner = [argument for argument in arguments if argument is not Ellipsis]
        if Ellipsis not in arguments:
            return f"[{', '.join(words(item) for item in inner)}]"
        element = words(inner[0])
        return f"list of ({element})" if " or " in element else f"list of {PLURAL.get(element, element)}"
    if origin is dict:
        return f"table of name -> {words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "threshold" if annotation is ThresholdRule else "section"
    return PLAIN[annotation]


def limits(info: FieldInfo) -> str:
    """The bounds of a value: ``, at least 1``."""
    found = [
        f"{word} {getattr(part, name):g}"
        for part in info.metadata
        for name, word in LIMITS.items()
        if getattr(part, name, None) is not None
    ]
    return f", {', '.join(found)}" if found else ""


def default(info: FieldInfo) -> str:
    """The default as TOML; ``required``, or a dash where the key is absent."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    return "-" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def table(model: type[BaseModel], without: frozenset[str] = frozenset()) -> list[str]:
    """Rows of the keys of one section that hold values."""
    rows = ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, info in model.model_fields.items():
        if name in without or section_of(info) is not None:
            continue
        cells = (f"`{name}`", words(info.annotation) + limits(info), default(info), info.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """The model of a key that is a section of its own (or a table of such sections)."""
    pending = [info.annotation]
    while pending:
        annotation = pending.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation is not ThresholdRule:
            return annotation
        pending += get_args(annotation)
    return None


def sections() -> Iterator[tuple[str, type[BaseModel], str]]:
    """Header, model and description of each section, in the order of the plan; the checks last."""
    for name, info in Plan.model_fields.items():
        model = section_of(info)
        if model is not None and name != "checks":
            named = get_origin(info.annotation) is dict
            yield f"{name}.NAME" if named else name, model, info.description or ""
    checks = section_of(Plan.model_fields["checks"])
    assert checks is not None
    for name, info in checks.model_fields.items():
        model = section_of(info)
        assert model is not None
        yield f"checks.{name}", model, info.description or ""


def reference() -> str:
    """The whole page."""
    lines = [HEAD, "## Top level", "", *table(Plan)]
    seen: dict[type[BaseModel], str] = {}
    common = frozenset(CheckSettings.model_fields)
    for header, model, description in sections():
        lines += ["", f"## `[{header}]`", "", f"{description[0].upper()}{description[1:]}", ""]
        if model in seen:
            lines.append(f"The keys of `[{seen[model]}]`.")
            continue
        seen[model] = header
        own = issubclass(model, CheckSettings)
        lines += table(model, without=common if own else frozenset())
        lines += ["", COMMON] if own else []
    lines += ["", "## `[checks.*]`", "", "Keys of every check.", "", *table(CheckSettings)]
    lines += ["", "## A threshold", "", "An entry of `thresholds`. It wants a `minimum`, a `maximum`, or both.", ""]
    lines += table(ThresholdRule)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write ``docs/plan.md``."""
    TARGET.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
