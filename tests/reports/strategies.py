"""Any record that the models allow, made by hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from robust.record import (
    AuditRecord,
    Band,
    BarPlot,
    CheckRecord,
    Cost,
    Curve,
    CurvePlot,
    DataRecord,
    DecidedBar,
    Decisions,
    Finding,
    GateLevel,
    GateResult,
    ImageItem,
    Images,
    Interval,
    Note,
    Outcome,
    Series,
    SubjectRecord,
    Table,
    Threshold,
    Totals,
    Witness,
)

words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a|b`c", "\x00\x1b[31m\u202e",
                     "]]>", "&amp;", "{{ 7*7 }}", "x" * 300]),
)  # fmt: skip
floats = st.one_of(st.floats(0, 1), st.floats(allow_nan=False, allow_infinity=False), st.just(0.0))
points = st.lists(floats, max_size=4).map(tuple)
scalars = st.one_of(words, st.integers(-9, 9), floats, st.booleans())
pairs = st.dictionaries(words, scalars, max_size=2)
cells = st.one_of(st.none(), scalars)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def some(strategy: st.SearchStrategy[Any], count: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=count).map(tuple)


ranges = maybe(st.tuples(floats, floats))
curves = st.builds(
    Curve, label=words, x=points, y=points, band=maybe(st.builds(Band, low=points, high=points)),
    role=st.sampled_from(["main", "control", "attack", "certificate", "reference"]),
)  # fmt: skip
images = st.builds(ImageItem, png=words, width=st.integers(-1, 200), height=st.integers(-1, 200), caption=words,
                   alt=words)  # fmt: skip
bars = st.builds(Series, label=words, value=floats, low=maybe(floats), high=maybe(floats),
                 role=st.sampled_from(["main", "control", "reference"]))  # fmt: skip
decided = st.builds(
    DecidedBar, label=words, verdicts=some(st.sampled_from(["proved", "broken", "undecided"]), 3),
    engines=some(st.one_of(words, st.sampled_from(["attack", "crown", "branch and bound", "smt", "misclassified"])), 3),
    seconds=points,
)  # fmt: skip
evidence = st.one_of(
    st.builds(CurvePlot, title=words, x_label=words, y_label=words, curves=some(curves, 3), x_range=ranges,
              y_range=ranges, caption=words),
    st.builds(BarPlot, title=words, y_label=words, series=some(bars, 3), y_range=ranges, caption=words),
    st.builds(Decisions, title=words, bar_label=words, samples=some(words), bars=some(decided, 3), caption=words),
    st.builds(Table, title=words, columns=some(words), rows=some(some(cells)), caption=words),
    st.builds(Images, title=words, columns=some(words), rows=some(some(images)), caption=words),
    st.builds(Note, text=words, level=st.sampled_from(["info", "warning"])),
    st.builds(Witness, title=words, path=words, sha256=words, count=st.integers(), caption=words),
)  # fmt: skip
levels = st.sampled_from(list(GateLevel))
intervals = st.builds(lambda a, b, m: Interval(low=min(a, b), high=max(a, b), method=m), floats, floats, words)


@st.composite
def findings(draw: st.DrawFn) -> Finding:
    outcome = draw(st.sampled_from(list(Outcome)))
    return Finding(
        check=draw(words), metric=draw(words), parameters=draw(pairs), title=draw(words),
        value=None if outcome is Outcome.NOT_ASSESSED else draw(maybe(floats)),
        unit=draw(st.sampled_from(["share", "", "nats", "<b>"])), interval=draw(maybe(intervals)),
        n=draw(maybe(st.integers(0, 10**9))), protocol=draw(pairs), outcome=outcome, reason=draw(words) or "because",
        threshold=draw(maybe(st.builds(Threshold, minimum=maybe(floats), maximum=maybe(floats), level=levels))),
        control=draw(st.booleans()), headline=draw(st.booleans()), evidence=draw(some(evidence)),
        cost=Cost(seconds=draw(st.floats(0, 1e6)), forward_passes=draw(maybe(st.integers(0, 9)))),
    )  # fmt: skip


checks = st.builds(
    CheckRecord, name=words, title=words, question=words, level=levels, reason=words, threat_model=words,
    status=st.sampled_from(["completed", "completed", "not assessed", "failed"]), limitations=some(words),
    findings=some(findings(), 4), seconds=st.floats(0, 1e6),
)  # fmt: skip
gates = st.builds(
    GateResult, verdict=st.sampled_from(["passed", "passed", "failed", "undecided"]),
    exit_status=st.sampled_from([0, 0, 1, 3]), sentence=words, totals=st.just(Totals()), failures=some(words, 1),
    warnings=some(words, 1), undecided=some(words, 1),
)  # fmt: skip
subjects = st.builds(SubjectRecord, name=words, source=words, format=words, sha256=words, input_box=words,
                     input_shape=some(st.integers(0, 9)), class_names=some(words), notes=some(words))  # fmt: skip
data = st.builds(DataRecord, name=words, source=words, sha256=words, samples=st.integers(0, 9), notes=some(words),
                 used=st.integers(0, 9), sample_shape=some(st.integers(0, 9)),
                 class_counts=st.dictionaries(words, st.integers(0, 9), max_size=2),
                 groups=st.dictionaries(words, st.dictionaries(words, st.integers(0, 9), max_size=2), max_size=1),
                 )  # fmt: skip
records = st.builds(
    AuditRecord, title=words, tool_version=words, seed=st.integers(0, 99), device=words, command=words,
    plan=st.dictionaries(words, st.one_of(scalars, st.dictionaries(words, scalars, max_size=2)), max_size=2),
    versions=st.dictionaries(words, words, max_size=2), platform=words, subjects=some(subjects), data=some(data),
    checks=some(checks, 3), not_asked=some(words), gate=gates, started=words, finished=words,
    seconds=st.floats(0, 1e6),
)  # fmt: skip
