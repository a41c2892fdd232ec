"""``robust verify --proof`` and ``--proofs``: what proves an ``unsat``, or breaks a query, is written to a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from robust.cli.solve import Answer
from robust.errors import UsageError
from verifiers.proof_file import file_digest, nodes_of, write_proof


def require_folder_of(path: Path) -> None:
    """Whether a file can lie where it is wanted, before any work is done.

    Raises:
        UsageError: its folder is missing, or it is a folder.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"cannot write the proof {path}", wanted="a file in a folder that exists")


def keep_proof(path: Path, found: Answer, query: Path, models: Mapping[str, Path]) -> None:
    """Write the proof of an ``unsat``, or the witness of a ``sat``.

    Raises:
        UsageError: it cannot be written.
    """
    digests = {name: file_digest(model) for name, model in models.items()}
    witness = None
    if found.result == "sat":
        witness = {"inputs": [str(text) for text in found.inputs], "outputs": [repr(value) for value in found.outputs]}
    write_proof(path, file_digest(query), digests, nodes_of(found.graph), found.proofs, found.meanings, witness)
