"""auto_LiRPA (Xu et al. 2020) as a peer, where it is importable: the index's version 0.3 as well as today's.

Version 0.3 of 2022 installs with ``pip install --no-deps auto-lirpa==0.3`` (and ``appdirs``, ``tqdm``) in a scratch
environment; what it wants of numpy and torch of its time is put back here, before it is imported.
"""

from __future__ import annotations

import inspect
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NAMES = {"interval": "IBP", "crown-ibp": "CROWN-IBP", "crown": "CROWN", "alpha-crown": "CROWN-Optimized"}
"""Our names and theirs; zonotopes it has none."""


def load() -> Any | None:
    """The module, or None."""
    try:
        _put_back_what_is_gone()
        import auto_LiRPA
    except (ImportError, AttributeError):
        return None
    _accept_new_arguments(auto_LiRPA.BoundedModule)
    return auto_LiRPA


def version() -> str:
    """Its version, or a word that it has none."""
    module = sys.modules.get("auto_LiRPA")
    return str(getattr(module, "__version__", "of unknown version"))


def prepare(library: Any, module: nn.Module, x: Tensor, *, steps: int = 20, sparse: bool = True) -> Any:
    """A bounded module; traced once for samples of the shape of ``x``. Some networks need its sparse slopes off."""
    options: dict[str, Any] = {"optimize_bound_args": {"ob_iteration": steps, "ob_lr": 0.1, "ob_verbose": 0}}
    if not sparse:
        options |= dict.fromkeys(("sparse_features_alpha", "sparse_spec_alpha"), False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library.BoundedModule(module, x[:1].clone(), device="cpu", bound_opts=options)


def output_bounds(
    library: Any, bounded: Any, lower: Tensor, upper: Tensor, method: str
) -> Callable[[], tuple[Tensor, Tensor]]:
    """A call that gives lower and upper bounds ``[n, outputs]`` over float32 boxes ``[n, *shape]``."""
    ball = library.PerturbationLpNorm(norm=np.inf, x_L=lower, x_U=upper)
    point = library.BoundedTensor((lower + upper) / 2, ball)
    name = NAMES[method]

    def call() -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(name == "CROWN-Optimized"):
            low, high = bounded.compute_bounds(x=(point,), method=name)
        return low.detach(), high.detach()

    return call


def margins(library: Any, bounded: Any, lower: Tensor, upper: Tensor, matrix: Tensor) -> Tensor:
    """CROWN's lower bounds ``[n, m]`` of ``matrix @ outputs``, ``matrix`` ``[n, m, outputs]``; no upper ones."""
    ball = library.PerturbationLpNorm(norm=np.inf, x_L=lower, x_U=upper)
    point = library.BoundedTensor((lower + upper) / 2, ball)
    with torch.no_grad():
        low, _ = bounded.compute_bounds(x=(point,), C=matrix, method="CROWN", bound_upper=False)
    return low.detach()


def _put_back_what_is_gone() -> None:
    import torch.onnx.symbolic_helper as helper

    if "numpy.lib.arraysetops" not in sys.modules:
        module = types.ModuleType("numpy.lib.arraysetops")
        module.isin = np.isin  # type: ignore[attr-defined]
        sys.modules["numpy.lib.arraysetops"] = module
    if not hasattr(np, "bool"):
        np.bool = np.bool_  # type: ignore[attr-defined]
    if not hasattr(helper, "_set_opset_version"):
        from torch.onnx._internal.torchscript_exporter._globals import GLOBALS

        def set_version(version: int) -> None:
            GLOBALS.export_onnx_opset_version = version

        helper._set_opset_version = set_version
    if not hasattr(torch._C.Node, "__getitem__"):
        torch._C.Node.__getitem__ = helper._node_get


def _accept_new_arguments(bounded: Any) -> None:
    """torch hands ``remove_duplicate`` to a method that version 0.3 overrides without it."""
    if "remove_duplicate" in inspect.signature(bounded._named_members).parameters:
        return
    old = bounded._named_members

    def members(self: Any, *arguments: Any, remove_duplicate: bool = True, **named: Any) -> Any:
        return old(self, *arguments, **named)

    bounded._named_members = members
