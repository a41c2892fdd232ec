"""The tree of splits that proves a case: what an independent checker needs to establish it again without a search."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class ProofTree(Protocol):
    """What every kind of tree offers."""

    def save(self, path: Path) -> None:
        """Write it in the format of ``docs/proofs.md``."""
        ...
