"""Torch models from factories and files. What could run code needs the user's word."""

from __future__ import annotations

import contextlib
import importlib
import pickle
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import ModelFileError, UntrustedModelError, UsageError

WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


def call_factory(factory: str) -> Any:
    """Call ``package.module:function`` (no arguments); the working directory is on the path meanwhile.

    The factory is the user's own code. Random numbers that it draws leave torch's global generator as it was.

    Raises:
        UsageError: not of this form, no such module or function, or it fails.
    """
    module_name, colon, function_name = factory.partition(":")
    if not colon or not module_name or not function_name:
        raise UsageError("a factory has the wrong form", wanted="package.module:function", got=factory)
    with _working_directory_on_path(), torch.random.fork_rng(devices=[]):
        try:
            function = getattr(importlib.import_module(module_name), function_name)
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"the factory {factory} cannot be found",
                wanted="a module that imports from here, and a function in it",
                got=f"{type(error).__name__}: {error}",
                hint="run in the folder that holds the module, or install it",
            ) from error
        try:
            return function()
        except Exception as error:  # the user's code may raise anything
            raise UsageError(
                f"the factory {factory} fails",
                wanted="a function that takes nothing and returns the model",
                got=f"{type(error).__name__}: {error}",
            ) from error


def load_weights(module: nn.Module, path: Path) -> tuple[str, ...]:
    """Put a safetensors file or a ``weights_only`` state dict into a module; every name must match.

    Returns:
        Notes on what was assumed.

    Raises:
        ModelFileError: missing, truncated, or names and shapes that do not fit.
        UntrustedModelError: a pickle that holds more than tensors.
    """
    state, notes = read_state(path)
    own = module.state_dict()
    if state and not set(state) & set(own) and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
        notes += ("the names of the weights lost the prefix 'module.'",)
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    wrong = [
        f"{name} {list(state[name].shape)}"
        for name in sorted(set(own) & set(state))
        if state[name].shape != own[name].shape
    ]
    if missing or unexpected or wrong:
        found = [("missing", missing), ("not in the module", unexpected), ("of another shape", wrong)]
        raise ModelFileError(
            f"the weights in {path} do not fit the module",
            wanted=f"{len(own)} tensors, each of the module's name and shape",
            got="; ".join(
                f"{what}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" for what, names in found if names
            ),
            hint="use the factory that the weights were trained with",
        )
    module.load_state_dict(state, strict=True)
    return notes


def read_state(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Name -> tensor of a ``.safetensors`` file or a state dict read with ``weights_only=True``.

    Raises:
        ModelFileError, UntrustedModelError.
    """
    _exists(path)
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path)), ()
        except (SafetensorError, OSError, ValueError) as error:
            raise _broken(path, "a whole safetensors file", error) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UntrustedModelError(
            f"{path} holds more than tensors",
            wanted="a state dict that loads with weights_only=True",
            got=str(error).splitlines()[0],
            hint="save module.state_dict(), best as safetensors, and name the factory",
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _broken(path, "a whole state dict", error) from error
    notes: tuple[str, ...] = ()
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content, notes = content[key], (f"the weights were found under {key!r}",)
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelFileError(f"{path} is not a state dict", wanted="name -> tensor", got=type(content).__name__)
    return {str(name): tensor for name, tensor in content.items()}, notes


def kind_of(path: Path) -> str:
    """``torchscript``, ``exported program``, ``safetensors``, ``weights`` or ``onnx``, by ending and archive."""
    _exists(path)
    if path.name.endswith((".onnx", ".onnx.gz")):
        return "onnx"
    if path.suffix == ".pt2":
        return "exported program"
    if path.suffix == ".safetensors":
        return "safetensors"
    if path.suffix == ".torchscript":
        return "torchscript"
    if path.suffix in WEIGHTS:
        try:
            with zipfile.ZipFile(path) as archive:
                scripted = any(
                    name.endswith(("/constants.pkl", "/code/")) or "/code/" in name for name in archive.namelist()
                )
        except (OSError, zipfile.BadZipFile):
            scripted = False
        return "torchscript" if scripted else "weights"
    raise ModelFileError(
        f"{path} has an ending that is not known",
        wanted=f".onnx, .pt2, .torchscript, {', '.join(WEIGHTS)}, or a factory package.module:function",
        got=path.suffix or "no ending",
    )


def load_program(path: Path, kind: str, *, trust: bool) -> nn.Module:
    """A TorchScript or exported program, only if trusted: loading either can run code.

    Raises:
        UntrustedModelError: not trusted.
        ModelFileError: cannot be read.
    """
    if not trust:
        article = "an exported program" if kind == "exported program" else "TorchScript"
        raise UntrustedModelError(
            f"{path} is {article}: loading it can run code",
            wanted="a file that runs no code (ONNX, or safetensors with a factory), or your word that you trust it",
            hint="if you trust where it comes from: --trust-model, or trust=True",
        )
    try:
        if kind == "torchscript":
            scripted: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
            return scripted
        return torch.export.load(path).module().requires_grad_(False)
    except Exception as error:  # both loaders raise whatever the archive makes them raise
        raise _broken(path, f"a whole {kind}", error) from error


def _exists(path: Path) -> None:
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}", wanted="a model", hint="check the path")


def _broken(path: Path, wanted: str, error: Exception) -> ModelFileError:
    return ModelFileError(
        f"cannot read {path}",
        wanted=wanted,
        got=f"{type(error).__name__}: {error}",
        hint="the file may be truncated or of another format; save the model again",
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


@contextlib.contextmanager
def _working_directory_on_path() -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before
