"""Exact verification of small piecewise linear networks with Z3."""

from verifiers.smt.encode import Size, TooLargeError, refuse_unsupported
from verifiers.smt.engine import ARITHMETIC, Replay, SmtVerifier
from verifiers.smt.solver import Limits

__all__ = ["ARITHMETIC", "Limits", "Replay", "Size", "SmtVerifier", "TooLargeError", "refuse_unsupported"]
