"""Operators that move numbers about or make constants: shapes, cuts, joins, casts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from robust.graph.onnx_operators.operator import Node, Operator, Table, plain

_INTEGERS = {2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool}
_INTEGERS |= {4: torch.int32, 12: torch.int64, 13: torch.int64}
_FLOATS = {1, 10, 11, 16}
_SHORT = {10: torch.float16, 16: torch.bfloat16}


def _ints(values: Any) -> list[int]:
    return [int(value) for value in np.asarray(values).reshape(-1)]


def _reshape(node: Node, x: Tensor, shape: Any = None) -> Tensor:
    wanted = _ints(node.get("shape") if shape is None else shape)
    if not node.get("allowzero", 0):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return x.reshape(wanted)


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    if axis == 0:
        return x.reshape(1, -1)
    if axis == 1:
        return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)
    return x.flatten(0, axis - 1).flatten(1) if axis < x.ndim else x.flatten(0, axis - 1).unsqueeze(1)


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.get("perm", list(reversed(range(x.ndim)))))


def _squeeze(node: Node, x: Tensor, axes: Any = None) -> Tensor:
    chosen = node.get("axes") if axes is None else _ints(axes)
    if chosen is None:
        return x.squeeze()
    if any(x.shape[axis] != 1 for axis in chosen):
        raise node.refuse(f"squeezing an axis that is not of length 1 in {tuple(x.shape)}")
    return x.squeeze(tuple(chosen))


def _unsqueeze(node: Node, x: Tensor, axes: Any = None) -> Tensor:
    chosen = node.get("axes") if axes is None else _ints(axes)
    rank = x.ndim + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


def _split(node: Node, x: Tensor, sizes: Any = None) -> tuple[Tensor, ...]:
    axis = node.get("axis", 0)
    given = node.get("split") if sizes is None else _ints(sizes)
    if given is None:
        given = -(-x.shape[axis] // node.get("num_outputs", len(node.outputs)))
    return torch.split(x, given, axis)


def _slice(node: Node, x: Tensor, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Tensor:
    first = _ints(node.get("starts") if starts is None else starts)
    last = _ints(node.get("ends") if ends is None else ends)
    chosen = node.get("axes", list(range(len(first)))) if axes is None else _ints(axes)
    strides = [1] * len(first) if steps is None else _ints(steps)
    for start, end, axis, step in zip(first, last, chosen, strides, strict=True):
        taken = range(x.shape[axis])[slice(start, end if step > 0 or end >= -x.shape[axis] else None, step)]
        if step < 0:
            x = x.index_select(axis, torch.tensor(list(taken), dtype=torch.int64, device=x.device))
        elif len(taken) < x.shape[axis]:
            cut = [slice(None)] * x.ndim
            cut[axis] = slice(taken.start, max(taken.stop, taken.start), taken.step)
            x = x[tuple(cut)]
    return x


def _gather(node: Node, x: Tensor, indices: Any) -> Tensor:
    axis = node.get("axis", 0)
    axis = axis + x.ndim if axis < 0 else axis
    if isinstance(indices, Tensor):
        where = torch.where(indices < 0, indices + x.shape[axis], indices).long()
    else:
        if indices.ndim == 0:
            return x.select(axis, int(indices))
        places = np.where(indices < 0, indices + x.shape[axis], indices).astype(np.int64)
        flat = places.reshape(-1)
        if places.ndim == 1 and len(flat) and (np.diff(flat) == 1).all():
            return x.narrow(axis, int(flat[0]), len(flat))
        where = torch.as_tensor(places, device=x.device)
    picked = x.index_select(axis, where.reshape(-1))
    return picked.reshape(*x.shape[:axis], *where.shape, *x.shape[axis + 1 :])


def _gather_elements(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0)
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices).long())


def _expand(node: Node, x: Tensor, shape: Any) -> Tensor:
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(_ints(shape))))


def _tile(node: Node, x: Tensor, repeats: Any) -> Tensor:
    return x.repeat(_ints(repeats))


def _concat(node: Node, *inputs: Tensor) -> Tensor:
    return torch.cat(inputs, node.get("axis", 1))


def _pad(node: Node, x: Tensor, pads: Any = None, value: Any = None, axes: Any = None) -> Tensor:
    widths = _ints(node.get("pads") if pads is None else pads)
    chosen = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in _ints(axes)]
    half = len(chosen)
    by_axis = {axis: (widths[place], widths[place + half]) for place, axis in enumerate(chosen)}
    fill = float(node.get("value", 0.0)) if value is None or not value.size else float(value.reshape(-1)[0])
    mode = node.get("mode", "constant")
    if mode == "constant":
        return F.pad(x, [width for axis in reversed(range(x.ndim)) for width in by_axis.get(axis, (0, 0))], value=fill)
    for axis, (low, high) in by_axis.items():
        if low or high:
            x = x.index_select(axis, _mirror(node, mode, x.shape[axis], low, high, x.device))
    return x


def _mirror(node: Node, mode: str, size: int, low: int, high: int, device: torch.device) -> Tensor:
    places = np.arange(-low, size + high)
    if mode == "edge":
        places = places.clip(0, size - 1)
    elif mode == "wrap":
        places = places % size
    elif mode == "reflect" and size > 1:
        places = places % (2 * size - 2)
        places = np.where(places >= size, 2 * size - 2 - places, places)
    else:
        raise node.refuse(f"mode {mode!r}")
    return torch.as_tensor(places, device=device)


def _shape(node: Node, x: Tensor) -> Tensor:
    return torch.tensor(list(x.shape)[node.get("start", 0) : node.get("end")], dtype=torch.int64)


def _constant(node: Node) -> Tensor:
    for key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if key in node.attributes:
            array = np.asarray(node.attributes[key])
            if key.startswith("value_f"):
                array = array.astype(np.float32)
            return torch.from_numpy(np.array(array))
    raise node.refuse("a sparse or text value")


def _constant_of_shape(node: Node, shape: Any) -> Tensor:
    value = torch.from_numpy(np.array(node.get("value", np.zeros(1, dtype=np.float32))))
    return value.reshape(()).expand(_ints(shape)).clone()


def _cast(node: Node, x: Tensor) -> Tensor:
    """The network has one float type, so that it can be read in float64 too; to fewer digits it is really rounded."""
    to = node.get("to")
    if to in _SHORT and x.is_floating_point():
        return x.to(_SHORT[to]).to(x.dtype)
    if to in _FLOATS:
        return x if x.is_floating_point() else x.to(torch.get_default_dtype())
    if to not in _INTEGERS:
        raise node.refuse(f"a cast to ONNX type {to}")
    return x.to(_INTEGERS[to])


def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    block = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    n, c, h, w = x.shape
    cube = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return cube.reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    block = node.get("blocksize")
    n, c, h, w = x.shape
    cube = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return cube.reshape(n, c * block**2, h // block, w // block)


def _one_hot(node: Node, indices: Tensor, depth: Any, values: Any) -> Tensor:
    count, axis = int(depth.reshape(-1)[0]), node.get("axis", -1)
    places = indices.long()
    hot = F.one_hot(torch.where(places < 0, places + count, places), count).bool()
    off, on = (torch.as_tensor(value, device=hot.device) for value in values.reshape(-1))
    return torch.where(hot, on, off).movedim(-1, axis)


def _range(node: Node, start: Any, limit: Any, delta: Any) -> Tensor:
    return torch.from_numpy(np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype))


def _trilu(node: Node, x: Tensor, k: Any = None) -> Tensor:
    diagonal = 0 if k is None else int(k.reshape(-1)[0])
    return torch.triu(x, diagonal) if node.get("upper", 1) else torch.tril(x, diagonal)


def _dropout(node: Node, x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    if rest[1:] and rest[1] is not None and bool(np.asarray(rest[1]).any()):
        raise node.refuse("training mode", "export the model in evaluation mode")
    return (x,)


TABLE: Table = {
    "Reshape": Operator(_reshape, host=(1,)),
    "Flatten": Operator(_flatten),
    "Transpose": Operator(_transpose),
    "Squeeze": Operator(_squeeze, host=(1,)),
    "Unsqueeze": Operator(_unsqueeze, host=(1,)),
    "Split": Operator(_split, host=(1,)),
    "Slice": Operator(_slice, host=(1, 2, 3, 4)),
    "Gather": Operator(_gather, soft=(1,)),
    "GatherElements": Operator(_gather_elements),
    "Expand": Operator(_expand, host=(1,)),
    "Tile": Operator(_tile, host=(1,)),
    "Concat": Operator(_concat),
    "Pad": Operator(_pad, host=(1, 2, 3)),
    "Shape": Operator(_shape),
    "Size": plain(lambda x: torch.tensor(x.numel())),
    "Constant": Operator(_constant),
    "ConstantOfShape": Operator(_constant_of_shape, host=(0,)),
    "Cast": Operator(_cast),
    "CastLike": plain(lambda x, like: x.to(like.dtype)),
    "Identity": plain(lambda x: x),
    "Dropout": Operator(_dropout, host=(1, 2)),
    "DepthToSpace": Operator(_depth_to_space),
    "SpaceToDepth": Operator(_space_to_depth),
    "OneHot": Operator(_one_hot, host=(1, 2)),
    "Range": Operator(_range, host=(0, 1, 2)),
    "Trilu": Operator(_trilu, host=(1,)),
}
"""Shapes, cuts, joins, casts."""
