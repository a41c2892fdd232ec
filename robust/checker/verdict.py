"""What a check ends in."""

from __future__ import annotations

from dataclasses import dataclass


class RefusedError(Exception):
    """A file that cannot be read as what it should be; nothing was checked."""


class InvalidError(Exception):
    """Something that the proof says is not so.

    Args:
        where: case and row.
        why: a sentence.
    """

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")


class NotEstablishedError(Exception):
    """Something that may be so, but that this checker cannot establish.

    Args:
        where: case and row, or operator.
        why: a sentence.
    """

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")


@dataclass(frozen=True)
class Established:
    """What was established.

    Attributes:
        query: sha256 of the query.
        models: sha256 of each model.
        cases: how many.
        rows: parts of input sets that were bounded, as the proof has them.
        added: further parts, where this checker's bounds were looser than the proof's.
        smallest: by how much the unsafe set is missed at least, on any part; 0 where parts were cut away by linear
            bounds, which says that it is missed, but not by how much. Of a witness: how far inside its outputs are.
        falsified: a witness breaks the query, and nothing else is said.
    """

    query: str
    models: tuple[str, ...]
    cases: int
    rows: int
    added: int
    smallest: float
    falsified: bool = False
