from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.number_format import (
    duration,
    file_size,
    interval_text,
    level_text,
    moment,
    number,
    percent,
    quantity,
    threshold_text,
    value_text,
)
from robust.record import Finding, GateLevel, Interval, Threshold


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.935, "93.5 %"), (0.0, "0.0 %"), (1.0, "100.0 %"), (-0.032, "−3.2 %"), (0.9999, "99.99 %"),
        (0.99996, "99.996 %"), (0.9999999, "> 99.999 %"), (0.0004, "0.04 %"), (1e-7, "< 0.001 %"), (-0.0, "0.0 %"),
        (1.0 - 1e-15, "100.0 %"), (1.2, "120.0 %"), (1e300, "1e+302 %"),
    ],
)  # fmt: skip
def test_percent(value: float, shown: str) -> None:
    assert percent(value) == shown


@given(st.floats(0, 1))
def test_percent_never_rounds_to_a_certainty(share: float) -> None:
    shown = percent(share)
    assert (shown == "0.0 %") == (share <= 1e-12)
    assert (shown == "100.0 %") == (share >= 1 - 1e-12)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (12000, "12,000"), (12000.0, "12,000"), (0.012345, "0.01235"), (1.5, "1.5"), (-2.5, "−2.5"), (-0.0, "0"),
        (123456.7, "123,457"), (1e-9, "1e-09"), (10**400, "about 1e+400"), (-(10**20), "−1e+20"),
        (True, "yes"), (1.7e308, "1.7e+308"),
    ],
)  # fmt: skip
def test_number(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_whole_value_reads_as_agreed() -> None:
    interval = Interval(low=0.91, high=0.956, method="wilson")
    finding = Finding(check="a", metric="b", title="c", value=0.935, unit="share", interval=interval, n=400)
    assert value_text(finding) == "93.5 % [91.0, 95.6] n=400"
    assert value_text(finding.model_copy(update={"value": None})) == "–"
    assert level_text(interval) == "95 % wilson"
    assert level_text(Interval(low=0, high=1, level=1.0, method="enclosure")) == "enclosure"
    assert interval_text(Interval(low=-1.5, high=2, method="m"), "nats") == "[−1.5, 2]"
    assert quantity(0.25, "nats") == "0.25 nats"


def test_threshold_in_words() -> None:
    both = Threshold(minimum=0.5, maximum=0.75, level=GateLevel.WARN)
    assert threshold_text(both, "share") == "at least 50.0 % and at most 75.0 %"
    assert threshold_text(None, "share") == ""


def test_times_and_sizes() -> None:
    assert [duration(s) for s in (0.04, 9.96, 200.0, 7500.0)] == ["0.0 s", "10 s", "3 min 20 s", "2 h 5 min"]
    assert [moment(t) for t in ("2026-01-02T10:01:44+00:00", "soon", "")] == ["2026-01-02 10:01:44 UTC", "soon", "–"]
    assert [file_size(count) for count in (12, 812_400)] == ["12 B", "812 kB"]
