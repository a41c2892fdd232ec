"""The methods of bound propagation, in one literal table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """How bounds are computed.

    Attributes:
        backward: relax nonlinear nodes in one pass from the question to the input, instead of taking intervals.
        inner: bounds of the nodes that nonlinear nodes read come from backward passes as well.
        steps: of optimisation of the lines for the question; 0: the lines of smallest area.
        inner_steps: the same for inner bounds.
        forward: values of nodes are followed forward as zonotopes, for the nodes' bounds and for the question.
        alone: which inner bounds are found does not depend on the sets that share the pass, so that a set alone has the
            same again; otherwise more are, where that costs nothing.
    """

    backward: bool = True
    inner: bool = True
    steps: int = 0
    inner_steps: int = 0
    forward: bool = False
    alone: bool = False


METHODS: Mapping[str, Method] = {
    "interval": Method(backward=False, inner=False),
    "crown-ibp": Method(inner=False),
    "zonotope": Method(backward=False, inner=False, forward=True),
    "crown": Method(),
    "alpha-crown": Method(steps=20, inner_steps=20),
}
"""Name -> method, loosest first as a rule (only that ``interval`` is the loosest is certain)."""


def method_of(method: str | Method) -> Method:
    """A method by name.

    Raises:
        ValueError: unknown name.
    """
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: wanted one of {', '.join(METHODS)}")
    return METHODS[method]
