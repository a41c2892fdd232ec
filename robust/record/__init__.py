"""Verdicts, findings, evidence and the audit record: what reports and the gate read, and all that they read."""

from robust.record.evidence import (
    Band,
    BarPlot,
    Curve,
    CurvePlot,
    Evidence,
    ImageItem,
    Images,
    Note,
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
from robust.record.verdict import Verdict, VerdictResult

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
    "Evidence",
    "Finding",
    "GateLevel",
    "GateResult",
    "ImageItem",
    "Images",
    "Interval",
    "Note",
    "Outcome",
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
