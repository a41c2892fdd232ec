"""Which operators the graph may hold, and of which kind each is.

The tables speak of the operators that are left after ``robust.graph.rewrites``: subtraction, division, clamps, softmax,
normalisation, matrix products of two varying tensors and the like have become ``add``, ``mul``, ``relu``, ``exp`` and
``reciprocal`` by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Kind(StrEnum):
    """What an engine may assume of a node."""

    INPUT = "input"
    """The varying input, ``[batch, *input_shape]``; always node 0, and only it."""
    AFFINE = "affine"
    """An affine function of its operands taken together, sample by sample."""
    ELEMENTWISE = "elementwise"
    """One nonlinear function of one variable, applied to every element of the only operand."""
    MAXIMUM = "maximum"
    """Every output element is the largest of a few elements of the only operand; see ``Node.windows``."""
    PRODUCT = "product"
    """``mul`` of exactly two varying operands of the same shape, element by element."""


MONOTONE_AFFINE: Mapping[str, tuple[str, ...]] = {
    "add": ("self", "other"),
    "reshape": ("self",),
    "permute": ("self",),
    "transpose": ("self",),
    "t": ("self",),
    "squeeze": ("self",),
    "unsqueeze": ("self",),
    "expand": ("self",),
    "repeat": ("self",),
    "cat": ("tensors",),
    "stack": ("tensors",),
    "slice": ("self",),
    "select": ("self",),
    "index": ("self",),
    "index_select": ("self",),
    "flip": ("self",),
    "roll": ("self",),
    "unfold": ("self",),
    "im2col": ("self",),
    "col2im": ("self",),
    "gather": ("self",),
    "tril": ("self",),
    "triu": ("self",),
    "diagonal": ("self",),
    "slice_scatter": ("self", "src"),
    "select_scatter": ("self", "src"),
    "pixel_shuffle": ("self",),
    "pixel_unshuffle": ("self",),
    "channel_shuffle": ("self",),
    "masked_fill": ("self",),
    "constant_pad_nd": ("self",),
    "reflection_pad1d": ("self",),
    "reflection_pad2d": ("self",),
    "reflection_pad3d": ("self",),
    "replication_pad1d": ("self",),
    "replication_pad2d": ("self",),
    "replication_pad3d": ("self",),
    "sum": ("self",),
    "mean": ("self",),
    "cumsum": ("self",),
    "avg_pool1d": ("self",),
    "avg_pool2d": ("self",),
    "avg_pool3d": ("self",),
    "_adaptive_avg_pool2d": ("self",),
    "_adaptive_avg_pool3d": ("self",),
    "adaptive_avg_pool1d": ("self",),
    "upsample_nearest1d": ("self",),
    "upsample_nearest2d": ("self",),
    "upsample_nearest3d": ("self",),
    "_upsample_nearest_exact1d": ("self",),
    "_upsample_nearest_exact2d": ("self",),
    "_upsample_nearest_exact3d": ("self",),
    "upsample_linear1d": ("self",),
    "upsample_bilinear2d": ("self",),
    "upsample_trilinear3d": ("self",),
    "_upsample_bilinear2d_aa": ("self",),
}
"""Affine, with no negative coefficient: lower ends go to lower ends. Value: the arguments that may vary."""

BILINEAR: Mapping[str, tuple[str, str]] = {
    "mul": ("self", "other"),
    "linear": ("input", "weight"),
    "convolution": ("input", "weight"),
    "bmm": ("self", "mat2"),
}
"""Linear in each of two arguments (plus a constant ``bias`` where there is one): affine when one is constant."""

ELEMENTWISE: Mapping[str, str] = dict.fromkeys(
    (
        *("relu", "leaky_relu", "elu", "gelu", "silu", "mish", "hardswish", "softplus", "sigmoid", "tanh"),
        *("exp", "log", "sqrt", "rsqrt", "reciprocal", "pow", "abs", "sign", "sin", "cos", "erf", "atan"),
        *("floor", "ceil", "round"),
    ),
    "self",
)
"""Nonlinear functions of one variable; parameters are Python numbers and words. Value: the argument that may vary."""

MAXIMUM: Mapping[str, str] = dict.fromkeys(
    (
        *("max_pool2d_with_indices", "max_pool3d_with_indices", "amax"),
        *("adaptive_max_pool2d", "adaptive_max_pool3d"),
    ),
    "self",
)
"""Maxima over windows. Value: the argument that may vary."""

PRODUCT: Mapping[str, tuple[str, str]] = {"mul": ("self", "other")}
"""Products, element by element, of two varying operands of one shape."""

REARRANGING = frozenset(
    {"reshape", "permute", "transpose", "t", "squeeze", "unsqueeze", "slice", "select", "flip", "roll"}
    | {"pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "constant_pad_nd", "masked_fill"}
)
"""Operators that move elements, each to at most one place: the image of a box is a box."""

RELATIVE = frozenset(
    {"exp", "sqrt", "rsqrt", "reciprocal", "mul", "mul_convex"}
    | {"leaky_relu", "abs", "sign", "floor", "ceil", "round"}
)
"""Nonlinear operators that libraries compute to a few units of their value. Others, formulas with sums in them or with
ranges that are cut, are off by units of their operand as well."""

COPYING = REARRANGING | {"expand", "repeat", "index_select", "upsample_nearest2d"}
"""Operators whose elements are elements of their operand, or constants."""


def kind_of(op: str, varying: frozenset[str]) -> Kind | None:
    """The kind of operator ``op`` when exactly the arguments named ``varying`` depend on the input; None if unknown."""
    if op in MONOTONE_AFFINE and varying <= set(MONOTONE_AFFINE[op]):
        return Kind.AFFINE
    if op in PRODUCT and varying == set(PRODUCT[op]):
        return Kind.PRODUCT
    if op in BILINEAR and len(varying) == 1 and varying <= set(BILINEAR[op]):
        return Kind.AFFINE
    if op in ELEMENTWISE and varying == {ELEMENTWISE[op]}:
        return Kind.ELEMENTWISE
    if op in MAXIMUM and varying == {MAXIMUM[op]}:
        return Kind.MAXIMUM
    return None


def supported() -> tuple[str, ...]:
    """All operators of the table, for messages and documentation."""
    return tuple(sorted({*MONOTONE_AFFINE, *BILINEAR, *ELEMENTWISE, *MAXIMUM}))
