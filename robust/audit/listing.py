"""What there is, a line each, for ``robust list``."""

from __future__ import annotations

from attacks.catalogue import ATTACKS
from verifiers.catalogue import VERIFIERS

from robust.audit.catalogue import CHECKS
from robust.data import BUILTIN
from robust.ood.catalogue import DETECTORS

LISTS: dict[str, dict[str, str]] = {
    "checks": {check.name: check.question for check in CHECKS},
    "attacks": dict(ATTACKS),
    "verifiers": dict(VERIFIERS),
    "detectors": dict(DETECTORS),
    "data": {f"builtin:{name}": line for name, line in BUILTIN.items()},
}
"""List name -> entry -> what it is."""
