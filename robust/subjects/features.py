"""The input of the last affine layer: the features that a network itself decides by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


def penultimate(network: nn.Module, x: Tensor) -> Tensor | None:
    """What goes into the last product with constant weights (linear, matrix product, convolution).

    Args:
        network: in evaluation mode.
        x: ``[n, ...]``.

    Returns:
        ``[n, d]``, detached; None where no such layer was seen.
    """
    constants = {tensor.untyped_storage().data_ptr() for tensor in [*network.parameters(), *network.buffers()]}
    with torch.no_grad(), _Watch(constants) as watch:
        network(x)
    found = watch.last
    if found is None or not found.numel() or found.shape[0] % x.shape[0]:
        return None
    features: Tensor = found.reshape(x.shape[0], -1).detach()
    return features


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the data operand of the last product with a constant."""

    def __init__(self, constants: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.constants = constants
        self.last: Tensor | None = None

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        place = _OPERANDS.get(func.overloadpacket.__name__)
        if place is not None:
            data, weight = args[place], args[place + 1]
            if self._constant(weight) and not self._constant(data):
                self.last = data
            elif self._constant(data) and not self._constant(weight) and weight.ndim == 2:
                self.last = weight.t()
        return func(*args, **(kwargs or {}))

    def _constant(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self.constants


_OPERANDS = {"addmm": 1, "mm": 0, "linear": 0, "convolution": 0, "mv": 0}
"""ATen product -> place of its data operand; the weight follows."""
