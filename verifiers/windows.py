"""Functions of a few neighbouring elements of a picture: where they lie, and what convolutions do to them.

A neuron of a convolutional layer sees a small window of every layer below. Its coefficients on such a layer are kept as
that window alone, ``[channels, height, width]`` at a place of its own, until the window has grown to the whole picture
(patches: Xu et al., Automatic Perturbation Analysis for Scalable Certified Robustness and Beyond, 2020, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from robust.graph import Node
from verifiers.transposed import transposed

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Window:
    """Where the windows of many functions lie in pictures ``[channels, *grid]``.

    The window of a function that started at ``(row, column)`` has its corner at ``stride * start + shift``; parts of
    it may lie outside of the picture.

    Attributes:
        rows: int64 ``[n or 1, m]``, where each function started.
        columns: int64 ``[n or 1, m]``.
        stride: of the starts, in this picture's pixels.
        shift: of the corner.
        size: height and width.
        channels: of the picture.
        grid: height and width of the picture.
    """

    rows: Tensor
    columns: Tensor
    stride: Pair
    shift: Pair
    size: Pair
    channels: int
    grid: Pair

    @property
    def elements(self) -> int:
        """Of one window."""
        return self.channels * self.size[0] * self.size[1]

    @property
    def whole(self) -> bool:
        """Whether a window has as many elements as the picture, so that it saves nothing."""
        return self.size[0] * self.size[1] * 2 > self.grid[0] * self.grid[1]

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        device = self.rows.device
        found = []
        for starts, axis in ((self.rows, 0), (self.columns, 1)):
            steps = torch.arange(self.size[axis], device=device) + self.shift[axis]
            places = starts[..., None] * self.stride[axis] + steps
            found += [places, (places >= 0) & (places < self.grid[axis])]
        return found[0], found[1], found[2], found[3]

    @cached_property
    def inside(self) -> Tensor:
        """Which places lie inside of the picture: bool ``[n or 1, m, 1, height, width]``."""
        _, rows, _, columns = self._axes
        return (rows[..., :, None] & columns[..., None, :])[:, :, None]

    @cached_property
    def index(self) -> Tensor:
        """Flat places in the picture, ``[n or 1, m, elements]``; those outside point to its first element."""
        rows, _, columns, _ = self._axes
        flat = (rows[..., :, None] * self.grid[1] + columns[..., None, :])[:, :, None]
        planes = torch.arange(self.channels, device=flat.device)[:, None, None] * (self.grid[0] * self.grid[1])
        return torch.where(self.inside, flat + planes, 0).flatten(2)

    def pick(self, picture: Tensor) -> Tensor:
        """The windows of pictures ``[n or 1, elements of the picture]``: ``[n or 1, m, elements]``."""
        functions = self.rows.shape[1]
        if len(picture) == 1:
            return picture[0][self.index]
        index = self.index.expand(len(picture), -1, -1).reshape(len(picture), -1)
        return picture.gather(1, index).reshape(len(picture), functions, self.elements)

    def masked(self, values: Tensor) -> Tensor:
        """Zero what lies outside, in ``[n or 1, m, elements]``."""
        shaped = values.reshape(*values.shape[:2], self.channels, *self.size)
        return (shaped * self.inside).flatten(2)

    def dense(self, values: Tensor) -> Tensor:
        """Windows ``[n or 1, m, elements]`` (zero outside) as pictures ``[n or 1, m, elements of the picture]``."""
        result = values.new_zeros(*values.shape[:2], self.channels * self.grid[0] * self.grid[1])
        return result.scatter_add_(2, self.index.expand(len(values), -1, -1), values)

    def below(self, node: Node, channels: int, grid: Pair) -> Window:
        """The windows that a convolution reads to fill these."""
        a, kernel = node.arguments, node.arguments["weight"].shape[2:]
        stride, padding, dilation = (_pair(a[name]) for name in ("stride", "padding", "dilation"))
        return replace(
            self,
            stride=(self.stride[0] * stride[0], self.stride[1] * stride[1]),
            shift=(self.shift[0] * stride[0] - padding[0], self.shift[1] * stride[1] - padding[1]),
            size=(
                (self.size[0] - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1,
                (self.size[1] - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1,
            ),
            channels=channels,
            grid=grid,
        )

    def repeated(self) -> Window:
        """The same windows once more, for as many further functions."""
        rows, columns = (torch.cat([starts, starts], 1) for starts in (self.rows, self.columns))
        return replace(self, rows=rows, columns=columns)

    def around(self, other: Window) -> Window:
        """The smallest windows that hold these and those of the same functions elsewhere."""
        shift = (min(self.shift[0], other.shift[0]), min(self.shift[1], other.shift[1]))
        ends = [max(one.shift[i] + one.size[i] for one in (self, other)) for i in (0, 1)]
        return replace(self, shift=shift, size=(ends[0] - shift[0], ends[1] - shift[1]))

    def grown(self, values: Tensor, larger: Window) -> Tensor:
        """The same windows ``[n or 1, m, elements]`` inside of larger ones, with zeros around."""
        top, left = self.shift[0] - larger.shift[0], self.shift[1] - larger.shift[1]
        shaped = values.reshape(*values.shape[:2], self.channels, *self.size)
        bottom, right = larger.size[0] - top - self.size[0], larger.size[1] - left - self.size[1]
        return torch.nn.functional.pad(shaped, (left, right, top, bottom)).flatten(2)


def start_of(places: Tensor, node: Node) -> Window:
    """Windows of one pixel around elements ``[n, m]`` of a picture node."""
    channels, height, width = node.rest
    pixel = places % (height * width)
    rows, columns = torch.div(pixel, width, rounding_mode="floor"), pixel % width
    return Window(rows, columns, (1, 1), (0, 0), (1, 1), channels, (height, width))


def is_picture(node: Node) -> bool:
    """Whether a node's samples are ``[channels, height, width]``."""
    return node.factor == 1 and len(node.rest) == 3


def is_plain_convolution(node: Node) -> bool:
    """Whether windows pass through the node."""
    return node.op == "convolution" and is_picture(node) and not node.arguments["transposed"]


def convolution_adjoint(node: Node, values: Tensor, window: Window, below: Window) -> Tensor:
    """Coefficients ``[n or 1, m, elements]`` on windows of a convolution's operand, not masked yet."""
    samples, rows, _ = values.shape
    shaped = values.reshape(samples * rows, window.channels, *window.size)
    return transposed(node, shaped, (0, 0), below.size).reshape(samples, rows, -1)


def _pair(value: list[int]) -> Pair:
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])
