"""Rotation, scaling and translation of an image: the range of parameters is cut into cells, each bounded by a box.

An output pixel ``p`` is read from ``centre + R(-angle) (p - centre - shift) / scale`` of the image, by bilinear
interpolation with zeros outside, as ``torch.nn.functional.grid_sample(align_corners=False)`` does. Over a cell these
coordinates lie in a rectangle (exact for a rotation alone), over which the interpolant's range is exact
(``interpolation.py``). (Cells of parameters: Singh et al., DeepPoly, 2019, section 6; Balunovic et al., DeepG, 2019.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.properties.balls import check_inside
from robust.properties.input_sets import Box
from robust.properties.interpolation import bilinear_range
from robust.properties.rounding import outward
from robust.properties.union import Union, check_count

Interval = tuple[float, float]
COORDINATE_SLACK = 1e-6
"""Rounding of sampling coordinates, relative to the image's longer side: enough for ``grid_sample`` in float32."""
VALUE_SLACK = 1e-6
"""Rounding of interpolated values, relative to the largest number of the image: likewise."""


@dataclass(frozen=True)
class Motion:
    """Ranges of the four parameters.

    Attributes:
        angle: in degrees; positive turns counter-clockwise as people see the picture (rows grow downwards).
        scale: above 1 enlarges; positive.
        rows: downward shift in pixels.
        columns: shift to the right in pixels.

    Raises:
        PropertyError: an inverted, NaN or infinite range, a scale that is not positive.
    """

    angle: Interval = (0.0, 0.0)
    scale: Interval = (1.0, 1.0)
    rows: Interval = (0.0, 0.0)
    columns: Interval = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name, (low, high) in zip(("angle", "scale", "rows", "columns"), self.ranges, strict=True):
            if not -math.inf < low <= high < math.inf or (name == "scale" and low <= 0):
                raise PropertyError(
                    f"a motion has an impossible range of {name}",
                    wanted="finite low <= high" + (", both above 0" if name == "scale" else ""),
                    got=(low, high),
                )

    @property
    def ranges(self) -> tuple[Interval, Interval, Interval, Interval]:
        """Angle, scale, rows, columns."""
        return (self.angle, self.scale, self.rows, self.columns)

    def cells(self, counts: Sequence[int]) -> list[Motion]:
        """Equal cells, ``counts`` per parameter, the last parameter fastest; neighbours share their edges.

        Raises:
            PropertyError: not four counts of at least 1.
        """
        if len(counts) != 4 or any(isinstance(count, bool) or int(count) != count or count < 1 for count in counts):
            raise PropertyError("a motion is cut into impossible cells", wanted="four integers >= 1", got=counts)
        parts = [_edges(*ends, count) for ends, count in zip(self.ranges, counts, strict=True)]
        return [Motion(*cell) for cell in itertools.product(*parts)]


def moved(x: Tensor, motion: Motion, cells: Sequence[int], box: Box) -> Union:
    """All images that a motion within the ranges makes of ``x``: one ``Box`` per cell, in the order of ``cells``.

    Interpolated values are clamped to the input box, as the images of the property are.

    Args:
        x: ``[..., H, W]``, inside ``box``.
        motion: ranges of the parameters.
        cells: how many per parameter: angle, scale, rows, columns. More cells, narrower boxes.
        box: the input box; it must contain 0, which comes in from outside the picture.

    Raises:
        PropertyError: no image, an image or 0 outside the box, impossible cells.
    """
    if x.ndim < 2:
        raise PropertyError("a motion needs an image", wanted="[..., H, W]", got=tuple(x.shape))
    check_inside(x, box, "the image to move")
    if bool((box.lower > 0).any() or (box.upper < 0).any()):
        raise PropertyError(
            "a motion brings zeros in from outside the picture, and 0 lies outside the input box",
            wanted="an input box that contains 0",
            hint="shift the inputs so that 0 is the background",
        )
    check_count(math.prod(cells), x, "fewer cells")
    return Union(tuple(_cell_box(x, cell, box) for cell in motion.cells(cells)))


def rotation(x: Tensor, low: float, high: float, *, cells: int, box: Box) -> Union:
    """Rotations about the picture's centre by ``low`` to ``high`` degrees, counter-clockwise."""
    return moved(x, Motion(angle=(low, high)), (cells, 1, 1, 1), box)


def scaling(x: Tensor, low: float, high: float, *, cells: int, box: Box) -> Union:
    """Enlargements about the picture's centre by factors from ``low`` to ``high``."""
    return moved(x, Motion(scale=(low, high)), (1, cells, 1, 1), box)


def translation(x: Tensor, rows: Interval, columns: Interval, *, cells: tuple[int, int], box: Box) -> Union:
    """Shifts down and to the right by fractions of pixels; cells per axis."""
    return moved(x, Motion(rows=rows, columns=columns), (1, 1, *cells), box)


def transformed(x: Tensor, angle: float, scale: float = 1.0, rows: float = 0.0, columns: float = 0.0) -> Tensor:
    """One image of a motion, by ``grid_sample`` in the arithmetic of ``x`` ``[..., H, W]``; same shape, not clamped."""
    height, width = x.shape[-2:]
    theta = math.radians(angle)
    cos, sin = math.cos(theta) / scale, math.sin(theta) / scale
    down, right = _offsets(height, width)
    v, u = (down - rows).to(x), (right - columns).to(x)
    grid = torch.stack([2 * (cos * u - sin * v) / width, 2 * (sin * u + cos * v) / height], 1)
    image = x.reshape(1, -1, height, width)
    found = torch.nn.functional.grid_sample(image, grid.reshape(1, height, width, 2), align_corners=False)
    return found.reshape(x.shape)


def _cell_box(x: Tensor, cell: Motion, box: Box) -> Box:
    height, width = x.shape[-2:]
    image = x.double().reshape(-1, height, width)
    source_rows, source_columns = _coordinates(cell, height, width, x.device)
    low, high = bilinear_range(image, *source_rows, *source_columns)
    slack = VALUE_SLACK * float(image.abs().max())
    ends = (box.lower.to(x.device).double(), box.upper.to(x.device).double())
    lower, upper = ((value.reshape(x.shape)).clamp(*ends) for value in (low - slack, high + slack))
    return Box(outward(lower, x.dtype, down=True), outward(upper, x.dtype, down=False))


def _coordinates(
    cell: Motion, height: int, width: int, device: torch.device
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Ranges of the source coordinates of all pixels, row and column, each two of ``[H * W]``.

    With ``q = p - centre``: ``(R(-angle) q)`` is exact per pixel, ``r cos(angle - phase)``; the shift's part is
    bounded apart and added; then both are divided by the scale.
    """
    v, u = _offsets(height, width)
    first, last = math.radians(cell.angle[0]), math.radians(cell.angle[1])
    cos, sin = _cosine(*_pair((first, last))), _cosine(*_pair((first - math.pi / 2, last - math.pi / 2)))
    down, right, shrink = _pair(cell.rows), _pair(cell.columns), _pair((1 / cell.scale[1], 1 / cell.scale[0]))
    length = torch.hypot(u, v)
    # row: u sin + v cos = r cos(angle - atan2(u, v));  column: u cos - v sin = r cos(angle + atan2(v, u))
    turned = [_cosine(first - phase, last - phase) for phase in (torch.atan2(u, v), -torch.atan2(v, u))]
    shifts = [
        _sum(_times(right, sin), _times(down, cos)),
        _sum(_times(right, cos), _negative(_times(down, sin))),
    ]
    slack = COORDINATE_SLACK * max(height, width)
    results = []
    for (low, high), shift, size in zip(turned, shifts, (height, width), strict=True):
        near, far = _times(_sum((length * low, length * high), _negative(shift)), shrink)
        middle = (size - 1) / 2
        results.append(((near + middle - slack).to(device), (far + middle + slack).to(device)))
    return results[0], results[1]


def _offsets(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, from the picture's centre, ``[H * W]`` each, float64."""
    rows = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    columns = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    return rows[:, None].expand(-1, width).flatten(), columns.expand(height, -1).flatten()


Pair = tuple[Tensor, Tensor]


def _cosine(low: Tensor, high: Tensor) -> Pair:
    """The exact range of the cosine between ``low`` and ``high``, up to rounding."""
    ends = torch.stack([low.cos(), high.cos()])
    turn = 2 * math.pi
    peak = (high / turn).floor() >= (low / turn).ceil()
    valley = ((high - math.pi) / turn).floor() >= ((low - math.pi) / turn).ceil()
    least, most = ends.amin(0), ends.amax(0)
    return torch.where(valley, -torch.ones_like(least), least), torch.where(peak, torch.ones_like(most), most)


def _pair(ends: Interval) -> Pair:
    low, high = torch.tensor(ends, dtype=torch.float64)[:, None]
    return low, high


def _sum(a: Pair, b: Pair) -> Pair:
    return a[0] + b[0], a[1] + b[1]


def _negative(a: Pair) -> Pair:
    return -a[1], -a[0]


def _times(a: Pair, b: Pair) -> Pair:
    corners = [x * y for x in a for y in b]
    products = torch.stack([corner.expand(max(map(len, corners))) for corner in corners])
    return products.amin(0), products.amax(0)


def _edges(low: float, high: float, count: int) -> list[Interval]:
    edges = [low + (high - low) * place / count for place in range(count)] + [high]
    return list(itertools.pairwise(edges))
