"""Verdicts combine by the written table; findings and records are closed and versioned."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from robust.errors import RecordError
from robust.record import (
    AuditRecord,
    CheckRecord,
    Finding,
    GateLevel,
    GateResult,
    Interval,
    Outcome,
    Totals,
    Verdict,
    image_item,
    record_schema,
)

V, F, U = Verdict.VERIFIED, Verdict.FALSIFIED, Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("one", "other", "both"), [(V, V, V), (V, U, V), (U, V, V), (F, F, F), (F, U, F), (U, F, F), (U, U, U)]
)
def test_answers_to_one_property(one: Verdict, other: Verdict, both: Verdict) -> None:
    assert one.combine(other) is both


@pytest.mark.parametrize(("one", "other"), [(V, F), (F, V)])
def test_a_contradiction_is_an_error(one: Verdict, other: Verdict) -> None:
    with pytest.raises(ValueError, match="unsound"):
        one.combine(other)


@pytest.mark.parametrize(("parts", "whole"), [([V, V], V), ([V, U], U), ([U, F], F), ([V, F, U], F), ([], V)])
def test_conjunction(parts: list[Verdict], whole: Verdict) -> None:
    assert Verdict.conjunction(parts) is whole


def record(**more: object) -> AuditRecord:
    finding = Finding(check="c", metric="m", title="t", value=0.5, parameters={"b": 2, "a": "x"})
    check = CheckRecord(
        name="c", title="C", question="?", level=GateLevel.ERROR, status="completed", findings=(finding,), seconds=1.0
    )
    values: dict[str, object] = {
        "title": "t",
        "tool_version": "0",
        "seed": 0,
        "device": "cpu",
        "plan": {"seed": 0},
        "command": "robust audit",
        "versions": {},
        "platform": "p",
        "subjects": (),
        "data": (),
        "checks": (check,),
        "gate": GateResult(verdict="not judged", exit_status=0, sentence="s", totals=Totals()),
    }
    return AuditRecord.model_validate(values | more)


def test_round_trip_and_schema(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(record().to_json(), encoding="utf-8")
    assert AuditRecord.read(path) == record()
    jsonschema.validate(record().model_dump(mode="json"), record_schema())


def test_comparable_json_leaves_out_times_only() -> None:
    assert record(started="a", seconds=1.0).comparable_json() == record(started="b", seconds=2.0).comparable_json()
    assert record(seed=1).comparable_json() != record(seed=2).comparable_json()


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": "99.0"}', '{"schema_version": "1.0"}', "\x00"])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError):
        AuditRecord.read(path)


def test_finding_id_orders_its_parameters() -> None:
    assert record().findings[0].id == "c/m?a=x&b=2"


def test_an_outcome_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="without a reason"):
        Finding(check="c", metric="m", title="t", outcome=Outcome.PASS)


def test_not_assessed_has_no_value() -> None:
    with pytest.raises(ValidationError, match="yet has a value"):
        Finding(check="c", metric="m", title="t", value=1.0, outcome=Outcome.NOT_ASSESSED, reason="r")


def test_nan_and_upside_down_intervals_are_refused() -> None:
    with pytest.raises(ValidationError):
        Finding(check="c", metric="m", title="t", value=float("nan"))
    with pytest.raises(ValidationError, match="upside down"):
        Interval(low=1.0, high=0.0, method="m")


def test_pictures_are_png_and_the_same_every_time() -> None:
    pixels = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    item = image_item(pixels, alt="a ramp")
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(item.png))))
    np.testing.assert_array_equal(decoded, np.round(pixels * 255).astype(np.uint8))
    assert item == image_item(pixels, alt="a ramp")
    assert image_item(np.zeros((3, 300, 150), np.float32), alt="big").height == 128


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="not a picture"):
        image_item(np.zeros((2, 8, 8), np.float32), alt="two channels")
