"""``robust doctor``: what is installed, the device, versions, the name clash."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from robust import __version__
from robust.cli.options import Assignments, Data, Trust, Weights, resolve
from robust.cli.siblings import SIBLINGS, find_strangers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robust.audit.plan import Plan
    from robust.graph.recorder import Refusal

REQUIRED = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "onnx",
    "onnxruntime",
    "safetensors",
    "z3-solver",
    "foolbox",
    "fairlearn",
    "pydantic",
)
OPTIONAL = {
    "auto-lirpa": "cross-checks of bounds, from its repository",
    "captum": "explanations",
    "playwright": "accessibility tests of the report",
}


def doctor(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Also say what may be asked of this model.", show_default=False),
    ] = None,
    data: Data = None,
    weights: Weights = None,
    trust_model: Trust = None,
    assignments: Assignments = None,
) -> None:
    """Say what is installed, which device there is, whether another package has taken one of our names.

    With a MODEL: load it and say which operators it has, and whether gradients, bounds and exact answers can be asked
    of it. With --data as well: whether the two fit.
    """
    _examine_installation()
    if model is not None:
        named = {"model.source": model, "data.source": data, "model.weights": weights, "model.trust": trust_model}
        _examine_model(resolve(None, named=named, assignments=assignments).plan)


def _examine_model(plan: Plan) -> None:
    from robust.audit.assemble import assemble, load_subject
    from robust.audit.capabilities import capabilities
    from robust.errors import GraphError

    try:
        classifier = assemble(plan).context.classifier if plan.data.source else load_subject(plan.model, plan.device)
    except GraphError:
        if not _examine_onnx(plan.model.source):
            raise
        return
    shape, classes = list(classifier.input_shape), len(classifier.class_names)
    typer.echo(f"{classifier.name} ({classifier.format}): input {shape}, {classes} classes")
    for note in classifier.notes:
        typer.echo(f"  note {note}")
    found = capabilities(classifier)
    if found.operators:
        typer.echo("  operators: " + ", ".join(f"{name} ({count})" for name, count in found.operators.items()))
    _say_refusals(found.refusals)
    for item in found.questions:
        typer.echo(f"  {'yes ' if item.possible else 'no  '} {item.question}: {item.reason}")


def _examine_onnx(source: str | None) -> bool:
    """Say which nodes of an ONNX file are not read; False where that is not what keeps it from being read."""
    from robust.graph.survey import survey_onnx

    if source is None or not source.endswith((".onnx", ".onnx.gz")):
        return False
    found = survey_onnx(source)
    if not found.refusals:
        return False
    typer.echo(f"{source}: cannot be read, because of {len(found.refusals)} of its nodes")
    typer.echo(
        "  operators that are read: " + ", ".join(f"{name} ({count})" for name, count in found.operators.items())
    )
    _say_refusals(found.refusals)
    return True


def _say_refusals(refusals: Sequence[Refusal]) -> None:
    for item in refusals:
        typer.echo(f"  not supported {item.op or 'this model'}, at {item.place}: {item.reason}")
        typer.echo(f"      what to do: {item.workaround or 'write this part with supported operators'}")


def _examine_installation() -> None:
    healthy = True
    typer.echo(f"robust-audit {__version__}, Python {platform.python_version()} at {sys.prefix}, {platform.platform()}")
    strangers = find_strangers()
    for name in SIBLINGS:
        fine = name not in strangers
        healthy &= fine
        typer.echo(f"  {'ok  ' if fine else 'BAD '} package {name}: {'ours' if fine else strangers[name]}")
    for name in REQUIRED:
        version = _version(name)
        healthy &= version is not None
        typer.echo(f"  {'ok  ' if version else 'BAD '} {name} {version or 'is not installed'}")
    for name, use in OPTIONAL.items():
        typer.echo(f"  {'ok  ' if _version(name) else '-   '} {name} {_version(name) or 'not installed'} ({use})")
    browser = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    typer.echo(
        f"  {'ok  ' if browser else '-   '} browser {browser or 'not found'} (accessibility tests of the report)"
    )
    healthy &= _say_device()
    if not healthy:
        typer.echo("something needed is missing: see the lines marked BAD", err=True)
        raise typer.Exit(2)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _say_device() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    try:
        import torch
    except (ImportError, OSError) as error:
        typer.echo(f"  BAD  torch cannot be imported: {' '.join(str(error).split())}")
        return False
    typer.echo(f"  ok   cpu: {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            typer.echo(f"  ok   cuda:{index}: {torch.cuda.get_device_name(index)}")
    else:
        typer.echo("  -    no cuda device: everything runs on the CPU")
    return True
