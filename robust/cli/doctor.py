"""``robust doctor``: what is installed, the device, versions, the name clash."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys

import typer

from robust import __version__
from robust.cli.siblings import SIBLINGS, find_strangers

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


def doctor() -> None:
    """Say what is installed, which device there is, and whether another package has taken one of our names."""
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
    import torch

    typer.echo(f"  ok   cpu: {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            typer.echo(f"  ok   cuda:{index}: {torch.cuda.get_device_name(index)}")
    else:
        typer.echo("  -    no cuda device: everything runs on the CPU")
    return True
