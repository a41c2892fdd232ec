"""A module while it runs: which part is at work, and in which mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def watching_places(module: nn.Module, places: list[str]) -> Iterator[None]:
    """Keep in ``places`` the stack of submodules that are running, by forward hooks that are removed again."""
    handles = []
    for name, child in module.named_modules():
        label = f"{name or 'the model itself'} ({type(child).__name__})"

        def enter(_child: nn.Module, _args: Any, label: str = label) -> None:
            places.append(label)

        def leave(_child: nn.Module, _args: Any, _result: Any) -> None:
            places.pop()

        handles += [child.register_forward_pre_hook(enter), child.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for every submodule, and afterwards the mode that each had."""
    modes: Sequence[tuple[nn.Module, bool]] = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, mode in modes:
            child.training = mode
