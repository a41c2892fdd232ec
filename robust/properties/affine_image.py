"""Affine images of boxes (zonotopes): ``{offset + basis z : z in box}``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.properties.input_sets import Box

MEMBERSHIP_TOLERANCE = 1e-7
"""By how much a member may miss the image in any coordinate, relative to its largest number."""


class AffineMap(nn.Module):
    """``z [n, p] -> offset + sum_i z_i basis_i``, ``[n, *shape]``; its numbers are buffers, in float32 by default.

    Args:
        offset: ``[*shape]``.
        basis: ``[p, *shape]``, one direction per parameter.
    """

    def __init__(self, offset: Tensor, basis: Tensor) -> None:
        super().__init__()
        _check_map(offset, basis)
        self.shape = tuple(offset.shape)
        self.register_buffer("offset", offset.detach().flatten().clone())
        self.register_buffer("matrix", basis.detach().flatten(1).T.contiguous())

    def forward(self, z: Tensor) -> Tensor:
        """``[n, p] -> [n, *shape]``."""
        flat = nn.functional.linear(z, self.get_buffer("matrix"), self.get_buffer("offset"))
        return flat.reshape(len(z), *self.shape)


@dataclass(frozen=True, eq=False)
class AffineImage:
    """``{offset + sum_i z_i basis_i : z in box}``: a zonotope.

    Attributes:
        offset: ``[*shape]``.
        basis: ``[p, *shape]``.
        box: of the parameters, ``[p]``.

    Raises:
        PropertyError: shapes that do not fit, numbers that are not finite.
    """

    offset: Tensor
    basis: Tensor
    box: Box

    def __post_init__(self) -> None:
        _check_map(self.offset, self.basis)
        if self.box.shape != (len(self.basis),):
            raise PropertyError(
                "an affine image needs one interval per direction", wanted=(len(self.basis),), got=self.box.shape
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.offset.shape)

    def module(self) -> AffineMap:
        """From parameters ``[n, p]`` to inputs ``[n, *shape]``."""
        return AffineMap(self.offset, self.basis)

    def bounding_box(self) -> Box:
        """The smallest enclosing box, in float64, with slack for the rounding of its sums."""
        basis, offset = self.basis.double(), self.offset.double()
        flat = basis.flatten(1).T
        low, high = (sign * self.box.minimum(sign * flat).reshape(offset.shape) for sign in (1, -1))
        largest = torch.maximum(self.box.lower.abs(), self.box.upper.abs()).double()
        size = offset.abs() + (flat.abs() @ largest.to(flat)).reshape(offset.shape)
        slack = (2 + len(basis)) * torch.finfo(torch.float64).eps * size
        return Box(offset + low - slack, offset + high + slack)

    def minimum(self, coefficients: Tensor) -> Tensor:
        """Exact minimum up to rounding, ``[m, *shape] -> [m]``: that of ``basis^T a`` over the box of parameters."""
        flat = coefficients.flatten(1)
        return flat @ self.offset.to(flat).flatten() + self.box.minimum(flat @ self.basis.to(flat).flatten(1).T)

    def contains(self, x: Tensor) -> Tensor:
        """Membership of ``[n, *shape]`` within ``MEMBERSHIP_TOLERANCE``, by one linear programme per point."""
        return torch.tensor([self._misses(point) <= MEMBERSHIP_TOLERANCE for point in x], device=x.device)

    def _misses(self, point: Tensor) -> float:
        """The smallest possible largest coordinate of ``offset + basis z - point``, relative to the numbers' size."""
        from scipy.optimize import linprog  # heavy, and only membership needs it

        if not bool(torch.isfinite(point).all()):
            return float("inf")
        target = (point.double() - self.offset.double()).flatten().cpu()
        matrix = self.basis.double().flatten(1).T.cpu()
        scale = max(1e-30, float(point.abs().max()), float(self.offset.abs().max()), float(target.abs().max()))
        one = torch.ones(len(target), 1, dtype=torch.float64)
        rows = torch.cat([torch.cat([matrix, -one * scale], 1), torch.cat([-matrix, -one * scale], 1)])
        limits = torch.cat([target, -target])
        ends = [*zip(self.box.lower.tolist(), self.box.upper.tolist(), strict=True), (0, None)]
        cost = [0.0] * matrix.shape[1] + [1.0]
        solved = linprog(cost, A_ub=rows.numpy(), b_ub=limits.numpy(), bounds=ends)
        if not solved.success:
            return float("inf")
        z = self.box.clamp(torch.from_numpy(solved.x[:-1].copy())[None])[0]
        return float((matrix @ z.to(matrix) - target).abs().max()) / scale


def _check_map(offset: Tensor, basis: Tensor) -> None:
    if basis.ndim != offset.ndim + 1 or basis.shape[1:] != offset.shape or not len(basis):
        raise PropertyError(
            "directions of an affine image do not fit its offset",
            wanted=f"basis [p, {', '.join(map(str, offset.shape))}] with p >= 1",
            got=f"basis {tuple(basis.shape)}",
        )
    if not bool(torch.isfinite(offset).all() and torch.isfinite(basis).all()):
        raise PropertyError("an affine image has a number that is NaN or infinite", wanted="finite numbers")
