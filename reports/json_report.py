"""The record as JSON, and its published schema. ``python -m reports.json_report`` rewrites the schema file."""

from __future__ import annotations

import json
from pathlib import Path

from reports.files import write_atomically
from robust.record import AuditRecord, record_schema

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "docs" / "schema" / "audit-record.schema.json"


def render_json(record: AuditRecord) -> str:
    """Canonical JSON; ``AuditRecord.read`` reads it back to an equal record."""
    return record.to_json()


def schema_text() -> str:
    """JSON Schema (draft 2020-12) of the record, as published under docs/schema."""
    return json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_atomically(SCHEMA_FILE, schema_text())
