"""A witness: one input, whose outputs are unsafe beyond all rounding."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from robust.checker.bounds import bound
from robust.checker.program import Program
from robust.checker.query import NUMBER, Group
from robust.checker.questions import Case, Questions, outward
from robust.checker.verdict import InvalidError, NotEstablishedError, RefusedError


def check_witness(stated: Any, program: Program, groups: list[Group]) -> Case:
    """That an input lies in a box of the query, and that its outputs reach an unsafe clause there.

    Args:
        stated: the texts of the input's numbers.
        program: the model.
        groups: of the query.

    Returns:
        The case that it breaks; ``smallest`` is how far inside of the unsafe set the outputs are.

    Raises:
        RefusedError: no list of numbers.
        InvalidError: it lies in no box.
        NotEstablishedError: the outputs are safe, or within rounding of the threshold.
    """
    if not isinstance(stated, list) or not all(isinstance(text, str) and NUMBER.match(text) for text in stated):
        raise RefusedError("the witness is no list of decimal numbers")
    point = [Fraction(text) for text in stated]
    if len(point) != program.steps[0].size:
        raise InvalidError("the witness", f"it has {len(point)} numbers, the model {program.steps[0].size} inputs")
    inside = [
        (place, group)
        for place, group in enumerate(groups)
        if len(group.lower) == len(point)
        and all(low <= x <= high for low, x, high in zip(group.lower, point, group.upper, strict=True))
    ]
    if not inside:
        raise InvalidError("the witness", "it lies in no box of the query")
    lower, upper = outward(point, down=True)[None], outward(point, down=False)[None]
    best = np.inf
    for place, group in inside:
        questions = Questions.of(group, program.steps[program.output].size)
        opposite = Questions(-questions.rows, -questions.offsets, questions.clause, questions.count)
        with np.errstate(all="ignore"):
            slopes, constants = opposite.lines(bound(program, lower, upper))
            least = constants + np.where(slopes > 0, slopes * lower[:, None], slopes * upper[:, None]).sum(2)
        excess = np.nan_to_num(-least[0], nan=np.inf)  # what ``a @ y - b`` is at most
        for clause in range(questions.count):
            worst = float(excess[questions.clause == clause].max(initial=-np.inf))
            if worst < 0:
                return Case(program, questions, lower[0], upper[0], f"case {place}", 1, 0, -worst)
            best = min(best, worst)
    raise NotEstablishedError("the witness", f"its outputs may be {best:.3g} away from the unsafe set")
