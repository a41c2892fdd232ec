"""``attacks``, ``verifiers`` and ``reports`` are short names; make sure that ours are imported, not a stranger's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from robust.errors import InstallationError

SIBLINGS = ("attacks", "verifiers", "reports")


def find_strangers() -> dict[str, str]:
    """Sibling name -> where the module of that name would come from, for those that are not ours (or ``missing``)."""
    home = Path(__file__).resolve().parents[2]
    strangers = {}
    for name in SIBLINGS:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            strangers[name] = "missing"
        elif Path(spec.origin).resolve().parents[1] != home:
            strangers[name] = spec.origin
    return strangers


def require_our_siblings() -> None:
    """Stop if a sibling would be somebody else's module.

    Raises:
        InstallationError: naming the stranger.
    """
    strangers = find_strangers()
    if strangers:
        name, origin = next(iter(strangers.items()))
        raise InstallationError(
            f"the module {name!r} that would be imported is not part of robust-audit",
            wanted=f"{name!r} next to the package 'robust' in {Path(__file__).resolve().parents[2]}",
            got=origin,
            hint="install robust-audit in a virtual environment of its own, and do not run it from a folder that has "
            f"a {name}.py or a folder {name}/ of its own",
        )
