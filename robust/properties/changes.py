"""Changes of a whole input that a few numbers steer: light, contrast, bias fields, mixtures, haze, latent codes.

Each is a ``Parametrised`` input set around one sample ``x`` ``[*shape]``. ``clip`` is the range that inputs are clamped
to afterwards, as cameras and preprocessing do; None leaves them as they come.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.properties.affine_image import AffineImage
from robust.properties.input_sets import Box
from robust.properties.parametrised import End, Parametrised

Clip = tuple[End, End] | None
UNIT: Clip = (0.0, 1.0)


def brightness(x: Tensor, low: float, high: float, *, clip: Clip = UNIT) -> Parametrised:
    """``x + d`` with ``low <= d <= high``."""
    return _affine(x, [torch.ones_like(x)], [(low, high)], clip, "a change of brightness")


def contrast(
    x: Tensor, low: float, high: float, *, around: Literal["zero", "mean"] = "zero", clip: Clip = UNIT
) -> Parametrised:
    """``pivot + c (x - pivot)`` with ``low <= c <= high``; the pivot is 0, or the mean of all numbers of ``x``."""
    pivot = _pivot(x, around)
    return _affine(pivot, [x - pivot], [(low, high)], clip, "a change of contrast")


def brightness_and_contrast(
    x: Tensor,
    brightness: tuple[float, float],
    contrast: tuple[float, float],
    *,
    around: Literal["zero", "mean"] = "zero",
    clip: Clip = UNIT,
) -> Parametrised:
    """``pivot + c (x - pivot) + d``; parameters ``[d, c]``."""
    pivot = _pivot(x, around)
    basis = [torch.ones_like(x), x - pivot]
    return _affine(pivot, basis, [brightness, contrast], clip, "a change of brightness and contrast")


def bias_field(x: Tensor, order: int, amount: float, *, clip: Clip = UNIT) -> Parametrised:
    """``x (1 + sum_k c_k p_k)``: light that varies smoothly over an image ``[..., H, W]``.

    The ``p_k`` are the monomials ``v^i u^j`` with ``i + j <= order`` of the pixel's row and column, both scaled to
    ``[-1, 1]``, in the order ``(0, 0), (0, 1), ..., (1, 0), ...``; each ``|c_k| <= amount``. (Multiplicative bias
    fields: van Leemput et al., Automated model-based bias field correction of MR images, 1999.)

    Raises:
        PropertyError: fewer than two axes, a negative order or amount.
    """
    if x.ndim < 2:
        raise PropertyError("a bias field needs an image", wanted="[..., H, W]", got=tuple(x.shape))
    if isinstance(order, bool) or int(order) != order or order < 0:
        raise PropertyError("a bias field has an impossible order", wanted="an integer >= 0", got=order)
    if not 0 <= amount < math.inf:
        raise PropertyError("a bias field has an impossible amount", wanted="a finite number >= 0", got=amount)
    rows, columns = (torch.linspace(-1, 1, size, dtype=torch.float64) if size > 1 else _zero() for size in x.shape[-2:])
    fields = [rows[:, None] ** i * columns**j for i in range(order + 1) for j in range(order + 1 - i)]
    basis = [x * field.to(x) for field in fields]
    return _affine(x, basis, [(-amount, amount)] * len(basis), clip, "a bias field")


def convex_mixture(first: Tensor, second: Tensor, low: float = 0.0, high: float = 1.0) -> Parametrised:
    """``(1 - t) first + t second`` with ``low <= t <= high`` within ``[0, 1]``: everything between two inputs.

    Raises:
        PropertyError: inputs of different shapes, a share outside ``[0, 1]``.
    """
    if first.shape != second.shape:
        raise PropertyError("inputs to mix differ in shape", wanted=tuple(first.shape), got=tuple(second.shape))
    if not 0 <= low <= high <= 1:
        raise PropertyError("a mixture has impossible shares", wanted="0 <= low <= high <= 1", got=(low, high))
    return _affine(first, [second - first], [(low, high)], None, "a mixture")


def haze(x: Tensor, high: float, colour: float | Tensor = 1.0, *, low: float = 0.0) -> Parametrised:
    """``(1 - t) x + t colour`` with ``low <= t <= high`` within ``[0, 1]``: uniform fog.

    Args:
        x: ``[*shape]``.
        high: the thickest fog.
        colour: of the fog: one number, or anything that broadcasts over ``x``, such as ``[C, 1, 1]``.
        low: the thinnest fog.
    """
    try:
        fog = torch.as_tensor(colour).to(x).expand(x.shape)
    except RuntimeError as error:
        raise PropertyError("a colour of haze does not fit the input", wanted=tuple(x.shape), got=str(error)) from error
    return convex_mixture(x, fog, low, high)


def latent_box(generator: nn.Module, box: Box, *, clip: Clip = None) -> Parametrised:
    """Everything that a generator makes of latent codes in a box: ``generator`` maps ``[n, *box.shape]`` to inputs."""
    return Parametrised(generator, box, clip)


def _affine(
    offset: Tensor, basis: list[Tensor], ranges: list[tuple[float, float]], clip: Clip, what: str
) -> Parametrised:
    for low, high in ranges:
        if not -math.inf < low <= high < math.inf:
            raise PropertyError(f"{what} has an impossible range", wanted="finite low <= high", got=(low, high))
    ends = torch.tensor(ranges, dtype=torch.float64)
    image = AffineImage(offset, torch.stack(basis), Box(ends[:, 0], ends[:, 1]))
    return Parametrised(image.module(), image.box, clip)


def _pivot(x: Tensor, around: str) -> Tensor:
    if around not in ("zero", "mean"):
        raise PropertyError("contrast is changed around something else", wanted="zero or mean", got=around)
    return torch.zeros_like(x) if around == "zero" else x.mean().expand(x.shape)


def _zero() -> Tensor:
    return torch.zeros(1, dtype=torch.float64)
