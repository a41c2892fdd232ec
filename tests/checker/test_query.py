"""Queries read by the checker, against answers by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from robust.checker.query import groups_of
from robust.checker.verdict import NotEstablishedError, RefusedError

DECLARED = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)"
BOX = "(assert (and (>= X_0 -1e-1) (<= X_0 0.25) (<= 0 X_1) (<= (* 2 X_1) 1.5)))"


def test_boxes_are_exact_and_rows_are_at_most_their_bound() -> None:
    (group,) = groups_of(f"; words\n{DECLARED}{BOX}(assert (>= (+ Y_0 (* -2 Y_1) 3) (- Y_1 0.1)))")
    assert (group.lower, group.upper) == ([Fraction(-1, 10), Fraction(0)], [Fraction(1, 4), Fraction(3, 4)])
    assert group.clauses == [[({"Y_0": Fraction(-1), "Y_1": Fraction(3)}, Fraction(31, 10))]]


def test_branches_with_one_box_are_one_group_and_empty_ones_go() -> None:
    text = f"""{DECLARED}{BOX}
    (assert (or (and (<= X_0 0.1) (<= Y_0 1)) (and (<= Y_0 2) (<= X_0 0.1)) (and (<= X_0 -5) (<= Y_0 3))
    (< Y_1 Y_0)))"""
    first, second = groups_of(text)
    assert first.upper[0] == Fraction(1, 10)
    assert [[(dict(row), bound) for row, bound in clause] for clause in first.clauses] == [
        [({"Y_0": Fraction(1)}, Fraction(1))],
        [({"Y_0": Fraction(1)}, Fraction(2))],
    ]
    assert second.upper[0] == Fraction(1, 4)
    assert second.clauses == [[({"Y_1": Fraction(1), "Y_0": Fraction(-1)}, Fraction(0))]]


def test_version_two_counts_elements_row_after_row() -> None:
    text = """(vnnlib-version <2.0>)
    (declare-network N (declare-input X float32 [1, 2]) (declare-output Out float32 [2,2]))
    (assert (and (>= X[0,0] 0) (<= X[0,0] 1) (>= X[0, 1] 2) (<= X[0,1] 3)))
    (assert (== Out[1,0] Out[0,1]))"""
    (group,) = groups_of(text)
    assert (group.lower, group.upper) == ([Fraction(0), Fraction(2)], [Fraction(1), Fraction(3)])
    assert group.clauses == [
        [
            ({"Y_2": Fraction(1), "Y_1": Fraction(-1)}, Fraction(0)),
            ({"Y_1": Fraction(1), "Y_2": Fraction(-1)}, Fraction(0)),
        ],
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"{DECLARED}{BOX}(assert (<= Y_0 X_0))", NotEstablishedError),
        (f"{DECLARED}(assert (<= Y_0 0))", NotEstablishedError),
        (f"{DECLARED}{BOX}(assert (<= (* Y_0 Y_1) 0))", NotEstablishedError),
        (f"{DECLARED}{BOX}(assert (not (<= Y_0 0)))", NotEstablishedError),
        (f"{DECLARED}{BOX}(assert (<= Y_0 1e999999999))", NotEstablishedError),
        ("(declare-const X_1 Real)", NotEstablishedError),
        (f"{DECLARED}{BOX}(assert (<= Y_0 0)", RefusedError),
        ("(" * 10_000, RefusedError),
        (f"{DECLARED}{BOX}" + "(assert (or (<= Y_0 0) (<= Y_1 0)))" * 40, NotEstablishedError),
        ("(declare-network N (declare-input X float32 [9999999999,9]) (declare-output Y float32 [1]))", RefusedError),
        ("(declare-network N (declare-input X float32 [99999999,9]) (declare-output Y float32 [1]))", RefusedError),
    ],
)
def test_other_forms_are_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        groups_of(text)
