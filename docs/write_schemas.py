"""Write the published JSON Schemas: ``python -m docs.write_schemas``."""

from __future__ import annotations

import json
from pathlib import Path

from robust.audit.plan import plan_schema
from robust.record import record_schema

HERE = Path(__file__).parent / "schema"


def main() -> None:
    """Both schemas, into ``docs/schema``."""
    HERE.mkdir(exist_ok=True)
    for name, schema in (("audit-record", record_schema()), ("plan", plan_schema())):
        (HERE / f"{name}.schema.json").write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
