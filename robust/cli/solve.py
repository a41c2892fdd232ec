"""One query, answered: read, bound to its models, decided, and said in VNN-LIB's words. Networks are kept by path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import torch
from torch import Tensor

from attacks.property_search import PropertySearch, float32_box
from robust.errors import GraphError, RobustError
from robust.graph import Graph
from robust.graph.onnx_file import OnnxFile, read_onnx
from robust.graph.query_network import QueryNetwork
from robust.graph.trace import trace
from robust.properties.vnnlib import Case, Query, read_query
from robust.properties.vnnlib.query import Monomial, NetworkDeclaration
from robust.record.answer import NEITHER, Meanings, Verdict
from verifiers.deadline import Deadline
from verifiers.decide import BY_NAME, STAGES, decide
from verifiers.decision import CaseProof, Decision, Stage
from verifiers.network import Network

ELEMENTS = 4_000_000
"""Elements of the widest layer, over all rows, that one batch of the search may hold."""

_SEARCHES = ("short witness search", "long witness search")


@dataclass(frozen=True, eq=False)
class Answer:
    """What is said about a query.

    Attributes:
        result: ``sat``, ``unsat``, ``unknown`` or ``timed-out``.
        reason: a sentence.
        stage: which stage settled it.
        query: that was asked.
        inputs: texts of the witness's numbers, for ``sat``.
        outputs: float64 answers of the model to it.
        meanings: what the result says of real numbers and of float32 runs.
        proofs: for ``unsat`` what proves each case, where that was asked for.
        graph: of the models; None where there are no bounds.
    """

    result: str
    reason: str
    stage: str
    query: Query
    inputs: tuple[str, ...] = ()
    outputs: tuple[float, ...] = ()
    meanings: Meanings = NEITHER
    proofs: tuple[CaseProof, ...] = ()
    graph: Graph | None = None

    def text(self) -> str:
        """The result, and behind ``sat`` the assignment: of section 5.3.1 for version 2, as pairs for version 1."""
        return "\n".join([self.result, *(self._assignment() if self.result == "sat" else [])])

    def _assignment(self) -> list[str]:
        answers = [repr(value) for value in self.outputs]
        if self.query.version == 1:
            pairs = [f"(X_{place} {value})" for place, value in enumerate(self.inputs)]
            pairs += [f"(Y_{place} {value})" for place, value in enumerate(answers)]
            return ["(" + "\n ".join(pairs) + ")"]
        lines, inputs = [], list(self.inputs)
        for network in self.query.networks:
            for variables, values in ((network.inputs, inputs), (network.answers, answers)):
                for item in variables:
                    lines.append(f"{item.name} {item.dtype} [{','.join(map(str, item.shape))}]")
                    whole = item.dtype.startswith(("int", "uint"))
                    lines += [str(int(float(value))) if whole else value for value in values[: item.elements]]
                    del values[: item.elements]
        return lines


@dataclass(eq=False)
class _Bound:
    """Models bound to the shape of a query."""

    models: QueryNetwork
    network: Network | None
    why_not: str


class Solver:
    """Answers queries; keeps what it read and traced for the next one.

    Args:
        engine: ``all``, or one of ``search``, ``interval``, ``crown``, ``input-splitting``,
            ``neuron-splitting``, ``alpha-crown``, ``zonotope``, ``z3``.
        seed: of the witness search.
        keep_proof: hand out what proves ``unsat``.
    """

    def __init__(self, *, engine: str = "all", seed: int = 0, keep_proof: bool = False) -> None:
        self._stages = _stages(engine)
        self._seed, self._keep_proof = seed, keep_proof
        self._files: dict[Path, OnnxFile] = {}
        self._bound: dict[tuple[object, ...], _Bound] = {}

    def solve(self, query_path: Path, models: Mapping[str, Path], deadline: Deadline) -> Answer:
        """Read and decide.

        Raises:
            PropertyError, ModelFileError, ModelShapeError, NonFiniteError, UsageError: query or model cannot be used.
        """
        query = read_query(query_path)
        try:
            bound = self._bind(query, models)
        except GraphError as error:
            return Answer("unknown", f"the model cannot be read: {_line(error)}", "", query)
        found = self._decide(query, bound, deadline)
        if found.verdict is Verdict.VERIFIED and _real_without_end(query):
            return Answer("unknown", "proved for all finite float32 inputs only; a real input lacks a bound", "", query)
        if found.verdict is Verdict.VERIFIED:
            graph = None if bound.network is None else bound.network.graph
            said, trees = found.meanings, found.proofs
            return Answer("unsat", found.reason, found.stage, query, meanings=said, proofs=trees, graph=graph)
        if found.verdict is Verdict.UNKNOWN or found.witness is None or found.case is None:
            reason = found.reason if not bound.why_not else f"{found.reason}; no bounds: {bound.why_not}"
            result = "timed-out" if found.timed_out else "unknown"
            return Answer(result, reason, found.stage, query, meanings=found.meanings)
        outputs = bound.models.replay(found.witness[None])[0, : query.answers]
        texts = _texts(query.cases[found.case], found.witness)
        answers = tuple(outputs.tolist())
        return Answer("sat", found.reason, found.stage, query, texts, answers, meanings=found.meanings)

    def _decide(self, query: Query, bound: _Bound, deadline: Deadline) -> Decision:
        generator = torch.Generator().manual_seed(self._seed)
        width = query.inputs if bound.network is None else bound.network.widest
        rows = max(8, min(2048, ELEMENTS // max(1, width)))

        def search(place: int, round_: int, until: Deadline) -> Tensor | None:
            case = query.cases[place]
            clauses = len(case.unsafe.clauses)
            restarts = max(4, rows // clauses)
            attempt = PropertySearch(
                restarts=min(24, restarts) if round_ == 0 else restarts,
                steps=20 if round_ == 0 else min(200, 50 * round_),
                largest=rows,
            )
            found = attempt(
                bound.models.module,
                case.points,
                case.unsafe,
                generator=generator,
                expired=lambda: until.expired,
                deterministic=round_ < 2,
            )
            return found.points if found.hit else None

        def replay(place: int, points: Tensor) -> Tensor | None:
            case = query.cases[place]
            points = float32_box(case.points.bounding_box()).clamp(points.float())
            inside = points[case.points.contains(points) & _representable(points, query)]
            if not len(inside):
                return None
            reached = case.reached(bound.models.replay(inside))
            return inside[reached][0] if bool(reached.any()) else None

        try:
            return decide(
                bound.network,
                query.properties(),
                deadline=deadline,
                search=search,
                replay=replay,
                stages=self._stages,
                keep_proof=self._keep_proof,
            )
        except (MemoryError, RuntimeError, NotImplementedError) as error:
            return Decision(Verdict.UNKNOWN, f"an engine stopped: {_line(error)}")

    def _bind(self, query: Query, models: Mapping[str, Path]) -> _Bound:
        key = (tuple(sorted((name, str(path)) for name, path in models.items())), *_shape(query))
        if key not in self._bound:
            files = {name: self._file(path) for name, path in models.items()}
            bound = QueryNetwork(query, files)
            network, why_not = None, ""
            try:
                box = query.cases[0].cover if query.cases else None
                network = Network(trace(bound.module, (query.inputs,), device=torch.device("cpu"), box=box))
            except RobustError as error:
                why_not = _line(error)
            self._bound[key] = _Bound(bound, network, why_not)
        return self._bound[key]

    def _file(self, path: Path) -> OnnxFile:
        if path not in self._files:
            self._files[path] = read_onnx(path)
        return self._files[path]


def _shape(query: Query) -> tuple[tuple[NetworkDeclaration, ...], tuple[Monomial, ...]]:
    return query.networks, query.observed


def _stages(engine: str) -> tuple[tuple[str, Stage], ...]:
    if engine == "all":
        return STAGES
    wanted = _SEARCHES if engine == "search" else (engine.replace("-splitting", " splitting"),)
    return tuple((name, stage) for name, stage in (*STAGES, *BY_NAME) if name in wanted)


def _real_without_end(query: Query) -> bool:
    types = {item.dtype for network in query.networks for item in network.inputs}
    return any(case.unbounded for case in query.cases) and not types <= {"float32", "float16", "bfloat16"}


def _representable(points: Tensor, query: Query) -> Tensor:
    """Bool ``[n]``: every number is one of its input's declared element type."""
    good, start = torch.ones(len(points), dtype=torch.bool), 0
    narrow = {"float16": torch.float16, "bfloat16": torch.bfloat16}
    for network in query.networks:
        for item in network.inputs:
            piece = points[:, start : start + item.elements]
            if item.dtype in narrow:
                good &= (piece.to(narrow[item.dtype]).float() == piece).all(1)
            start += item.elements
    return good


def _texts(case: Case, witness: Tensor) -> tuple[str, ...]:
    """Numbers that lie inside as decimal numbers too: at the ends of the box every digit is written out."""
    ends = (witness == case.points.lower) | (witness == case.points.upper)
    texts = []
    for place, (value, at_end) in enumerate(zip(witness.tolist(), ends.tolist(), strict=True)):
        short = repr(value)
        if place in case.texts:
            short = case.texts[place]
        elif at_end and Decimal(short) != Decimal(value):
            short = format(Decimal(value), "f")
        texts.append(short)
    return tuple(texts)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
