"""What to do about operators that have no rule."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT = "replace it by supported operators, or disable the certificates and SMT checks for this model"

_SORTING = "let the model end before it picks or sorts, and say the pick as a property of its outputs"
_SCATTER = "build the tensor with cat, stack or pad instead of writing into it"
_TRIGONOMETRY = "use atan, sin, cos or a polynomial in its place"

HINTS: Mapping[str, str] = {
    **dict.fromkeys(
        ("topk", "sort", "argsort", "kthvalue", "median", "mode", "nanmedian", "cummax", "cummin"), _SORTING
    ),
    **dict.fromkeys(("argmax", "argmin", "multinomial", "bucketize", "searchsorted"), _SORTING),
    **dict.fromkeys(("scatter", "scatter_add", "scatter_reduce", "index_put", "index_add", "index_copy"), _SCATTER),
    **dict.fromkeys(("masked_scatter", "as_strided", "put"), _SCATTER),
    "fmod": "a jump has no bounds; use a clamp or a sigmoid in its place",
    **dict.fromkeys(("asin", "acos", "atan2", "asinh", "acosh", "atanh", "sinc"), _TRIGONOMETRY),
    "embedding": "let the input be the embedded vectors: whole numbers cannot lie in a box",
    "convolution": "a convolution whose weights depend on the input has no rule; write it with unfold and matmul",
    "linear": "a layer whose weights depend on the input has no rule; write it with bmm, samples first",
    "native_batch_norm": "batch normalisation by the batch's own moments mixes samples; keep running statistics",
    "_to_copy": "keep one float type throughout; a cast to fewer digits or to narrow whole numbers has no rule",
    "erfinv": "no rule; leave the inverse out of the model",
    "nan_to_num": "leave it out: a network that is verified has no NaN",
    "linalg_inv_ex": "matrix inverses have no rule; compute them before, as constants",
    "_fft_r2c": "write the transform as a matrix product with constants",
    "cumprod": "write it with products of slices",
}
"""ATen name -> nearest workaround."""


def hint(op: str) -> str:
    """What to do about an operator without a rule."""
    return HINTS.get(op, DEFAULT)
