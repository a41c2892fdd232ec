"""One file that holds what proves a query: the format of ``docs/proofs.md``, read and written without torch."""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust import __version__
from robust.errors import UsageError
from robust.graph import Graph
from robust.record.answer import Meanings
from verifiers.decision import CaseProof

FORMAT = 1
MOST_HEADER = 2**24
"""Bytes of a header, at most."""


@dataclass(frozen=True, eq=False)
class QueryProof:
    """A proof file as read.

    Attributes:
        header: see ``docs/proofs.md``.
        cases: the arrays of each case's tree, by name.
    """

    header: dict[str, Any]
    cases: tuple[dict[str, NDArray[Any]], ...]


def file_digest(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal; of what a gzipped file unpacks to."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def nodes_of(graph: Graph | None) -> list[dict[str, Any]]:
    """The operation graph that trees speak of, as it stands in the header; none where there is no graph."""
    return [
        {"op": node.op, "kind": node.kind.name.lower(), "inputs": list(node.inputs), "elements": node.elements}
        for node in (() if graph is None else graph.nodes)
    ]


def write_proof(
    path: Path,
    query: str,
    models: Mapping[str, str],
    nodes: Sequence[Mapping[str, Any]],
    proofs: Sequence[CaseProof],
    meanings: Meanings,
    witness: Mapping[str, Any] | None = None,
) -> None:
    """Write a proof of all cases of a query, or a witness against it; whole or not at all.

    Args:
        path: replaced if it exists.
        query: digest of the query file.
        models: name -> digest of the model file.
        nodes: of the operation graph, in order.
        proofs: of all cases, in order.
        meanings: what the answer says of real numbers and of float32 runs.
        witness: see ``docs/proofs.md``.

    Raises:
        UsageError: it cannot be written.
    """
    header: dict[str, Any] = {
        "format": FORMAT,
        "package": f"robust-audit {__version__}",
        "query": query,
        "models": dict(models),
        "nodes": [dict(node) for node in nodes],
        "meanings": {"real": meanings.real.value, "deployed": meanings.deployed.value},
        "cases": [{"stage": proof.stage, "tree": proof.tree.kind, "format": proof.tree.format} for proof in proofs],
    }
    if witness is not None:
        header["witness"] = dict(witness)
    arrays: dict[str, NDArray[Any]] = {"header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}
    for place, proof in enumerate(proofs):
        arrays.update({f"{place}/{name}": column for name, column in proof.tree.columns().items()})
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        part.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write the proof {path}", got=error) from error


def read_proof(path: Path) -> QueryProof:
    """Read what ``write_proof`` wrote.

    Raises:
        UsageError: it is no such file, or of another format.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            raw = file["header"]
            if raw.dtype != np.uint8 or raw.size > MOST_HEADER:
                raise ValueError("its header is no text")
            header = json.loads(raw.tobytes())
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise ValueError("it has another format")
            cases: list[dict[str, NDArray[Any]]] = [{} for _ in header["cases"]]
            for name in file.files:
                place, slash, column = name.partition("/")
                if slash:
                    cases[int(place)][column] = file[name]
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"{path} is no proof", wanted=f"a proof of format {FORMAT}", got=error) from error
    return QueryProof(header, tuple(cases))
