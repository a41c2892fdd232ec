"""The verifiers, in one literal table. Reading it imports nothing heavy."""

from __future__ import annotations

VERIFIERS: dict[str, str] = {
    "interval": "interval bound propagation (Gowal et al. 2018): cheap, loose, any supported network",
    "crown": "backward linear bounds (Zhang et al. 2018), confirmed in float64: tighter, any supported network",
    "crown-ibp": "backward linear bounds over intervals of inner layers (Zhang et al. 2020): nearly as cheap",
    "zonotope": "affine forms forward (DeepZ, Singh et al. 2018): looser than crown as a rule, and dearer",
    "alpha-crown": "CROWN with optimised lines (Xu et al. 2021): the tightest, about forty times the cost of crown",
    "z3": "exact SMT in rational arithmetic (Z3): complete, for small piecewise linear networks",
}
"""Name as it stands in records -> what it is."""
