"""The table that the tests of the rules run over: operator, arguments, the function in many digits, points of
interest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mpmath as mp

from robust.graph import Kind, Node

Exact = Callable[[Any], Any]


def node_of(op: str, arguments: Mapping[str, Any], inputs: tuple[int, ...] = (0,)) -> Node:
    return Node(len(inputs), op, Kind.ELEMENTWISE, None, arguments, inputs, 1, (1,), "test")


@dataclass(frozen=True)
class Operator:
    op: str
    exact: Exact
    arguments: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[float, ...] = (0.0,)
    smallest: float = -float("inf")
    name: str = ""

    @property
    def node(self) -> Node:
        return node_of(self.op, self.arguments)

    def __str__(self) -> str:
        return self.name or self.op


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x)) if x >= 0 else mp.exp(x) / (1 + mp.exp(x))


def _softplus(beta: float, threshold: float) -> Exact:
    return lambda x: x if beta * x > threshold else mp.log1p(mp.exp(beta * x)) / beta


def _elu(alpha: float, scale: float, inner: float) -> Exact:
    return lambda x: scale * x if x > 0 else mp.mpf(scale) * alpha * mp.expm1(mp.mpf(inner) * x)


def _elu_entry(alpha: float, scale: float, inner: float, name: str) -> Operator:
    arguments = {"alpha": alpha, "scale": scale, "input_scale": inner}
    return Operator("elu", _elu(alpha, scale, inner), arguments, name=name)


def _leaky(bend: float) -> Operator:
    return Operator(
        "leaky_relu", lambda x: x if x > 0 else mp.mpf(bend) * x, {"negative_slope": bend}, name=f"leaky_relu({bend})"
    )


def _tanh_gelu(x: Any) -> Any:
    if abs(x) > 1e3:
        return max(x, mp.mpf(0))
    return x * _sigmoid(2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))


def _mish(x: Any) -> Any:
    if x > 1e4:
        return x
    return x * mp.tanh(mp.log1p(mp.exp(x)))


def _power(exponent: float) -> Operator:
    whole = exponent == int(exponent)
    smallest = -float("inf") if whole else 0.0
    return Operator(
        "pow", lambda x: x ** (int(exponent) if whole else mp.mpf(exponent)), {"exponent": exponent}, (0.0,), smallest,
        f"pow({exponent})",
    )  # fmt: skip


STEPS = tuple(i / 2 for i in range(-8, 9))

OPERATORS = (
    Operator("relu", lambda x: max(x, 0)),
    *map(_leaky, (0.0, 0.01, 0.25, 1.0, 1.5, -0.5)),
    Operator("abs", abs),
    _elu_entry(1.0, 1.0, 1.0, "elu"),
    _elu_entry(0.5, 1.0, 2.0, "elu(0.5)"),
    _elu_entry(1.6732632423543772, 1.0507009873554805, 1.0, "selu"),
    _elu_entry(2.0, 1.0, 0.5, "celu(2)"),
    Operator("gelu", lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2, {"approximate": "none"}, (-1.414, -0.7518, 0, 1.414)),
    Operator("gelu", _tanh_gelu, {"approximate": "tanh"}, (-1.4185, -0.7525, 0, 1.4185), name="gelu(tanh)"),
    Operator("silu", lambda x: x * _sigmoid(x), {}, (-2.4, -1.2785, 0, 2.4)),
    Operator("mish", _mish, {}, (-2.256, -1.1924, 0, 1.49)),
    Operator("hardswish", lambda x: x * min(max(x + 3, 0), 6) / 6, {}, (-3.0, -1.5, 0.0, 3.0)),
    Operator("softplus", _softplus(1.0, 20.0), {"beta": 1, "threshold": 20}, (0.0, 20.0, 20.000001)),
    Operator("softplus", _softplus(3.0, 2.0), {"beta": 3, "threshold": 2}, (0.0, 2 / 3, 0.6667), name="softplus(3, 2)"),
    Operator("log_sigmoid_forward", lambda x: -mp.log1p(mp.exp(-x)) if x > 0 else x - mp.log1p(mp.exp(x))),
    Operator("sigmoid", _sigmoid),
    Operator("tanh", mp.tanh),
    Operator("erf", mp.erf),
    Operator("atan", mp.atan),
    Operator("exp", mp.exp),
    Operator("log", mp.log, smallest=0.0),
    Operator("sqrt", mp.sqrt, smallest=0.0),
    Operator("rsqrt", lambda x: 1 / mp.sqrt(x), smallest=0.0),
    Operator("reciprocal", lambda x: 1 / x),
    *map(_power, (0, 1, 2, 3, 4, 5, 0.5, 1.5, 0.3, -0.5, -1, -2, -3)),
    Operator("sin", mp.sin, {}, (-4.712389, -1.570796, 0.0, 1.570796, 4.712389)),
    Operator("cos", mp.cos, {}, (-3.141593, 0.0, 1.570796, 3.141593)),
    Operator("sign", mp.sign),
    Operator("floor", mp.floor, {}, STEPS),
    Operator("ceil", mp.ceil, {}, STEPS),
    Operator("round", lambda x: mp.nint(x), {}, STEPS),
)
