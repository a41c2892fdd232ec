"""Check what an audit wrote: the record against the published schema, the report for size and outside references."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import jsonschema

LARGEST_REPORT = 2_000_000


def main() -> None:
    """Exit with a message if anything is wrong."""
    plan = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    directory = Path(plan.get("output", "audit-runs/latest"))
    schema = json.loads(Path("docs/schema/audit-record.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads((directory / "record.json").read_text(encoding="utf-8")), schema)
    html = (directory / "report.html").read_text(encoding="utf-8")
    if len(html.encode()) > LARGEST_REPORT:
        sys.exit(f"the report has {len(html.encode())} bytes, more than {LARGEST_REPORT}")
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](https?:)?//[^"']*""", html)
    if outside:
        sys.exit(f"the report refers to the network: {outside[:3]}")


if __name__ == "__main__":
    main()
