from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from reports import render_json, schema_text, write_schema
from robust.record import AuditRecord
from tests.reports.sample_record import sample_record

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "schema" / "audit-record.schema.json"


def test_the_published_schema_is_that_of_the_code() -> None:
    """If this fails: ``python -c "from pathlib import Path; import reports; reports.write_schema(Path('...'))"``."""
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text()


def test_the_schema_is_one_and_the_record_fits_it(tmp_path: Path) -> None:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(render_json(sample_record()))
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(document)) == []
    document["verdict"] = "safe"
    del document["gate"]
    assert {error.validator for error in validator.iter_errors(document)} == {"additionalProperties", "required"}
    write_schema(tmp_path / "deep" / "schema.json")
    assert (tmp_path / "deep" / "schema.json").read_text(encoding="utf-8") == schema_text()


def test_a_written_record_reads_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(render_json(sample_record()), encoding="utf-8")
    assert AuditRecord.read(path) == sample_record()
    assert render_json(AuditRecord.read(path)) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["", "{}", "[]", "{"])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    from robust.errors import RecordError

    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError):
        AuditRecord.read(path)
