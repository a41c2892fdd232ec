"""The audit of the digits from Python: ``python -m examples.digits.audit [FOLDER]``.

The same audit as ``robust audit examples/digits/robust.toml``, and what a program may do with its record.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports import write_reports
from robust.audit import audit
from robust.record import AuditRecord, Outcome

HERE = Path(__file__).parent


def run(output: Path, settings: Mapping[str, Any] | None = None) -> AuditRecord:
    """Audit by the plan of this folder, with ``settings`` before it, and write the reports to ``output``."""
    record = audit(HERE / "robust.toml", output=output, settings=settings)
    write_reports(record, output)
    return record


def lines(record: AuditRecord) -> list[str]:
    """The verdict, what was judged, and what was not asked."""
    found = [f"{record.gate.verdict}: {record.gate.sentence}"]
    for finding in record.findings:
        if finding.threshold is not None or finding.outcome is Outcome.FAIL:
            found.append(f"  {finding.outcome}: {finding.title}: {finding.reason}")
    return found + [f"  not asked: {sentence}" for sentence in record.not_asked]


def main() -> None:
    """Run it, and exit as the command would."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "audit-runs/digits-python")
    record = run(output)
    print("\n".join(lines(record)))
    print(f"report: {output / 'report.html'}")
    sys.exit(record.gate.exit_status)


if __name__ == "__main__":
    main()
