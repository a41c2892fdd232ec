"""The JUnit file of the sample record, read back; its structure against the common schema, its verdicts by hand."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from reports import render_junit
from robust.record import Finding, GateLevel, Outcome
from tests.reports.sample_record import sample_record
from tests.reports.test_standing import check, finding, record

RECORD = sample_record()
ROOT = ET.fromstring(render_junit(RECORD))
RESULTS = {"failure", "error", "skipped"}


def ending(case: ET.Element) -> str:
    return next((child.tag for child in case if child.tag in RESULTS), "passed")


def endings(root: ET.Element, suite: str) -> dict[str, str]:
    found = next(element for element in root if element.get("name") == suite)
    return {case.get("name") or "": ending(case) for case in found.iter("testcase")}


def test_the_elements_and_attributes_are_those_of_the_common_schema() -> None:
    assert ROOT.tag == "testsuites"
    for suite in ROOT:
        assert suite.tag == "testsuite"
        assert set(suite.attrib) == {"name", "tests", "failures", "errors", "skipped", "time"}
        assert [child.tag for child in suite] == sorted((c.tag for c in suite), key=["properties", "testcase"].index)
        for property_ in suite.iter("property"):
            assert set(property_.attrib) == {"name", "value"}
        for case in suite.iter("testcase"):
            assert set(case.attrib) == {"classname", "name", "time"}
            assert len(case) <= 2
            assert [child.tag for child in case][-1:] in ([], ["system-out"], ["skipped"], ["error"], ["failure"])
            for result in case:
                wanted = {"skipped": {"message"}, "system-out": set()}.get(result.tag, {"message", "type"})
                assert set(result.attrib) == wanted


def test_counts_agree_with_the_cases() -> None:
    for element in (ROOT, *ROOT):
        found = [ending(case) for case in element.iter("testcase")]
        assert int(element.get("tests") or -1) == len(found)
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.get(key) or -1) == found.count(tag)


def test_the_sample_by_hand() -> None:
    attacks = "attacks/accuracy_under_"
    assert endings(ROOT, "attacks") == {
        f"{attacks}attack?attack=pgd&epsilon=0.1&norm=linf": "error",
        f"{attacks}attack?attack=pgd&epsilon=0.2&norm=linf": "failure",
        f"{attacks}attack?attack=pgd&epsilon=1.0&norm=l2": "skipped",
        f"{attacks}noise?epsilon=0.1&norm=linf": "passed",
    }
    assert endings(ROOT, "fairness") == {"fairness (not assessed)": "error"}
    assert endings(ROOT, "generator") == {"generator (stopped)": "error"}
    assert endings(ROOT, "accuracy") == {"accuracy/accuracy": "passed"}
    assert endings(ROOT, "audit") == {"verdict": "failure"}
    assert set(endings(ROOT, "not asked").values()) == {"skipped"}
    assert set(endings(ROOT, "ood").values()) == {"failure", "error"}


def test_properties_carry_value_interval_and_n_of_every_finding() -> None:
    properties = {p.get("name"): p.get("value") for p in ROOT.iter("property")}
    for found in RECORD.findings:
        if found.value is not None:
            assert float(properties[f"{found.id} value"] or "nan") == found.value
            assert properties[f"{found.id} n"] == str(found.n)
    interval = RECORD.findings[0].interval
    assert interval is not None
    assert properties["accuracy/accuracy interval"] == f"[{interval.low}, {interval.high}]"


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (finding(Outcome.INCONCLUSIVE, level=GateLevel.ERROR), "error"),
        (finding(Outcome.INCONCLUSIVE), "error"),
        (finding(Outcome.INCONCLUSIVE, level=GateLevel.WARN), "skipped"),
        (finding(Outcome.NOT_ASSESSED), "error"),
        (finding(Outcome.MEASURED, level=GateLevel.ERROR), "error"),
        (finding(Outcome.FAIL, level=GateLevel.OFF), "skipped"),
    ],
)
def test_what_is_open_is_never_a_passed_test(found: Finding, wanted: str) -> None:
    root = ET.fromstring(render_junit(record(check(found), verdict="undecided", exit_status=3)))
    assert endings(root, "c") == {"c/m": wanted}


def test_the_gate_can_make_an_open_question_an_error() -> None:
    found = finding(Outcome.INCONCLUSIVE, level=GateLevel.WARN)
    root = ET.fromstring(render_junit(record(check(found), undecided=("c/m",))))
    assert endings(root, "c") == {"c/m": "error"}
    assert endings(root, "audit") == {"verdict": "error"}


def test_a_completed_check_without_findings_is_open() -> None:
    root = ET.fromstring(render_junit(record(check())))
    assert endings(root, "c") == {"c (not assessed)": "error"}
