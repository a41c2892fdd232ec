"""From input units to what the network was trained on. Part of the subject, so that an epsilon means input units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from robust.errors import ModelShapeError, UsageError
from robust.subjects.box import Numbers, spread

ChannelOrder = Literal["rgb", "bgr"]
Layout = Literal["auto", "nchw", "nhwc"]


class Preprocessing(nn.Module):
    """``(x * scale - mean) / std``, then channels reversed, moved last, or the sample reshaped, where asked.

    Args:
        shape: shape of one sample in input units.
        mean, std, scale: one number, one per channel (in the order of the input's channels), or of the whole shape.
        channel_order: ``bgr`` reverses the channels for the network.
        layout: ``nhwc`` moves the channels of ``[n, c, h, w]`` last for the network.
        target: shape of one sample for the network, if it differs.

    Raises:
        ModelShapeError: numbers that do not fit the shape.
        UsageError: a standard deviation or scale of zero, or an order of channels for something without channels.
    """

    scale: Tensor | None
    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        shape: Sequence[int],
        *,
        mean: Numbers | None = None,
        std: Numbers | None = None,
        scale: Numbers | None = None,
        channel_order: ChannelOrder = "rgb",
        layout: Layout = "nchw",
        target: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        for name, values in (("scale", scale), ("mean", mean), ("std", std)):
            tensor = None if values is None else spread(values, shape, name)
            if tensor is not None and (
                not bool(torch.isfinite(tensor).all()) or (name != "mean" and bool((tensor == 0).any()))
            ):
                raise UsageError(f"the preprocessing cannot use this {name}", wanted="finite, not zero", got=values)
            self.register_buffer(name, tensor)
        if channel_order not in ("rgb", "bgr"):
            raise UsageError("channel_order has an unknown value", wanted="rgb or bgr", got=channel_order)
        if channel_order == "bgr" and (len(shape) != 3 or shape[0] != 3):
            raise ModelShapeError("channels can be reversed in RGB pictures only", wanted="[3, h, w]", got=list(shape))
        self.reverse = channel_order == "bgr"
        self.channels_last = layout == "nhwc"
        self.target = None if target is None or tuple(target) == tuple(shape) else tuple(target)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, *shape]`` to ``[n, *target]``."""
        if self.scale is not None:
            x = x * self.scale
        if self.mean is not None:
            x = x - self.mean
        if self.std is not None:
            x = x / self.std
        if self.reverse:
            x = x.flip(1)
        if self.channels_last:
            x = x.permute(0, 2, 3, 1)
        if self.target is not None:
            x = x.reshape(x.shape[0], *self.target)
        return x

    def extra_repr(self) -> str:
        """What it does, for the digest and for people."""
        parts = [
            f"{name}={getattr(self, name).tolist()}"
            for name in ("scale", "mean", "std")
            if getattr(self, name) is not None
        ]
        flags = [name for name in ("reverse", "channels_last") if getattr(self, name)]
        return ", ".join([*parts, *flags, *([f"target={list(self.target)}"] if self.target else [])])


def _usable(tensor: Tensor, *, zero: bool) -> bool:
    return bool(torch.isfinite(tensor).all()) and (zero or not bool((tensor == 0).any()))


class AffineInput(nn.Module):
    """``x * width + lower``: from shares of a column's range to its units."""

    lower: Tensor
    width: Tensor

    def __init__(self, lower: Tensor, width: Tensor) -> None:
        super().__init__()
        self.register_buffer("lower", lower)
        self.register_buffer("width", width)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, *shape]`` to the same shape."""
        return x * self.width + self.lower
