"""Where a plan's values come from: command line > environment > file > defaults; and saying so.

The environment speaks by variables ``ROBUST_`` plus the key in capitals, sections joined by two underscores:
``ROBUST_SEED=3``, ``ROBUST_CHECKS__ATTACKS__STEPS=20``. Values are TOML where they parse as TOML, else text.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from robust.audit.plan import Plan
from robust.errors import PlanError, UsageError

PREFIX = "ROBUST_"
PATH_KEYS = frozenset({"source", "weights", "labels", "output"})
WHOLE_TABLES = ("bins",)
"""Keys whose value is a table of the user's own names; never merged key by key."""


@dataclass(frozen=True)
class ResolvedPlan:
    """A plan with the origin of each value.

    Attributes:
        plan: validated.
        origins: dotted key -> ``command line``, ``environment (NAME)``, the file's name; absent: default.
        file: the plan file, if one was read.
    """

    plan: Plan
    origins: Mapping[str, str]
    file: Path | None

    def origin(self, key: str) -> str:
        """Where the value of a dotted key came from."""
        return _origin(self.origins, key) or "default"

    def asked_for(self, check: str) -> bool:
        """Whether somebody set a key of the check, instead of getting it by default. An empty section asks nothing."""
        return any(key.startswith(f"checks.{check}.") for key in self.origins)


def find_plan_file(directory: Path) -> Path | None:
    """``robust.toml``, else a ``pyproject.toml`` with a ``[tool.robust]`` table, in ``directory``."""
    candidate = directory / "robust.toml"
    if candidate.is_file():
        return candidate
    project = directory / "pyproject.toml"
    return project if project.is_file() and _tool_table(_read_toml(project)) is not None else None


def resolve_plan(
    file: Path | None,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    overrides_from: str = "command line",
) -> ResolvedPlan:
    """Merge the layers and validate.

    Args:
        file: a ``robust.toml`` or ``pyproject.toml``; None for none. Its relative paths are relative to it.
        environment: ``os.environ`` if None.
        overrides: dotted key -> value, from the command line or a call.
        overrides_from: who gave them, for messages.

    Raises:
        PlanError: the file is missing or not TOML, a key is unknown (with the nearest known one) or a value is wrong.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    def lay(key: str, value: Any, origin: str) -> None:
        for inner, leaf in _leaves(value, key):
            _set(values, inner, leaf)
            origins[inner] = origin

    if file is not None:
        base = Path(os.path.relpath(file.parent))
        for key, value in _leaves(_plan_table(file), ""):
            lay(key, _relative_to(base, key, value), file.name)
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            lay(key, parse_value(text), f"environment ({name})")
    for key, value in (overrides or {}).items():
        lay(key, value, overrides_from)
    try:
        plan = Plan.model_validate(values)
    except ValidationError as error:
        raise _explain(error.errors(), origins, file) from error
    return ResolvedPlan(plan, origins, file)


def parse_value(text: str) -> Any:
    """A value as TOML if it parses, else the text itself: ``3``, ``true``, ``[0.1, 0.2]``, ``cuda``."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse_assignment(text: str) -> tuple[str, Any]:
    """``checks.attacks.steps=20`` to key and value.

    Raises:
        UsageError: no equals sign.
    """
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UsageError(f"cannot read the setting {text!r}", wanted="KEY=VALUE, for example checks.attacks.steps=20")
    return key.strip(), parse_value(value.strip())


def flatten_plan(plan: Plan) -> list[tuple[str, Any]]:
    """Every resolved value with its dotted key, in the order of the schema."""
    return list(_model_leaves(plan, ""))


def _model_leaves(model: BaseModel, prefix: str) -> Iterable[tuple[str, Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        key = f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from _model_leaves(value, f"{key}.")
        elif isinstance(value, dict) and value and all(isinstance(item, BaseModel) for item in value.values()):
            for inner, item in value.items():
                yield from _model_leaves(item, f"{key}.{inner}.")
        else:
            yield key, value


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PlanError(
            f"there is no plan file {file}",
            hint="write one with `robust init --model MODEL --data DATA`, or give --model and --data",
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"cannot read the plan {file}", wanted="a TOML file", got=error) from error


def _plan_table(file: Path) -> dict[str, Any]:
    """What a plan file says of the plan.

    Raises:
        PlanError: a ``pyproject.toml`` without a table ``[tool.robust]``, or what ``_read_toml`` raises.
    """
    document = _read_toml(file)
    if file.name != "pyproject.toml":
        return document
    table = _tool_table(document)
    if table is None:
        raise PlanError(f"{file} holds no plan", wanted="a table [tool.robust]", hint="write one, or a robust.toml")
    return table


def _tool_table(document: Mapping[str, Any]) -> dict[str, Any] | None:
    tool = document.get("tool")
    table = tool.get("robust") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _leaves(value: Any, key: str) -> Iterable[tuple[str, Any]]:
    """Every value below ``key`` that is no table, or an empty one, with its dotted key."""
    if not isinstance(value, Mapping) or (not value and key) or _is_whole(key):
        yield key, value
        return
    for name, item in value.items():
        yield from _leaves(item, f"{key}.{name}" if key else name)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node = values
    for parent in parents:
        child = node.setdefault(parent, {})
        if not isinstance(child, dict):
            child = node[parent] = {}
        node = child
    if value == {} and not _is_whole(key) and isinstance(node.get(last), dict):
        return  # an empty section takes nothing back
    node[last] = value


def _is_whole(key: str) -> bool:
    return key.rpartition(".")[2] in WHOLE_TABLES


def _relative_to(base: Path, key: str, value: Any) -> Any:
    """A path in a file is relative to the file, but the run directory to where the command is run.

    A factory, a built-in set or a column is no path.
    """
    if key.rsplit(".", 1)[-1] not in PATH_KEYS or not isinstance(value, str) or not value:
        return value
    if key == "output" or key.startswith("checks.") or ":" in value:
        return value
    if key.endswith("labels") and not (file_like := Path(value)).suffix and not (base / file_like).exists():
        return value
    return str(base / value)


def _explain(errors: list[ErrorDetails], origins: Mapping[str, str], file: Path | None) -> PlanError:
    lines = []
    hint = None
    for error in errors:
        key = ".".join(str(part) for part in error["loc"])
        origin = _origin(origins, key) or next((o for k, o in origins.items() if k.startswith(f"{key}.")), "the plan")
        if error["type"] == "extra_forbidden":
            known = _known_keys(error["loc"][:-1])
            near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.5)
            lines.append(f"unknown key {key!r} ({origin})" + (f"; did you mean {near[0]!r}?" if near else ""))
            hint = hint or f"known keys here: {', '.join(known)}"
        else:
            lines.append(f"{key} ({origin}): {error['msg']}, got {error['input']!r}")
    where = f"in {file}" if file is not None else "in the settings"
    return PlanError(f"the plan is not valid, {where}:\n    " + "\n    ".join(lines), hint=hint)


def _origin(origins: Mapping[str, str], key: str) -> str | None:
    """Of the key itself, else of the nearest table around it."""
    parts = key.split(".")
    tables = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((origins[table] for table in tables if table in origins), None)


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] | None = Plan
    for part in location:
        if isinstance(part, int):
            continue
        field = None if model is None else model.model_fields.get(part)
        if field is None:
            continue
        model = _model_in(field.annotation)
    return [] if model is None else list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
