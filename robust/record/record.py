"""The audit record: everything that was asked, found, and not found. Versioned; JSON Schema published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError

from robust.errors import RecordError
from robust.record.base import RecordModel
from robust.record.finding import Finding, GateLevel, Outcome

SCHEMA_VERSION = "1.2"


class SubjectRecord(RecordModel):
    """The identity of one audited model."""

    role: Literal["classifier", "generator", "judge"] = "classifier"
    name: str
    source: str
    """Where it came from, as the plan names it."""
    format: str
    """``onnx``, ``torch factory``, ``torchscript``, ``exported program``, ``python object``."""
    sha256: str
    """Digest of structure, parameters and preprocessing."""
    parameters: int | None = None
    """How many trained numbers it has, where that is known."""
    input_shape: tuple[int, ...]
    input_box: str
    """The declared input box in words, for example ``[0, 1]``."""
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Assumptions made at load, for example how labels were matched to outputs."""


class DataRecord(RecordModel):
    """The identity of one data set."""

    role: Literal["evaluation", "reference", "out-of-distribution"] = "evaluation"
    name: str
    source: str
    sha256: str
    """Digest of samples, labels and groups."""
    samples: int
    used: int
    """How many the checks drew at most (a stratified subsample by seed)."""
    sample_shape: tuple[int, ...]
    class_counts: dict[str, int] = Field(default_factory=dict)
    groups: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Group column -> group -> count."""
    notes: tuple[str, ...] = ()


class CheckRecord(RecordModel):
    """One check of the plan and how it ended."""

    name: str
    title: str
    question: str
    """What it asks of the subject."""
    level: GateLevel
    status: Literal["completed", "not assessed", "not applicable", "failed"]
    """``not assessed``: it could not be asked of this subject. ``not applicable``: the question does not arise, and
    nobody asked it. ``failed``: it stopped with an error of ours or the machine's; nothing may be read from it."""
    reason: str = ""
    threat_model: str = ""
    limitations: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    shards: int = 0


class Totals(RecordModel):
    """How many findings ended how."""

    passed: int = 0
    failed: int = 0
    warned: int = 0
    inconclusive: int = 0
    not_assessed: int = 0
    measured: int = 0


class GateResult(RecordModel):
    """The verdict on top of the report."""

    verdict: Literal["passed", "failed", "undecided", "not judged"]
    exit_status: Literal[0, 1, 3]
    sentence: str
    totals: Totals
    failures: tuple[str, ...] = ()
    """Ids of findings that failed an error-level threshold, or failed controls."""
    warnings: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    """Ids of findings (or names of checks) that were asked for and stayed open."""


class AuditRecord(RecordModel):
    """One audit, whole. The gate and every report are pure functions of it."""

    schema_version: str = SCHEMA_VERSION
    title: str
    tool_version: str
    seed: int
    device: str
    plan: dict[str, JsonValue]
    """The resolved plan, every value."""
    command: str
    """The command that reproduces it."""
    versions: dict[str, str]
    """Versions of what the numbers depend on."""
    platform: str
    subjects: tuple[SubjectRecord, ...]
    data: tuple[DataRecord, ...]
    checks: tuple[CheckRecord, ...]
    not_asked: tuple[str, ...] = ()
    """Sentences: what nobody asked (switched off, or not applicable). What was asked for and could not be assessed
    is a check or a finding that says so."""
    gate: GateResult
    started: str = ""
    """ISO 8601 with time zone."""
    finished: str = ""
    seconds: float = 0.0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order of the checks."""
        return tuple(finding for check in self.checks for finding in check.findings)

    def count(self, outcome: Outcome) -> int:
        """How many findings ended so."""
        return sum(finding.outcome is outcome for finding in self.findings)

    def to_json(self) -> str:
        """Canonical JSON: keys in the order of the schema, two spaces, a newline at the end."""
        return self.model_dump_json(indent=2) + "\n"

    def comparable_json(self) -> str:
        """``to_json`` without times: equal for two runs of the same plan and seed on the same machine."""
        return json.dumps(_without_times(self.model_dump(mode="json")), indent=2, sort_keys=True)

    @classmethod
    def read(cls, path: Path) -> AuditRecord:
        """Read and validate a record file.

        Raises:
            RecordError: missing, not JSON, of another version, or not valid.
        """
        try:
            text = path.read_text(encoding="utf-8")
            document = json.loads(text)
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RecordError(
                f"cannot read the record {path}", wanted="a record.json written by `robust audit`", got=error
            ) from error
        version = document.get("schema_version") if isinstance(document, dict) else None
        if not isinstance(version, str) or version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise RecordError(
                f"{path} is not a record that this version reads",
                wanted=f"schema_version {SCHEMA_VERSION}",
                got=repr(version),
                hint="render it with the version of robust-audit that wrote it, or run the audit again",
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise RecordError(f"{path} does not fit the record's schema", got=error) from error


def record_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``record.json``."""
    schema = AuditRecord.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_times(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_times(value) for key, value in node.items() if key not in {"seconds", "started", "finished"}
        }
    if isinstance(node, list):
        return [_without_times(item) for item in node]
    return node
