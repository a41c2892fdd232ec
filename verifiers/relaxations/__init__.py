"""Rules of nonlinear operators. To add one, write a ``Rule`` and add a line to ``RULES``."""

from __future__ import annotations

import math
from collections.abc import Mapping

from verifiers.relaxations.bent import HARDSWISH, MISH, SILU, elu, gelu
from verifiers.relaxations.convex import EXPONENTIAL, INVERSE_ROOT, LOGARITHM, SQUARE_ROOT, log_sigmoid, softplus
from verifiers.relaxations.power import RECIPROCAL, Power
from verifiers.relaxations.product import ConvexProduct, Product
from verifiers.relaxations.rectifier import Rectifier
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation, Rule
from verifiers.relaxations.s_shaped import ARC_TANGENT, ERROR_FUNCTION, SIGMOID, TANH
from verifiers.relaxations.sine import Sine
from verifiers.relaxations.smooth import Smooth
from verifiers.relaxations.steps import Steps

RULES: Mapping[str, Rule] = {
    "relu": Rectifier(),
    "leaky_relu": Rectifier(),
    "abs": Rectifier(),
    "sigmoid": Smooth(lambda _: SIGMOID),
    "tanh": Smooth(lambda _: TANH),
    "erf": Smooth(lambda _: ERROR_FUNCTION),
    "atan": Smooth(lambda _: ARC_TANGENT),
    "exp": Smooth(lambda _: EXPONENTIAL),
    "log": Smooth(lambda _: LOGARITHM),
    "sqrt": Smooth(lambda _: SQUARE_ROOT),
    "rsqrt": Smooth(lambda _: INVERSE_ROOT),
    "softplus": Smooth(softplus),
    "log_sigmoid": Smooth(log_sigmoid),
    "log_sigmoid_forward": Smooth(log_sigmoid),
    "gelu": Smooth(gelu),
    "silu": Smooth(lambda _: SILU),
    "mish": Smooth(lambda _: MISH),
    "hardswish": Smooth(lambda _: HARDSWISH),
    "elu": Smooth(elu),
    "pow": Power(),
    "reciprocal": RECIPROCAL,
    "sin": Sine(),
    "cos": Sine(math.pi / 2),
    "sign": Steps(),
    "floor": Steps(),
    "ceil": Steps(),
    "round": Steps(),
    "mul": Product(),
    "mul_convex": ConvexProduct(),
}
"""Operator -> rule. Engines take such a table as a parameter."""

__all__ = ["RULES", "Family", "Interval", "Lines", "Relaxation", "Rule"]
