"""The record as JSON, and its published schema."""

from __future__ import annotations

import json
from pathlib import Path

from reports.files import write_atomically
from robust.record import AuditRecord, record_schema


def render_json(record: AuditRecord) -> str:
    """Canonical JSON; ``AuditRecord.read`` reads it back to an equal record."""
    return record.to_json()


def schema_text() -> str:
    """JSON Schema (draft 2020-12) of the record, as published under docs/schema."""
    return json.dumps(record_schema(), indent=2, ensure_ascii=False) + "\n"


def write_schema(path: Path) -> None:
    """Write ``schema_text`` to ``path``; the published file is ``docs/schema/audit-record.schema.json``.

    Raises:
        UsageError: the file cannot be written.
    """
    write_atomically(path, schema_text())
