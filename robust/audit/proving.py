"""Proofs of single balls as files, and what the independent checker makes of them."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from robust.checker.check import check_proof
from robust.checker.verdict import InvalidError, NotEstablishedError, RefusedError
from robust.errors import RobustError
from robust.graph import Graph, trace
from robust.graph.onnx_file import OnnxFile
from robust.graph.query_network import QueryNetwork
from robust.properties import Box, linf_ball, misclassification
from robust.properties.vnnlib import Query, parse_query
from robust.properties.vnnlib.write import property_query, write_version_1
from robust.record.answer import NEITHER, Meanings, Verdict
from verifiers import Deadline, Network, decide
from verifiers.proof_file import file_digest, nodes_of, write_proof

VALID, OPEN, INVALID, NOTHING = "valid", "not established", "invalid", ""
"""What the checker says of a proof; empty: there is none."""


@dataclass(frozen=True, eq=False)
class BallProof:
    """One ball.

    Attributes:
        query: text of the question, VNN-LIB 1.
        verdict: of the search.
        meanings: over the real numbers, and in float32 runs.
        stage: which engine proved it.
        reason: a sentence.
        proof: bytes of the proof file; empty where there is none.
        checked: ``valid``, ``not established``, ``invalid``; empty where there is no proof.
        said: what the checker says beyond that.
        seconds: of the search, and of the check.
    """

    query: str
    verdict: Verdict
    meanings: Meanings
    stage: str
    reason: str
    proof: bytes = b""
    checked: str = NOTHING
    said: str = ""
    seconds: tuple[float, float] = (0.0, 0.0)


class BallProver:
    """Proves L-inf balls around samples of one ONNX file; keeps its graph.

    Args:
        file: one input, one output with a score for each class.
        box: of the inputs.
        classes: how many.
    """

    def __init__(self, file: OnnxFile, box: Box, classes: int) -> None:
        self._file, self._box, self._classes = file, box, classes
        self._digest = file_digest(file.path)
        self._graph: Graph | None = None

    def prove(self, sample: Tensor, label: int, epsilon: float, seconds: float) -> BallProof:
        """Is every input of the ball, cut to the box, answered with the label?

        Args:
            sample: float32 ``[*shape]`` inside the box.
            label: its class.
            epsilon: radius in input units.
            seconds: of the search, at most.
        """
        ball = linf_ball(sample.cpu(), epsilon, self._box)
        text = write_version_1(property_query(misclassification(ball, label, self._classes)))
        query = parse_query(text, "the ball")
        started = time.perf_counter()
        try:
            models = QueryNetwork(query, {"": self._file})
            network = Network(self._traced(models, query))
        except RobustError as error:
            return BallProof(text, Verdict.UNKNOWN, NEITHER, "", f"the file cannot be bounded: {error.message}")
        deadline = Deadline(seconds)
        found = decide(network, query.properties(), deadline=deadline, keep_proof=True)
        took = time.perf_counter() - started
        if found.verdict is not Verdict.VERIFIED:
            return BallProof(text, found.verdict, found.meanings, found.stage, found.reason, seconds=(took, 0.0))
        with tempfile.TemporaryDirectory() as folder:
            asked, kept = Path(folder) / "ball.vnnlib", Path(folder) / "ball.npz"
            asked.write_text(text, encoding="utf-8")
            digests = {"": self._digest}
            write_proof(kept, file_digest(asked), digests, nodes_of(network.graph), found.proofs, found.meanings)
            started = time.perf_counter()
            checked, said = checker_says(kept, self._file.path, asked)
            check_took = time.perf_counter() - started
            proof = kept.read_bytes()
        times = (took, check_took)
        return BallProof(text, found.verdict, found.meanings, found.stage, found.reason, proof, checked, said, times)

    def _traced(self, models: QueryNetwork, query: Query) -> Graph:
        if self._graph is None:
            box = query.cases[0].cover if query.cases else None
            self._graph = trace(models.module, (query.inputs,), device=torch.device("cpu"), box=box)
        return self._graph


def checker_says(proof: Path, model: Path, query: Path) -> tuple[str, str]:
    """``valid``, ``not established`` or ``invalid``, and a sentence."""
    try:
        found = check_proof(proof, model, query)
    except InvalidError as error:
        return INVALID, str(error)
    except (NotEstablishedError, RefusedError) as error:
        return OPEN, str(error)
    parts = "1 part" if found.rows == 1 else f"{found.rows} parts"
    return VALID, f"{parts}, at least {found.smallest:.3g} away from the unsafe outputs"
