"""A record whose every text attacks the reader, and whose every number is awkward."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from reports import render_html, render_junit, render_markdown
from robust.record import (
    AuditRecord,
    BarPlot,
    CheckRecord,
    Curve,
    CurvePlot,
    Finding,
    GateLevel,
    GateResult,
    ImageItem,
    Images,
    Outcome,
    Series,
    SubjectRecord,
    Table,
    Totals,
    Witness,
)
from tests.reports.reading import read_html

EVIL = "<img src=x onerror=alert(1)><script>alert('&')</script>\"'`|\x00\x1b[2J\u202e]]>@everyone https://evil.example"
LONG = "Grundstücksverkehrsgenehmigungszuständigkeitsübertragungsverordnung" * 3


def hostile_record() -> AuditRecord:
    """Evil text everywhere, a hundred classes, empty and constant figures, a broken picture."""
    flat = CurvePlot(title=EVIL, x_label=LONG, y_label=LONG, caption=EVIL, curves=(
        Curve(label=EVIL, x=(0.5,), y=(0.25,)), Curve(label=LONG, x=(), y=(), role="reference")))  # fmt: skip
    empty = CurvePlot(title="", x_label="", y_label="", curves=())
    huge = CurvePlot(title="huge", x_label="x", y_label="y", curves=(
        Curve(label="a", x=(-1.7e308, 1.7e308), y=(-1.7e308, 1.7e308)), Curve(label="b", x=(0.0,), y=(5e-324,))),
    )  # fmt: skip
    bars = tuple(Series(label=f"{i} {LONG}", value=i / 100, low=max(0, i / 100 - 0.1)) for i in range(100))
    classes = BarPlot(title="Hundred classes", y_label="share", y_range=(0, 1), series=bars)
    negative = BarPlot(title="Gaps", y_label="gap", series=(Series(label="a", value=-0.2, low=-0.3, high=0.1),))
    wide = Table(title=EVIL, columns=tuple(LONG for _ in range(9)),
                 rows=tuple((EVIL, None, True, -0.0, 1e300, 3, LONG) for _ in range(40)))  # fmt: skip
    broken = Images(title=EVIL, columns=(EVIL,), rows=((ImageItem(png='x" onerror="alert(1)', width=0, height=0,
                                                                  alt=EVIL, caption=EVIL),),))  # fmt: skip
    found = Finding(check="evil", metric=EVIL, title=EVIL, value=0.5, unit=EVIL, outcome=Outcome.PASS, reason=EVIL,
                    parameters={EVIL: EVIL}, protocol={EVIL: EVIL}, headline=True,
                    evidence=(flat, empty, huge, classes, negative, wide, broken,
                              Witness(title=EVIL, path="javascript:alert(1)", sha256=EVIL, count=1)))  # fmt: skip
    again = CheckRecord(name="evil", title=EVIL, question=EVIL, level=GateLevel.WARN, status="completed",
                        threat_model=EVIL, limitations=(EVIL,), findings=(found,))  # fmt: skip
    return AuditRecord(
        title=EVIL, tool_version=EVIL, seed=1, device=EVIL, plan={EVIL: {EVIL: EVIL}}, command=EVIL,
        versions={EVIL: EVIL}, platform=EVIL, data=(), not_asked=(EVIL,), started=EVIL, finished=EVIL,
        subjects=(SubjectRecord(name=EVIL, source=EVIL, format=EVIL, sha256=EVIL, input_shape=(), input_box=EVIL,
                                class_names=tuple(EVIL for _ in range(100)), notes=(EVIL,)),),
        checks=(again, again.model_copy(update={"title": LONG})),
        gate=GateResult(verdict="undecided", exit_status=3, sentence=EVIL, totals=Totals(), undecided=(EVIL,)),
    )  # fmt: skip


def test_html_shows_the_text_and_makes_no_element_of_it() -> None:
    page = read_html(render_html(hostile_record()))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not [element for element in page.walk() for key in element.attributes if key.startswith("on")]
    assert "<img src=x onerror=alert(1)><script>alert('&')</script>" in page.all("h1")[0].text
    assert "picture cannot be shown" in page.text
    assert not [link for link in page.all("a") if not link.attributes["href"].startswith("#")]


@pytest.mark.parametrize("render", [render_html, render_junit, render_markdown])
def test_no_control_character_survives(render: object) -> None:
    assert callable(render)
    assert not set(render(hostile_record())) & set("\x00\x1b\u202e")


def test_junit_is_still_xml_and_keeps_the_words() -> None:
    root = ET.fromstring(render_junit(hostile_record()))
    assert "<script>alert('&')</script>" in (root.get("name") or "")


def test_markdown_escapes_markup_mentions_links_and_cells() -> None:
    text = render_markdown(hostile_record())
    assert "<img" not in text
    assert "@everyone" not in text
    assert "://" not in text
    assert "&#64;everyone" in text
