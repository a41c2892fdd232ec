"""SHA-256 of a model: structure, parameters, preprocessing."""

from __future__ import annotations

import hashlib
import inspect

import torch
from torch import Tensor, nn


def digest_of(*parts: object) -> str:
    """SHA-256 (hex) of bytes, texts, tensors and modules, each with its kind."""
    hasher = hashlib.sha256()
    for part in parts:
        if isinstance(part, nn.Module):
            _module(hasher, part)
        elif isinstance(part, Tensor):
            _tensor(hasher, part)
        else:
            content = part if isinstance(part, bytes) else repr(part).encode()
            hasher.update(f"{type(part).__name__}:{len(content)}:".encode() + content)
    return hasher.hexdigest()


def source_of(thing: object) -> str:
    """The source text of a function or class where Python has it, else its name."""
    try:
        return inspect.getsource(thing)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def parameter_count(module: nn.Module) -> int:
    """Number of parameters (buffers are not trained by gradients and do not count)."""
    return sum(parameter.numel() for parameter in module.parameters())


def _module(hasher: hashlib._Hash, module: nn.Module) -> None:
    """Classes with their source (where not torch's own), plain settings, and every tensor by name."""
    for name, child in module.named_modules():
        kind = type(child)
        hasher.update(f"{name}={kind.__module__}.{kind.__qualname__}({child.extra_repr()})".encode())
        if not kind.__module__.startswith("torch."):
            hasher.update(source_of(kind).encode())
        code = getattr(child, "code", None)
        if isinstance(code, str):
            hasher.update(code.encode())
        for key, value in sorted(vars(child).items()):
            if (
                not key.startswith("_")
                and key != "training"
                and isinstance(value, bool | int | float | str | tuple | list)
            ):
                hasher.update(f"{key}={value!r}".encode())
    for name, tensor in sorted({**dict(module.named_parameters()), **dict(module.named_buffers())}.items()):
        hasher.update(name.encode())
        _tensor(hasher, tensor)


def _tensor(hasher: hashlib._Hash, tensor: Tensor) -> None:
    plain = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    hasher.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
    hasher.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
