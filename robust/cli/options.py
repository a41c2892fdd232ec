"""Options that several commands share, and how they become overrides of the plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robust.errors import UsageError

if TYPE_CHECKING:
    from robust.audit.plan_layers import ResolvedPlan

PlanFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="PLAN",
        help="Plan file. Default: robust.toml, or [tool.robust] of pyproject.toml, in this folder.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="model.onnx, package.module:function, or a file with --trust-model.")
]
Weights = Annotated[str | None, typer.Option("--weights", help="safetensors or weights-only state dict.")]
Trust = Annotated[
    bool | None, typer.Option("--trust-model", help="Allow formats that can run code when loaded (.pt2, TorchScript).")
]
Data = Annotated[
    str | None,
    typer.Option("--data", "-d", help=".npz, .npy, .csv, .parquet, a folder of class folders, or builtin:digits."),
]
Labels = Annotated[str | None, typer.Option("--labels", help="Label column of a table, or labels file of a .npy.")]
Groups = Annotated[
    list[str] | None, typer.Option("--group", "-g", help="A sensitive column, for fairness. Repeatable.")
]
Reference = Annotated[str | None, typer.Option("--reference", help="Training data, for detectors, judges and copies.")]
GeneratorSource = Annotated[str | None, typer.Option("--generator", help="A trained generator, audited as well.")]
Seed = Annotated[int | None, typer.Option("--seed", help="All randomness comes from it.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1, ...")]
InputBox = Annotated[
    tuple[float, float], typer.Option("--input-box", metavar="LOW HIGH", help="Smallest and largest input value.")
]
InputShape = Annotated[
    str | None, typer.Option("--input-shape", metavar="C,H,W", help="Of one input, where no file says it.")
]
Output = Annotated[str | None, typer.Option("--output", "-o", help="Run directory: store, record, reports.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Any key of the plan: checks.attacks.steps=20. Repeatable."),
]
Only = Annotated[str | None, typer.Option("--only", help="Run these checks only, separated by commas.")]
Skip = Annotated[str | None, typer.Option("--skip", help="Leave these checks out, separated by commas.")]


def read_shape(text: str | None) -> tuple[int, ...] | None:
    """``1,28,28`` as numbers; None where nothing was said.

    Raises:
        UsageError: no such text.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError("cannot read --input-shape", wanted="whole numbers: 1,28,28", got=text) from error


def sources(
    *,
    model: str | None,
    weights: str | None,
    trust: bool | None,
    data: str | None,
    labels: str | None,
    groups: list[str] | None,
    reference: str | None,
    generator: str | None,
) -> dict[str, Any]:
    """The options that name models and data, as keys of the plan; None where nothing was said."""
    return {
        "model.source": model,
        "model.weights": weights,
        "model.trust": trust,
        "data.source": data,
        "data.labels": labels,
        "data.groups": groups or None,
        "reference.source": reference,
        "generator.source": generator,
    }


def resolve(
    plan: Path | None,
    *,
    named: dict[str, Any],
    assignments: list[str] | None = None,
    only: str | None = None,
    skip: str | None = None,
) -> ResolvedPlan:
    """Plan file, environment and options to one resolved plan.

    Args:
        plan: the file given; if None, the one in this folder unless a model is named on the command line.
        named: dotted key -> value or None, from options of their own.
        assignments: texts of ``--set``.
        only: text of ``--only``.
        skip: text of ``--skip``.
    """
    from robust.audit.catalogue import CHECKS
    from robust.audit.plan_layers import find_plan_file, parse_assignment, resolve_plan

    overrides: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    known = [check.name for check in CHECKS]
    if only is not None:
        wanted = _names(only, known, "--only")
        overrides |= {f"checks.{name}.enabled": name in wanted for name in known}
    if skip is not None:
        overrides |= {f"checks.{name}.enabled": False for name in _names(skip, known, "--skip")}
    overrides |= dict(parse_assignment(text) for text in assignments or [])
    file = plan
    if file is None and "model.source" not in overrides:
        file = find_plan_file(Path())
    if file is not None and file.is_dir():
        file = find_plan_file(file) or file / "robust.toml"
    return resolve_plan(file, overrides=overrides)


def _names(text: str, known: list[str], option: str) -> set[str]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = names - set(known)
    if unknown or not names:
        raise UsageError(
            f"{option} names no such check: {', '.join(sorted(unknown)) or 'nothing'}", wanted=", ".join(known)
        )
    return names
