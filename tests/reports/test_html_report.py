"""The page of the sample record: complete, self-contained, small, and true."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re

from reports import render_html
from robust.record import Curve, CurvePlot, ImageItem, Images, Outcome, Table
from tests.reports.reading import Element, read_html
from tests.reports.sample_record import sample_record

RECORD = sample_record()
TEXT = render_html(RECORD)
PAGE = read_html(TEXT)


def section(anchor: str) -> Element:
    return next(element for element in PAGE.walk() if element.attributes.get("id") == anchor)


def test_every_finding_is_there_once_with_its_identifier_title_and_reason() -> None:
    shown = [element.text for element in PAGE.by_class("id")]
    assert sorted(shown) == sorted(finding.id for finding in RECORD.findings)
    for finding in RECORD.findings:
        assert finding.title in PAGE.text
        assert finding.reason in PAGE.text


def test_nothing_is_fetched_from_anywhere() -> None:
    for element in PAGE.walk():
        for key in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            assert element.attributes.get(key, "#").startswith(("#", "data:image/png;base64,"))
        assert "url(" not in element.attributes.get("style", "")
    style = " ".join(element.text for element in PAGE.all("style"))
    assert "@import" not in style
    assert "url(" not in style
    assert not PAGE.all("link")
    assert "http://" not in TEXT
    assert "https://" not in TEXT


def test_the_policy_names_our_script_and_forbids_the_rest() -> None:
    policy = next(e.attributes["content"] for e in PAGE.all("meta") if "http-equiv" in e.attributes)
    script = re.search(r"<script>(.*?)</script>", TEXT, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_small_even_with_a_hundred_thumbnails() -> None:
    rng_free = bytes(range(256)) * 12  # 3 kB, about a 28 by 28 picture in colour
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + rng_free).decode()
    rows = tuple((ImageItem(png=png, width=28, height=28, alt="picture"),) for _ in range(100))
    first = RECORD.checks[0].findings[0]
    finding = first.model_copy(update={"evidence": (*first.evidence, Images(title="many", rows=rows))})
    check = RECORD.checks[0].model_copy(update={"findings": (finding,)})
    assert len(TEXT) < 200_000
    assert len(render_html(RECORD.model_copy(update={"checks": (check,)}))) < 800_000


def test_verdict_and_counts_on_top() -> None:
    hero = PAGE.by_class("hero")[0]
    assert hero.by_class("word")[0].text == "Verdict: Failed"
    counts = dict(reversed(e.text.split(" ", 1)) for e in hero.by_class("counts")[0].all("li"))
    # 4 findings passed by outcome; the one of the discredited check is void, and so is its measurement.
    assert counts == {"passed": "3", "failed": "2", "warning": "1", "undecided": "2", "not assessed": "1", "void": "2",
                      "measured": "12"}  # fmt: skip
    assert sum(map(int, counts.values())) == len(RECORD.findings)
    assert sum(f.outcome is Outcome.PASS for f in RECORD.findings) == 4


def test_what_decides_the_verdict_links_to_the_findings() -> None:
    links = list(section("why").all("a"))
    targets = {link.attributes["href"][1:]: link.text for link in links}
    for finding in (f for f in RECORD.findings if f.id in {*RECORD.gate.failures, *RECORD.gate.undecided}):
        anchor = next(key for key, words in targets.items() if words == finding.title)
        assert finding.id in section(anchor).text


def test_what_was_not_assessed_is_said_in_full() -> None:
    words = section("not-assessed").text
    for sentence in (*RECORD.not_asked, RECORD.checks[6].reason, RECORD.checks[7].reason, "No near set was given."):
        assert sentence in words


def test_identity_provenance_plan_and_command() -> None:
    assert section("command").text == RECORD.command
    for words in (RECORD.subjects[0].sha256, RECORD.data[0].sha256, RECORD.platform, "2.13.0", "checks.smt.seconds"):
        assert words in PAGE.text


def test_headings_descend_one_step_at_a_time() -> None:
    levels = [int(e.name[1]) for e in PAGE.walk() if re.fullmatch("h[1-6]", e.name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_pictures_have_words_and_whole_multiples_of_their_pixels() -> None:
    pictures = PAGE.all("img")
    assert len(pictures) == 8 * 3 + 10
    assert {(e.attributes["width"], e.attributes["height"]) for e in pictures} == {("96", "96")}
    assert all(e.attributes["alt"] for e in pictures)


def test_tables_have_captions_and_scopes() -> None:
    for table in PAGE.all("table"):
        assert table.all("caption")
        assert all(cell.attributes.get("scope") in {"row", "col"} for cell in table.all("th"))


def test_the_same_record_makes_the_same_page() -> None:
    assert render_html(sample_record()) == TEXT


def test_what_is_too_long_for_a_page_is_cut_and_said_to_be() -> None:
    xs = tuple(index / 5000 for index in range(5001))
    roc = CurvePlot(title="ROC", x_label="FPR", y_label="TPR", curves=(Curve(label="energy", x=xs, y=xs),))
    table = Table(title="all", columns=("a",), rows=tuple((index,) for index in range(1000)), caption="C.")
    first = RECORD.checks[0].findings[0].model_copy(update={"evidence": (roc, table)})
    check = RECORD.checks[0].model_copy(update={"findings": (first,)})
    page = read_html(render_html(RECORD.model_copy(update={"checks": (check,)})))
    assert "4,961 further points are in record.json." in page.text
    assert "C. 600 further rows are in record.json." in page.text
    path = next(e.attributes["d"] for e in page.all("path") if e.attributes.get("class") == "curve main c0")
    assert path.count("L") == 999
    assert path.startswith("M56,260")
    assert path.endswith("L464,34")
