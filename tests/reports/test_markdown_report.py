from __future__ import annotations

from reports.markdown_report import escape, escape_block, render_markdown
from robust.record import CheckRecord, Finding, GateLevel, Outcome, Threshold
from tests.reports.sample_record import sample_record

TEXT = render_markdown(sample_record())


def test_verdict_headlines_failures_and_gaps_are_there() -> None:
    assert TEXT.startswith("## ✗ Failed: Digits classifier, release candidate 3\n")
    assert "### Headlines (5)" in TEXT
    assert "| ✗ failed | Accuracy under PGD, L-inf, epsilon 0.2 | 14.8 % &#91;11.6, 18.6&#93; n=400 |" in TEXT
    assert "AUROC of a random score _(control)_" in TEXT
    assert "not asked: Attacks on the training data, and theft of the model." in TEXT
    assert "Fairness between groups. The data have no group column" in TEXT
    assert "<code>robust audit examples/digits/robust.toml --seed 7 --samples 400</code>" in TEXT


def test_no_line_of_the_undecided_says_passed() -> None:
    undecided = TEXT.split("### Undecided")[1].split("### Warnings")[0]
    assert "passed" not in undecided
    assert undecided.count("∅ void") == 2


def test_escape() -> None:
    assert escape("a|b`c*d_e") == "a&#124;b&#96;c&#42;d&#95;e"
    assert escape("@all https://x www.x.y #1") == "&#64;all https&#58;//x www&#46;x.y &#35;1"
    assert escape_block("- item") == "&#45; item"
    assert escape_block("1. item") == "&#49;. item"
    assert escape_block("*a*") == "&#42;a&#42;"
    assert escape("a\nb") == "a b"
    assert escape("14.8 %") == "14.8 %"


def test_thousands_of_failures_still_fit_a_comment() -> None:
    failing = tuple(
        Finding(check="c", metric=f"m{i}", title="t" * 400, value=0.1, outcome=Outcome.FAIL, reason="r",
                threshold=Threshold(minimum=0.5, level=GateLevel.ERROR))
        for i in range(2000)
    )  # fmt: skip
    many = CheckRecord(name="c", title="C", question="?", level=GateLevel.ERROR, status="completed", findings=failing)
    text = render_markdown(sample_record().model_copy(update={"checks": (many,) * 300}))
    assert len(text) < 65_536
    assert "more in the HTML report" in text
