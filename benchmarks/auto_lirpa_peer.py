"""auto_LiRPA (Xu et al. 2020) as a peer, where it is importable: the index's version 0.3 as well as today's.

Version 0.3 of 2022 installs with ``pip install --no-deps auto-lirpa==0.3`` (and ``appdirs``, ``tqdm``) in a scratch
environment; what it wants of numpy and torch of its time is put back here, before it is imported.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def load() -> Any | None:
    """The module, or None."""
    try:
        _put_back_what_is_gone()
        import auto_LiRPA
    except (ImportError, AttributeError):
        return None
    return auto_LiRPA


def version() -> str:
    """Its version, or a word that it has none."""
    module = sys.modules.get("auto_LiRPA")
    return str(getattr(module, "__version__", "of unknown version"))


def prepare(library: Any, module: nn.Module, x: Tensor) -> Any:
    """A bounded module; traced once for samples of the shape of ``x``."""
    return library.BoundedModule(module, x[:1].clone(), device="cpu")


def lower_bounds(
    library: Any, bounded: Any, x: Tensor, epsilon: float, matrices: Tensor, method: str
) -> Callable[[], Tensor]:
    """A call that gives lower bounds ``[n, m]`` of ``matrices @ logits`` over L-inf balls cut to [0, 1]."""
    ball = library.PerturbationLpNorm(
        norm=np.inf, eps=epsilon, x_L=(x - epsilon).clamp(0, 1), x_U=(x + epsilon).clamp(0, 1)
    )
    point = library.BoundedTensor(x, ball)
    name = {"interval": "IBP", "crown": "CROWN"}[method]

    def call() -> Tensor:
        with torch.no_grad():
            lower, _ = bounded.compute_bounds(x=(point,), C=matrices, method=name, bound_upper=name == "IBP")
        return lower

    return call


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
