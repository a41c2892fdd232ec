"""VNN-LIB: what a text means, by hand; what it may not say; and that written text is read back as it was."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.errors import PropertyError
from robust.properties import Box, Halfspaces, Property, UnsafeSet
from robust.properties.vnnlib import (
    Query,
    parse_query,
    property_query,
    read_query,
    write_version_1,
    write_version_2,
)
from robust.properties.vnnlib.numbers import above, below, nearest_float32

SHARED = Path(__file__).resolve().parents[3] / "shared" / "vnncomp"
HEAD = "(declare-const X_0 Real)\n(declare-const X_1 Real)\n(declare-const Y_0 Real)\n(declare-const Y_1 Real)\n"
BOX = "(assert (>= X_0 -1))\n(assert (<= X_0 1.0))\n(assert (<= 0.25 X_1))\n(assert (>= 0.75 X_1))\n"
SECOND = "(vnnlib-version <2.0>)\n(declare-network N\n (declare-input X {0} [1,2])\n (declare-output Y {0} [2]))\n"


def rows(query: Query, case: int = 0) -> list[list[tuple[list[float], float, bool]]]:
    """Clauses of a case as plain numbers: matrix row, offset, strict."""
    found = query.cases[case]
    return [
        list(zip(clause.matrix.tolist(), clause.offset.tolist(), strict.tolist(), strict=True))
        for clause, strict in zip(found.unsafe.clauses, found.strict, strict=True)
    ]


def test_a_box_and_a_conjunction() -> None:
    query = parse_query(HEAD + "; a comment (with brackets\n" + BOX + "(assert (<= Y_0 Y_1))(assert (>= Y_1 3.5))")
    assert (query.version, query.inputs, query.answers, query.plain) == (1, 2, 2, True)
    assert query.cases[0].cover.lower.tolist() == [-1.0, 0.25]
    assert query.cases[0].cover.upper.tolist() == [1.0, 0.75]
    assert rows(query) == [[([1.0, -1.0], 0.0, False), ([0.0, -1.0], -3.5, False)]]


def test_two_disjunctions_multiply() -> None:
    text = "(assert (or (and (<= Y_0 0)) (and (<= Y_1 0))))(assert (or (>= Y_0 5) (and (>= Y_1 6) (< Y_0 7))))"
    query = parse_query(HEAD + BOX + text)
    assert len(query.cases) == 1
    assert rows(query) == [
        [([1, 0], 0, False), ([-1, 0], -5, False)],
        [([1, 0], 0, False), ([0, -1], -6, False), ([1, 0], 7, True)],
        [([0, 1], 0, False), ([-1, 0], -5, False)],
        [([0, 1], 0, False), ([0, -1], -6, False), ([1, 0], 7, True)],
    ]


def test_boxes_in_a_disjunction_are_cases_and_each_has_all_output_clauses() -> None:
    text = """(assert (or (and (<= X_0 0) (>= X_0 -1)) (and (<= X_0 5) (>= X_0 4))))
    (assert (>= X_1 0)) (assert (<= X_1 1)) (assert (or (<= Y_0 0) (<= Y_1 0)))"""
    query = parse_query(HEAD + text)
    assert [case.cover.lower.tolist() for case in query.cases] == [[-1, 0], [4, 0]]
    assert [case.cover.upper.tolist() for case in query.cases] == [[0, 1], [5, 1]]
    assert [len(case.unsafe.clauses) for case in query.cases] == [2, 2]


def test_input_and_output_constraints_inside_one_disjunction() -> None:
    text = "(assert (or (and (<= X_0 0) (>= Y_0 1)) (and (>= X_0 0.5) (<= Y_1 2)) (and (>= X_0 2) (<= Y_1 3))))"
    query = parse_query(HEAD + BOX + text)
    assert [case.cover.lower[0].item() for case in query.cases] == [-1.0, 0.5]
    assert [case.cover.upper[0].item() for case in query.cases] == [0.0, 1.0]
    assert rows(query, 0) == [[([-1, 0], -1, False)]]
    assert rows(query, 1) == [[([0, 1], 2, False)]]


def test_arithmetic_is_exact() -> None:
    text = "(assert (<= (+ (* 2 Y_0) (- Y_1) 0.5) (* 0.1 (- Y_0 3 Y_1))))"
    query = parse_query(HEAD + BOX + text)
    ((row, offset, strict),) = rows(query)[0]
    assert row == [1.9, -0.9]
    assert (offset, strict) == (-0.8, False)


def test_equality_inequality_and_constants() -> None:
    query = parse_query(HEAD + BOX + "(assert (== Y_0 2))(assert (!= Y_1 3))(assert (<= 1 2))")
    assert rows(query) == [
        [([1, 0], 2, False), ([-1, 0], -2, False), ([0, 1], 3, True)],
        [([1, 0], 2, False), ([-1, 0], -2, False), ([0, -1], -3, True)],
    ]
    assert parse_query(HEAD + BOX + "(assert (<= Y_0 1))(assert (>= 1 2))").cases == ()


def test_inputs_and_products_in_constraints_are_observed() -> None:
    query = parse_query(HEAD + BOX + "(assert (<= (+ X_0 X_1) Y_0))(assert (>= (* X_0 Y_1) 2))")
    assert query.observed == ((2,), (3,), (0,), (1,), (0, 3))
    assert not query.plain
    assert rows(query) == [[([-1, 0, 1, 1, 0], 0, False), ([0, 0, 0, 0, -1], -2, False)]]


def test_strict_constraints_exclude_their_border() -> None:
    query = parse_query(HEAD + BOX + "(assert (< Y_0 1))")
    points = torch.tensor([[1.0, 0.0], [np.nextafter(1.0, 0.0), 0.0]], dtype=torch.float64)
    assert query.cases[0].reached(points).tolist() == [False, True]
    assert query.cases[0].unsafe.contains(points).tolist() == [True, True]


def test_the_points_lie_inside_and_the_cover_outside_of_the_decimal_box() -> None:
    query = parse_query(
        HEAD + "(assert (>= X_0 0.1))(assert (<= X_0 0.3))(assert (> X_1 0))(assert (< X_1 1))(assert (<= Y_0 0))"
    )
    case = query.cases[0]
    lower, upper = Decimal(case.cover.lower[0].item()), Decimal(case.cover.upper[0].item())
    assert lower <= Decimal("0.1")
    assert upper >= Decimal("0.3")
    low, high = case.points.lower, case.points.upper
    assert Decimal(low[0].item()) >= Decimal("0.1") > Decimal(float(np.nextafter(np.float32(low[0]), np.float32(-9))))
    assert Decimal(high[0].item()) <= Decimal("0.3") < Decimal(float(np.nextafter(np.float32(high[0]), np.float32(9))))
    assert 0 < low[1].item() < 1e-44
    assert high[1].item() == float(np.nextafter(np.float32(1), np.float32(0)))
    assert case.texts == {}


def test_an_input_fixed_between_two_float32_numbers_keeps_its_text() -> None:
    case = parse_query(HEAD + "(assert (= X_0 0.1))(assert (>= X_1 0))(assert (<= X_1 1))(assert (<= Y_0 0))").cases[0]
    assert case.texts == {0: "0.1"}
    assert case.points.lower[0] == case.points.upper[0] == torch.tensor(0.1)
    assert case.cover.lower[0].item() <= 0.1 < torch.tensor(0.1).double().item() <= case.cover.upper[0].item()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_rounding_of_decimals(value: Decimal) -> None:
    assert Decimal(below(value)) <= value <= Decimal(above(value))
    assert above(value) == below(value) or above(value) == np.nextafter(below(value), np.inf)
    near = float(nearest_float32(value))
    for other in (np.nextafter(np.float32(near), np.float32(s)) for s in (-np.inf, np.inf)):
        assert abs(Decimal(near) - value) <= abs(Decimal(float(other)) - value)


BAD = {
    "": "nothing in it",
    "(assert (<= X_0 1)": "ends inside a bracket",
    HEAD + ")": "line 5: a bracket is closed",
    HEAD + BOX: "no constraint on the outputs",
    HEAD + BOX + "(assert (<= Y_7 1))": "line 9: 'Y_7'",
    HEAD + BOX + "\n(assert (<= Y_0 nan))": "line 10: 'nan'",
    HEAD + BOX + "(assert (<= Y_0 inf))": "'inf'",
    HEAD + BOX + "(assert (<= X_0 1e9999))(assert (<= Y_0 1))": "'1e9999'",
    HEAD + BOX + "(assert (<= X_0 -2))(assert (<= Y_0 1))": "empty: X_0",
    HEAD + BOX + "(assert (< X_0 -1))(assert (<= Y_0 1))": "empty: X_0",
    HEAD + "(assert (<= X_0 1))(assert (<= Y_0 1))": "X_0 has no lower bound",
    HEAD + BOX + "(assert (xor (<= Y_0 1) (<= Y_1 1)))": "unknown operator 'xor'",
    HEAD + BOX + "(assert (<= Y_0))": "compares two",
    HEAD + BOX + "(assert (<= Y_0 1) (<= Y_1 1))": "holds one constraint",
    HEAD + BOX + "(prove (<= Y_0 1))": "unknown statement 'prove'",
    HEAD + BOX + "(assert (or))": "empty 'or'",
    HEAD + BOX + "(assert (<= (/ Y_0 2) 1))": "sum, difference or product",
    HEAD + BOX + "stray (assert (<= Y_0 1))": "outside all brackets",
    HEAD + "(declare-const X_0 Real)" + BOX: "declared twice",
    "(declare-const X_0 Real)(declare-const X_2 Real)(declare-const Y_0 Real)": "gaps",
    "(declare-const X_0 Real)": "needs inputs and outputs",
    "(declare-const Z Real)": "a declaration was expected",
    "(vnnlib-version <3.0>)": "another version",
    "(vnnlib-version <2.0>)": "no network",
    "(vnnlib-version <2.0>)(declare-network N (declare-input X Real [1,2]))": "input and an output",
    SECOND.format("float31"): "element type",
    SECOND.format("real") + "(assert (<= X[0,2] 1))": "'X[0,2]'",
    SECOND.format("real") + "(declare-network N (declare-input A real [1])(declare-output B real [1]))": "twice",
    SECOND.format("real")
    + "(declare-network M (equal-to Q)(declare-input A real [1])(declare-output B real [1]))": "Q",
    SECOND.format("real") + "(declare-network M (equal-to N)(declare-input A real [1])(declare-output B real [1]))": (
        "other shapes"
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.items())
def test_bad_input_is_named(text: str, message: str) -> None:
    with pytest.raises(PropertyError) as caught:
        parse_query(text)
    assert message in str(caught.value)


def test_version_2_with_several_networks() -> None:
    text = """(vnnlib-version <2.0>)
    (declare-network f (declare-input X Real [1,2]) (declare-hidden H float32 [2] "conv1") (declare-output Y real [1]))
    (declare-network g (equal-to f) (declare-input X2 real [1, 2]) (declare-hidden H2 real [2] "conv1")
        (declare-output Y2 real [1]))
    (declare-network h (isomorphic-to f) (declare-input U real []) (declare-output V real []))
    (assert (and (<= X[0,0] 1) (>= X[0,0] 0) (<= X[0, 1] 1) (>= X[0, 1] 0)))
    (assert (and (== X2[0,0] 1) (== X2[0,1] 2) (<= U 4) (>= U 3)))
    (assert (> Y2[0] (+ Y[0] H[1] (* 2 V))))"""
    query = parse_query(text)
    assert (query.version, query.inputs, query.answers) == (2, 5, 7)
    assert [network.equal_to for network in query.networks] == [None, "f", None]
    assert query.networks[2].isomorphic_to == "f"
    assert query.cases[0].cover.lower.tolist() == [0, 0, 1, 2, 3]
    # answers: H[0] H[1] Y[0] H2[0] H2[1] Y2[0] V
    assert rows(query) == [[([0, 1, 1, 0, 0, -1, 2], 0, True)]]


def test_gzipped_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "query.vnnlib.gz"
    path.write_bytes(gzip.compress((HEAD + BOX + "(assert (<= Y_0 Y_1))").encode()))
    assert rows(read_query(path)) == [[([1.0, -1.0], 0.0, False)]]
    (tmp_path / "broken.vnnlib").write_bytes(path.read_bytes()[:20])
    with pytest.raises(PropertyError, match="cannot read the query"):
        read_query(tmp_path / "broken.vnnlib")


numbers = st.floats(-1e6, 1e6, width=32)


@st.composite
def properties(draw: st.DrawFn) -> Property:
    inputs, outputs = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    ends = [sorted(draw(st.tuples(numbers, numbers))) for _ in range(inputs)]
    clauses = []
    for _ in range(draw(st.integers(1, 3))):
        count = draw(st.integers(1, 3))
        matrix = [[draw(st.floats(-1e3, 1e3)) for _ in range(outputs)] for _ in range(count)]
        for row in matrix:
            row[0] = row[0] or 1.0
        offset = [draw(st.floats(-1e3, 1e3)) for _ in range(count)]
        clauses.append(Halfspaces(torch.tensor(matrix, dtype=torch.float64), torch.tensor(offset, dtype=torch.float64)))
    lower, upper = (torch.tensor([end[side] for end in ends], dtype=torch.float64) for side in (0, 1))
    return Property(Box(lower, upper), UnsafeSet(tuple(clauses)))


@settings(max_examples=60, deadline=None)
@given(properties(), st.data())
def test_what_is_written_is_read_back(item: Property, data: st.DataObject) -> None:
    query = property_query(item)
    again = [parse_query(write_version_1(query)), parse_query(write_version_2(query))]
    again.append(parse_query(write_version_2(again[0])))
    outputs = torch.tensor([[data.draw(st.floats(-10, 10)) for _ in range(item.unsafe.outputs)] for _ in range(8)])
    for other in again:
        assert len(other.cases) == 1
        assert torch.equal(other.cases[0].points.lower.double(), item.inputs.bounding_box().lower)
        assert torch.equal(other.cases[0].cover.upper, item.inputs.bounding_box().upper)
        distance = item.unsafe.distance(outputs.double())
        clear = distance.abs() > 1e-6 * (1 + distance.abs())
        assert torch.equal(other.cases[0].reached(outputs)[clear], item.unsafe.contains(outputs.double())[clear])


def test_cases_strictness_products_and_networks_survive_writing() -> None:
    text = """(vnnlib-version <2.0>)
    (declare-network f (declare-input X real [1,2]) (declare-hidden H real [2] "conv1") (declare-output Y real [1]))
    (declare-network g (equal-to f) (declare-input A real []) (declare-output B real [1]))"""
    text = (
        text.replace("(equal-to f)", "(isomorphic-to f)")
        + """
    (assert (or (and (>= X[0,0] 0) (< Y[0] 1)) (and (>= X[0,0] 2) (<= (* X[0,1] Y[0]) H[1]))))
    (assert (and (<= X[0,0] 9) (>= X[0,0] -9) (<= X[0,1] 4) (>= X[0,1] 3) (== A 0.1)))"""
    )
    query = parse_query(text)
    again = parse_query(write_version_2(query))
    assert again.networks == query.networks
    assert again.observed == query.observed
    assert [rows(again, place) for place in (0, 1)] == [rows(query, place) for place in (0, 1)]
    assert again.cases[0].texts == query.cases[0].texts == {2: "0.1"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="no benchmarks beside the checkout")
def test_every_shared_query_is_read() -> None:
    count = 0
    for folder in sorted(SHARED.iterdir()):
        for path in sorted((folder / "vnnlib").glob("*"))[:3] if folder.is_dir() else []:
            query = read_query(path)
            assert query.cases
            assert query.plain
            count += 1
    assert count >= 20
    boxes = read_query(SHARED / "acasxu" / "vnnlib" / "prop_6.vnnlib.gz").cases
    assert [case.points.contains(torch.tensor([[0.0, -0.2, -0.4995, 0, 0]])).item() for case in boxes] == [False, True]
    assert [len(case.unsafe.clauses) for case in boxes] == [4, 4]
