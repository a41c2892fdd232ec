"""What there is, a line each, for ``robust list``."""

from __future__ import annotations

from attacks.catalogue import ATTACKS, CHANGES, FOOLING, MINIMAL
from robust.audit.catalogue import CHECKS
from robust.data import BUILTIN
from robust.ood.panel import DETECTORS
from verifiers.catalogue import VERIFIERS


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0].rstrip(".")


LISTS: dict[str, dict[str, str]] = {
    "checks": {check.name: check.question for check in CHECKS},
    "attacks": {entry.name: entry.line for entry in (*ATTACKS, *MINIMAL, *CHANGES, *FOOLING)},
    "verifiers": VERIFIERS,
    "detectors": {name: _first_line(detector) for name, detector in DETECTORS.items()},
    "data": {f"builtin:{name}": _first_line(loader) for name, loader in BUILTIN.items()},
}
"""List name -> entry -> what it is."""
