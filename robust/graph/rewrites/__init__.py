"""Rewrites at record time: an operator said in simpler ones, so that engines need fewer rules.

Each is a plain torch function with the operator's own signature; the recorder runs it instead, and what it calls is
recorded in its place. A rewrite returns NotImplemented where it does not apply, and the operator is kept as it is.
One file per family.
"""

from __future__ import annotations

from collections.abc import Mapping

from robust.graph.rewrites import (
    activations,
    arithmetic,
    choices,
    normalisation,
    pooling,
    products,
    reductions,
    shapes,
    softmax,
)
from robust.graph.rewrites.products import BOTH_VARY
from robust.graph.rewrites.replacement import VARYING, Replacement, Rewrites

REWRITES: Rewrites = {
    **activations.REWRITES,
    **arithmetic.REWRITES,
    **choices.REWRITES,
    **normalisation.REWRITES,
    **pooling.REWRITES,
    **products.REWRITES,
    **reductions.REWRITES,
    **shapes.REWRITES,
    **softmax.REWRITES,
}
"""ATen name without overload -> rewrite."""

RENAMED: Mapping[str, str] = {"view": "reshape", "_unsafe_view": "reshape", "view_copy": "reshape"}
"""Operators that become another one with the same arguments, because it does not care how memory lies."""

IDENTITIES = frozenset(
    {"detach", "alias", "clone", "lift_fresh", "contiguous", "dropout", "native_dropout", "positive"}
)
"""Operators that give back their first argument's value."""

SHAPE_ONLY = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
)
"""Operators whose result depends on the shape of a varying tensor, never on its values."""

INPUT_DEPENDENT = frozenset(
    {
        "_local_scalar_dense",
        "item",
        "is_nonzero",
        "nonzero",
        "equal",
        "masked_select",
        "unique_dim",
        "_unique2",
        "allclose",
    }
)
"""Operators that let values decide what happens next."""

PREDICATES = frozenset({"argmax", "argmin", "any", "all", "isnan", "isinf"})
"""Operators whose answer is discrete: recorded only as something that must not be used."""

__all__ = [
    "BOTH_VARY",
    "IDENTITIES",
    "INPUT_DEPENDENT",
    "PREDICATES",
    "RENAMED",
    "REWRITES",
    "SHAPE_ONLY",
    "VARYING",
    "Replacement",
]
