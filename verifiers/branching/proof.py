"""The tree of splits that proves a case: what an independent checker needs to establish it again without a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray


class ProofTree(Protocol):
    """What every kind of tree offers.

    Attributes:
        kind: ``boxes`` or ``neurons``.
        format: version of the tree's format.
    """

    kind: ClassVar[str]
    format: ClassVar[int]

    def save(self, path: Path) -> None:
        """Write it in the format of ``docs/proofs.md``."""
        ...

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays of that format, by name."""
        ...
