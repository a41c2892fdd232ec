"""The checks, in the order in which they run and are reported. Adding a check is adding a line."""

from __future__ import annotations

from robust.audit.check import Check

CHECKS: tuple[Check, ...] = ()


def check_named(name: str) -> Check:
    """The check of that name.

    Raises:
        KeyError: no such check.
    """
    return {check.name: check for check in CHECKS}[name]
