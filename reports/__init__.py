"""An ``AuditRecord`` as HTML, JSON, JUnit XML, Markdown and a console summary. Reads ``robust.record`` alone."""

from reports.console_report import render_console
from reports.evidence_page import render_evidence_page
from reports.html_report import render_html
from reports.json_report import render_json, schema_text, write_schema
from reports.junit_report import render_junit
from reports.markdown_report import render_markdown
from reports.write import FORMATS, write_reports

__all__ = [
    "FORMATS",
    "render_console",
    "render_evidence_page",
    "render_html",
    "render_json",
    "render_junit",
    "render_markdown",
    "schema_text",
    "write_reports",
    "write_schema",
]
