"""Resizing by interpolation: one matrix per axis, or torch's own where it means the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from robust.graph.onnx_operators.operator import Node, Operator, Table


def _resize(node: Node, x: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None) -> Tensor:
    if node.op == "Upsample" or node.opset < 11:
        scales, sizes = (node.get("scales") if roi is None else roi), None
    mode = node.get("mode", "nearest")
    how = node.get("coordinate_transformation_mode", "half_pixel") if node.opset >= 11 else "asymmetric"
    rounding = node.get("nearest_mode", "round_prefer_floor") if node.opset >= 11 else "simple"
    if node.get("antialias", 0) or node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.refuse("antialias or an aspect ratio policy")
    axes = [axis % x.ndim for axis in node.get("axes", range(x.ndim))]
    size, factor = list(x.shape), [1.0] * x.ndim
    for place, axis in enumerate(axes):
        if sizes is not None and np.size(sizes):
            size[axis] = int(np.asarray(sizes).reshape(-1)[place]) if axis else x.shape[0]
            factor[axis] = size[axis] / x.shape[axis]
        else:
            factor[axis] = float(np.asarray(scales).reshape(-1)[place])
            size[axis] = math.floor(x.shape[axis] * factor[axis])
    quick = _by_torch(x, size, factor, mode, how, rounding)
    if quick is not None:
        return quick
    for axis in range(x.ndim):
        if size[axis] != x.shape[axis] or factor[axis] != 1.0:
            x = _along(node, x, axis, size[axis], factor[axis], mode, how, rounding)
    return x


def _by_torch(x: Tensor, size: list[int], factor: list[float], mode: str, how: str, rounding: str) -> Tensor | None:
    """torch's interpolation where its meaning is the same, else None."""
    exact = all(abs(out - length * scale) < 1e-4 for out, length, scale in zip(size, x.shape, factor, strict=True))
    if x.ndim not in (3, 4, 5) or size[:2] != list(x.shape[:2]) or not exact:
        return None
    down = rounding == "floor" or (rounding == "simple" and min(factor) >= 1)
    if mode == "nearest" and how == "asymmetric" and down:
        return F.interpolate(x, size=size[2:], mode="nearest")
    half = how == "half_pixel" or (how == "pytorch_half_pixel" and min(size[2:]) > 1)
    if mode == "linear" and (half or how == "align_corners"):
        name = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]
        return F.interpolate(x, size=size[2:], mode=name, align_corners=how == "align_corners")
    return None


def _along(node: Node, x: Tensor, axis: int, size: int, factor: float, mode: str, how: str, rounding: str) -> Tensor:
    places = _source_places(node, x.shape[axis], size, factor, how)
    if mode == "nearest":
        if rounding == "simple":  # what onnxruntime does where the operator set says nothing
            rounding = "ceil" if factor < 1 else "floor"
        picked = _round(node, places, rounding).clip(0, x.shape[axis] - 1).astype(np.int64)
        return x.index_select(axis, torch.as_tensor(picked, device=x.device))
    if mode == "linear":
        matrix = _linear_matrix(places, x.shape[axis])
    elif mode == "cubic" and not node.get("exclude_outside", 0):
        matrix = _cubic_matrix(places, x.shape[axis], node.get("cubic_coeff_a", -0.75))
    else:
        raise node.refuse(f"mode {mode!r}")
    weights = torch.as_tensor(matrix, dtype=x.dtype, device=x.device)
    return F.linear(x.movedim(axis, -1), weights).movedim(-1, axis)


def _source_places(node: Node, length: int, size: int, factor: float, how: str) -> NDArray[np.float64]:
    """Where each output falls between the inputs; in float32 as runtimes do, since ties decide."""
    out, scale = np.arange(size, dtype=np.float32), np.float32(factor)
    return _transformed(node, out, length, size, scale, how).astype(np.float64)


def _transformed(
    node: Node, out: NDArray[np.float32], length: int, size: int, factor: np.float32, how: str
) -> NDArray[np.floating[Any]]:
    if how == "half_pixel" or (how == "pytorch_half_pixel" and size > 1):
        return (out + np.float32(0.5)) / factor - np.float32(0.5)
    if how == "pytorch_half_pixel":
        return np.zeros(size)
    if how == "align_corners":
        return out * (length - 1) / (size - 1) if size > 1 else np.zeros(size)
    if how == "asymmetric":
        return out / factor
    raise node.refuse(f"coordinate_transformation_mode {how!r}")


def _round(node: Node, places: NDArray[np.float64], rounding: str) -> NDArray[np.float64]:
    if rounding == "floor":
        return np.floor(places)
    if rounding == "ceil":
        return np.ceil(places)
    if rounding == "round_prefer_floor":
        return np.ceil(places - 0.5)
    if rounding == "round_prefer_ceil":
        return np.floor(places + 0.5)
    raise node.refuse(f"nearest_mode {rounding!r}")


def _linear_matrix(places: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """``[size, length]``; two weights per row, places outside taken from the edge."""
    inside = places.clip(0, length - 1)
    low = np.floor(inside).astype(np.int64).clip(0, max(length - 2, 0))
    share = inside - low
    matrix = np.zeros((len(places), length))
    rows = np.arange(len(places))
    matrix[rows, low] += 1 - share
    matrix[rows, np.minimum(low + 1, length - 1)] += share
    return matrix


def _cubic_matrix(places: NDArray[np.float64], length: int, a: float) -> NDArray[np.float64]:
    """``[size, length]``; Keys' cubic convolution (1981), four weights per row, edges repeated."""
    base = np.floor(places).astype(np.int64)
    matrix = np.zeros((len(places), length))
    rows = np.arange(len(places))
    for step in (-1, 0, 1, 2):
        d = np.abs(places - (base + step))
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        np.add.at(matrix, (rows, (base + step).clip(0, length - 1)), np.where(d <= 1, near, far))
    return matrix


TABLE: Table = {
    "Resize": Operator(_resize, host=(1, 2, 3)),
    "Upsample": Operator(_resize, host=(1,)),
}
"""Resizing."""
