"""The verifiers, in one literal table. Reading it imports nothing heavy."""

from __future__ import annotations

VERIFIERS: dict[str, str] = {
    "interval": "interval bound propagation (Gowal et al. 2018): cheap, loose, any supported network",
    "crown": "backward linear bounds (Zhang et al. 2018), confirmed in float64: tighter, any supported network",
    "z3": "exact SMT in rational arithmetic (Z3): complete, for small piecewise linear networks",
}
"""Name as it stands in records -> what it is."""
