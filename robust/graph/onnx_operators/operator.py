"""The nouns of the tables: a node as an operator sees it, and an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from robust.errors import ControlFlowError, UnsupportedOperatorError


@dataclass(frozen=True, eq=False)
class Node:
    """One node of an ONNX graph.

    Attributes:
        op: operator type, ``Conv``.
        name: the node's name, or its first output where it has none.
        inputs, outputs: names of values; empty where an optional one is left out.
        attributes: plain Python values; tensors as numpy arrays.
        opset: version of the default operator set.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 17

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute or its default."""
        return self.attributes.get(key, default)

    def refuse(self, what: str, hint: str | None = None) -> UnsupportedOperatorError:
        """The error for a form of a known operator that is not read."""
        return UnsupportedOperatorError(
            f"the ONNX operator {self.op} at node {self.name!r} is used in a form that is not read: {what}", hint=hint
        )

    def depends_on_data(self, what: str) -> ControlFlowError:
        """The error for a shape, index or parameter that is computed from the input's values."""
        return ControlFlowError(
            f"the ONNX operator {self.op} at node {self.name!r} takes {what} from the input's values",
            wanted="a constant, or something computed from shapes alone",
            hint="export the model with that part fixed",
        )


@dataclass(frozen=True)
class Operator:
    """How an ONNX operator is done in torch.

    Attributes:
        function: ``(node, *inputs) -> tensor or tuple``. Tensors come as tensors, inputs left out as None.
        host: positions that must not depend on the input's values; they come as numpy arrays.
        soft: positions that come as numpy arrays when they do not depend on the input's values, else as tensors.
    """

    function: Callable[..., Any]
    host: tuple[int, ...] = ()
    soft: tuple[int, ...] = ()


Table = dict[str, Operator]
"""ONNX operator type -> how it is done."""


def plain(function: Callable[..., Any]) -> Operator:
    """An operator without attributes: the torch function of its inputs."""
    return Operator(lambda node, *inputs: function(*inputs))
