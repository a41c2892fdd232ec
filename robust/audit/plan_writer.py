"""A plan as a commented TOML file: what was given as values, everything else as commented defaults with its meaning."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from robust.audit.assemble import Assembly, assemble
from robust.audit.plan_layers import PATH_KEYS, ResolvedPlan

WIDTH = 100


def write_plan(resolved: ResolvedPlan, directory: Path) -> str:
    """The text of ``robust.toml`` for a model and data, after loading both once.

    Paths are written relative to ``directory``, where the plan will lie.

    Raises:
        SubjectError, DataError: what an audit would raise at load.
    """
    assembly = assemble(resolved.plan)
    given = {key: _portable(key, value, directory) for key, value in _given(resolved)}
    given |= _read_off(assembly, given)
    lines = [
        "# Plan of an audit. Command line > environment (ROBUST_SEED, ROBUST_CHECKS__ATTACKS__STEPS) > this file.",
        "# Commented lines are defaults. `robust config show` prints every value and where it came from.",
        "",
    ]
    lines += _section(resolved.plan, "", given)
    return "\n".join(lines).rstrip() + "\n"


def _given(resolved: ResolvedPlan) -> Iterable[tuple[str, Any]]:
    document = resolved.plan.model_dump(mode="json")
    for key in resolved.origins:
        node: Any = document
        for part in key.split("."):
            node = node[part]
        yield key, node


def _portable(key: str, value: Any, directory: Path) -> Any:
    path_like = key.rsplit(".", 1)[-1] in PATH_KEYS and isinstance(value, str) and ":" not in value
    return os.path.relpath(value, directory) if path_like and Path(value).exists() else value


def _read_off(assembly: Assembly, given: Mapping[str, Any]) -> dict[str, Any]:
    """What loading found out and a reader will want to see written down."""
    found: dict[str, Any] = {}
    classifier = assembly.context.classifier
    if classifier is not None:
        found["model.input_shape"] = list(classifier.input_shape)
        lower, upper = float(classifier.input_box.lower.min()), float(classifier.input_box.upper.max())
        uniform = bool((classifier.input_box.lower == lower).all() and (classifier.input_box.upper == upper).all())
        if uniform and not assembly.context.data.feature_names:
            found["model.input_box"] = [lower, upper]
    return {key: value for key, value in found.items() if key not in given}


def _section(model: BaseModel, prefix: str, given: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    tables: list[tuple[str, BaseModel, str]] = []
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            tables.append((f"{prefix}{name}", value, info.description or ""))
        elif f"{prefix}{name}" in given:
            lines += _entry(name, info, given[f"{prefix}{name}"], commented=False)
        else:
            lines += _entry(name, info, value, commented=True)
    for key, value, description in tables:
        lines += ["", *_comment(description)]
        lines.append(f"[{key}]")
        lines += _section(value, f"{key}.", given)
    return lines


def _entry(name: str, info: FieldInfo, value: Any, *, commented: bool) -> list[str]:
    lines = _comment(info.description or "")
    text = "..." if value is None else _toml(value)
    lines.append(f"# {name} = {text}" if commented else f"{name} = {text}")
    return lines


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)]


def _toml(value: Any) -> str:
    if isinstance(value, BaseModel):
        return _toml(value.model_dump(mode="json", exclude_none=True))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)
