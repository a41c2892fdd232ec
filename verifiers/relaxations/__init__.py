"""Rules of nonlinear operators. To add one, write a ``Rule`` and add a line to ``RULES``."""

from __future__ import annotations

from collections.abc import Mapping

from verifiers.relaxations.rectifier import Rectifier
from verifiers.relaxations.rule import Family, Interval, Lines, Relaxation, Rule
from verifiers.relaxations.s_shaped import SShaped

RULES: Mapping[str, Rule] = {
    "relu": Rectifier(),
    "leaky_relu": Rectifier(),
    "sigmoid": SShaped(),
    "tanh": SShaped(),
}
"""Operator -> rule. Engines take such a table as a parameter."""

__all__ = ["RULES", "Family", "Interval", "Lines", "Relaxation", "Rule"]
