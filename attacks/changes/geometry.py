"""Changes of where things are: rotation, zoom and shift; elastic deformation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.changes.change import Change, Interval, check_range, require_picture
from robust.errors import UsageError


class Moving(Change):
    """Rotation, zoom and shift by bilinear interpolation with zeros outside: ``robust.properties.geometry``'s motion,
    so that what is found here is a point of the set that is verified there.

    (As an attack: Engstrom et al., Exploring the Landscape of Spatial Robustness, 2019.)

    Args:
        angle: degrees, counter-clockwise.
        scale: above 1 enlarges.
        rows: downward shift in pixels.
        columns: shift to the right in pixels.
    """

    name = "motion"

    def __init__(
        self,
        *,
        angle: Interval = (0.0, 0.0),
        scale: Interval = (1.0, 1.0),
        rows: Interval = (0.0, 0.0),
        columns: Interval = (0.0, 0.0),
    ) -> None:
        self.angle, self.scale = check_range("angles", angle), check_range("scales", scale, 1e-3)
        self.rows, self.columns = check_range("shifts", rows), check_range("shifts", columns)

    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Angle, scale, rows, columns."""
        require_picture(shape, "a motion")
        return (self.angle, self.scale, self.rows, self.columns)

    def neutral(self, shape: Sequence[int]) -> Tensor:
        """No motion."""
        return torch.tensor([0.0, 1.0, 0.0, 0.0])

    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Moved pictures."""
        height, width = x.shape[-2:]
        angle, scale, rows, columns = parameters.to(x).unbind(1)
        theta = torch.deg2rad(angle)
        cos, sin = (theta.cos() / scale)[:, None, None], (theta.sin() / scale)[:, None, None]
        down = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] - (height - 1) / 2
        right = torch.arange(width, device=x.device, dtype=x.dtype) - (width - 1) / 2
        v, u = down - rows[:, None, None], right - columns[:, None, None]
        return _read(x, sin * u + cos * v, cos * u - sin * v)

    def words(self) -> dict[str, Interval]:
        """By name."""
        return {"angle": self.angle, "scale": self.scale, "rows": self.rows, "columns": self.columns}


class Elastic(Change):
    """Smooth deformation: displacements at a coarse lattice of knots, bilinear between them.

    (Deformations as attacks: Xiao et al., Spatially Transformed Adversarial Examples, 2018; Alaifari et al., ADef,
    2019.)

    Args:
        pixels: largest displacement of a knot along each axis.
        knots: along each side of the picture, at least 2.
    """

    name = "elastic"

    def __init__(self, *, pixels: float, knots: int = 4) -> None:
        check_range("displacements", (0.0, pixels))
        if isinstance(knots, bool) or int(knots) != knots or knots < 2:
            raise UsageError("an elastic deformation needs knots", wanted="an integer of at least 2", got=knots)
        self.pixels, self.knots = float(pixels), int(knots)

    def ranges(self, shape: Sequence[int]) -> tuple[Interval, ...]:
        """Rows of all knots, then columns of all knots."""
        require_picture(shape, "an elastic deformation")
        return ((-self.pixels, self.pixels),) * (2 * self.knots**2)

    def neutral(self, shape: Sequence[int]) -> Tensor:
        """No displacement."""
        return torch.zeros(2 * self.knots**2)

    def apply(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Deformed pictures."""
        height, width = x.shape[-2:]
        coarse = parameters.to(x).reshape(-1, 2, self.knots, self.knots)
        field = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
        down = torch.arange(height, device=x.device, dtype=x.dtype)[:, None] - (height - 1) / 2
        right = torch.arange(width, device=x.device, dtype=x.dtype) - (width - 1) / 2
        return _read(x, down + field[:, 0], right + field[:, 1])

    def words(self) -> dict[str, Interval]:
        """By name."""
        return {"displacement": (-self.pixels, self.pixels)}


def _read(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pictures read at places ``[n, H, W]``, in pixels from the centre; zeros outside."""
    height, width = x.shape[-2:]
    grid = torch.stack([2 * columns / width, 2 * rows / height], 3)
    image = x.reshape(len(x), -1, height, width)
    return torch.nn.functional.grid_sample(image, grid, align_corners=False).reshape(x.shape)
