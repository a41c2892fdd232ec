"""The check of one proof file against its model and query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robust.checker.boxes import Boxes
from robust.checker.model import read_model
from robust.checker.neurons import Naming, Neurons
from robust.checker.program import Program
from robust.checker.proof import ProofFile, numbers
from robust.checker.query import Group, read_query
from robust.checker.questions import Case, Questions, outward
from robust.checker.verdict import Established, InvalidError, NotEstablishedError, RefusedError
from robust.checker.witness import check_witness

FORMAT = 1
BOX_COLUMNS = ("parent", "inherits", "lower", "upper", "cut_lower", "cut_upper")
NEURON_COLUMNS = (
    *("questions", "ground", "question", "parent", "side", "node", "element", "threshold", "columns"),
    *("slope_places", "leaf", "slopes", "slope_count", "weights", "weight_count"),
    *("multiplier_leaf", "multiplier_column", "multiplier"),
)


def check_proof(proof: Path, model: Path, query: Path) -> Established:
    """Establish again what a proof says, in real numbers: that the model reaches no unsafe output of the query, or that
    an input does.

    Args:
        proof: written by ``robust verify --proof``.
        model: the ONNX file, gzipped or not.
        query: VNN-LIB 1, gzipped or not.

    Raises:
        RefusedError: a file is not what it should be.
        InvalidError: the proof is of another model or query, or something in it is not so.
        NotEstablishedError: something is beyond this checker.
    """
    with ProofFile(proof) as file:
        groups, query_digest = read_query(query)
        program, model_digest = read_model(model)
        header = file.header
        if header.get("format") != FORMAT:
            raise RefusedError(f"the proof has format {header.get('format')!r}, not {FORMAT}")
        if header.get("query") != query_digest:
            raise InvalidError("the query", f"the proof is of {header.get('query')!r}, this is {query_digest}")
        models = header.get("models")
        if not isinstance(models, dict) or list(models.values()) != [model_digest]:
            raise InvalidError("the model", f"the proof is of {models!r}, this is {model_digest}")
        if "witness" in header:
            stated = header["witness"]
            broken = check_witness(stated.get("inputs") if isinstance(stated, dict) else None, program, groups)
            return Established(query_digest, (model_digest,), 1, 1, 0, broken.smallest, falsified=True)
        cases = header.get("cases")
        if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
            raise RefusedError("the header has no list of cases")
        if len(cases) != len(groups):
            raise InvalidError("the cases", f"the query has {len(groups)}, the proof {len(cases)}")
        rows, added, smallest = 0, 0, np.inf
        for place, (case, group) in enumerate(zip(cases, groups, strict=True)):
            done = _case(file, place, case, program, group)
            rows, added, smallest = rows + done.rows, added + done.added, min(smallest, done.smallest)
    return Established(query_digest, (model_digest,), len(groups), rows, added, smallest)


def _case(file: ProofFile, place: int, case: dict[str, Any], program: Program, group: Group) -> Case:
    if len(group.lower) != program.steps[0].size:
        raise InvalidError("the query", f"it has {len(group.lower)} inputs, the model {program.steps[0].size}")
    questions = Questions.of(group, program.steps[program.output].size)
    ends = outward(group.lower, down=True), outward(group.upper, down=False)
    where = f"case {place}"
    if case.get("tree") not in ("boxes", "neurons") or case.get("format") != 2:
        raise NotEstablishedError(where, f"a tree of {case.get('tree')!r}, format {case.get('format')!r}")
    if case["tree"] == "neurons":
        names = {name: numbers(file.column(f"{place}/{name}"), None) for name in NEURON_COLUMNS}
        naming = Naming.of(file.header.get("nodes"), program)
        neurons = Neurons(program, questions, *ends, where, columns=names, naming=naming)
        neurons.check()
        return neurons
    columns = {name: file.column(f"{place}/{name}") for name in (*BOX_COLUMNS, "varying")}
    width, count = columns["varying"].shape, columns["parent"].shape
    if len(width) != 1 or len(count) != 1:
        raise InvalidError(where, "its first arrays are no lists")
    for name in BOX_COLUMNS:
        numbers(columns[name], count[0], width[0] if name in BOX_COLUMNS[2:] else None)
    boxes = Boxes(program, questions, *ends, where, columns=columns)
    boxes.check()
    return boxes
