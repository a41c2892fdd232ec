"""Verdicts, findings, evidence and the audit record: what reports and the gate read, and all that they read.

Names are resolved on first use, so that an engine that only says verdicts imports no pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robust.record.answer import Meanings, Verdict
    from robust.record.evidence import (
        Band,
        BarPlot,
        Curve,
        CurvePlot,
        DecidedBar,
        Decisions,
        Evidence,
        ImageItem,
        Images,
        Note,
        ProofFile,
        Proofs,
        Series,
        Table,
        Witness,
    )
    from robust.record.finding import Cost, Finding, GateLevel, Interval, Outcome, Threshold
    from robust.record.images import image_item, png_bytes
    from robust.record.record import (
        SCHEMA_VERSION,
        AuditRecord,
        CheckRecord,
        DataRecord,
        GateResult,
        SubjectRecord,
        Totals,
        record_schema,
    )
    from robust.record.verdict import VerdictResult

_HOMES = {
    "AuditRecord": "robust.record.record",
    "Band": "robust.record.evidence",
    "BarPlot": "robust.record.evidence",
    "CheckRecord": "robust.record.record",
    "Cost": "robust.record.finding",
    "Curve": "robust.record.evidence",
    "CurvePlot": "robust.record.evidence",
    "DataRecord": "robust.record.record",
    "DecidedBar": "robust.record.evidence",
    "Decisions": "robust.record.evidence",
    "Evidence": "robust.record.evidence",
    "Finding": "robust.record.finding",
    "GateLevel": "robust.record.finding",
    "GateResult": "robust.record.record",
    "ImageItem": "robust.record.evidence",
    "Images": "robust.record.evidence",
    "Interval": "robust.record.finding",
    "Meanings": "robust.record.answer",
    "Note": "robust.record.evidence",
    "Outcome": "robust.record.finding",
    "ProofFile": "robust.record.evidence",
    "Proofs": "robust.record.evidence",
    "SCHEMA_VERSION": "robust.record.record",
    "Series": "robust.record.evidence",
    "SubjectRecord": "robust.record.record",
    "Table": "robust.record.evidence",
    "Threshold": "robust.record.finding",
    "Totals": "robust.record.record",
    "Verdict": "robust.record.answer",
    "VerdictResult": "robust.record.verdict",
    "Witness": "robust.record.evidence",
    "image_item": "robust.record.images",
    "png_bytes": "robust.record.images",
    "record_schema": "robust.record.record",
}

__all__ = [
    "SCHEMA_VERSION",
    "AuditRecord",
    "Band",
    "BarPlot",
    "CheckRecord",
    "Cost",
    "Curve",
    "CurvePlot",
    "DataRecord",
    "DecidedBar",
    "Decisions",
    "Evidence",
    "Finding",
    "GateLevel",
    "GateResult",
    "ImageItem",
    "Images",
    "Interval",
    "Meanings",
    "Note",
    "Outcome",
    "ProofFile",
    "Proofs",
    "Series",
    "SubjectRecord",
    "Table",
    "Threshold",
    "Totals",
    "Verdict",
    "VerdictResult",
    "Witness",
    "image_item",
    "png_bytes",
    "record_schema",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'robust.record' has no attribute {name!r}")
