"""``robust supports``: what the solver says it can do, in the form of VNN-LIB 2.0, section 5.4."""

from __future__ import annotations

from collections.abc import Sequence

from robust.errors import UsageError

_LISTS: dict[str, tuple[str, ...]] = {
    "--onnx-opset-versions": ("9", "24"),
    "--onnx-element-types": ("real", "float32"),
    "--vnnlib-versions": ("1.0", "2.0"),
    "--hidden-node-theories": ("NH", "H"),
    "--multiple-input-output-theories": ("SIO", "MIO"),
    "--multiple-network-theories": ("SNET", "MNET", "MENET", "MINET"),
    "--multiple-node-comparison-theories": ("SNC", "MNC"),
    "--arithmetic-complexity-theories": ("BND", "OUTC", "LIN"),
    "--optimised-disjunctive-reasoning": ("true",),
    "--serialise-assignments": ("false",),
}
"""Products of variables (``POLY``) are read and searched for witnesses, but seldom proved: they are not claimed."""

_OPERATORS = "--onnx-operators"
_ALIASES = {"--multiple-inputs-output-theories": "--multiple-input-output-theories"}


def answer(words: Sequence[str]) -> str:
    """The text that answers ``robust supports CAPABILITY``.

    Raises:
        UsageError: not one capability that exists.
    """
    capability = _ALIASES.get(words[0], words[0]) if len(words) == 1 else ""
    if capability in ("-h", "--help"):
        return "usage: robust supports CAPABILITY, one of\n  " + "\n  ".join(sorted([*_LISTS, _OPERATORS])) + "\n"
    if capability == _OPERATORS:
        return "".join(f"{name}\n" for name in _operators())
    if capability not in _LISTS:
        raise UsageError("supports takes one capability", wanted=", ".join([*_LISTS, _OPERATORS]), got=" ".join(words))
    return "".join(f"{line}\n" for line in _LISTS[capability])


def _operators() -> list[str]:
    from robust.graph.onnx_operators import OPERATORS

    return sorted(name for name in OPERATORS if "::" not in name)
