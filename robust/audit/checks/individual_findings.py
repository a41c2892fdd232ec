"""From what was proved and refuted of people to findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from robust.audit.check import Payload
from robust.fairness.individual import size_in_words, tolerances_in_words
from robust.properties.people import People
from robust.record import Evidence, Finding, Interval, Note, Outcome, Table, Verdict
from robust.record.evidence import Cell
from robust.statistics import wilson

MOST_PARTS = 200
"""Parts that the table shows."""
WORDS = {
    Verdict.VERIFIED: ("certified_share", "share of the domain in certified parts", "higher"),
    Verdict.FALSIFIED: ("refuted_share", "share of the domain in parts with a pair that breaks it", "lower"),
    Verdict.UNKNOWN: ("unknown_share", "share of the domain in parts left unknown", "lower"),
}


@dataclass(frozen=True)
class Question:
    """What was asked of which attribute.

    Attributes:
        kind: ``fair``, ``rising`` or ``falling``.
        column: the attribute that changes.
        people: the domain.
        tolerances: place -> further difference that is allowed.
        margin: of scores.
        classes: names.
        rows: names of the data's rows.
    """

    kind: str
    column: str
    people: People
    tolerances: Mapping[int, float]
    margin: float
    classes: tuple[str, ...]
    rows: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What holds where it is certified."""
        if self.kind == "fair":
            extra = tolerances_in_words(self.people, self.tolerances)
            return f"Another value of {self.column}{extra} never changes the decision"
        moves = "lowers" if self.kind == "rising" else "raises"
        return f"The next higher value of {self.column} never {moves} the score by {self.margin:g}"


def findings(question: Question, payload: Payload, pairs: int) -> list[Finding]:
    """The share that is treated alike, parts by verdict, rows of the data, and the control."""
    made = [_alike(question, payload, pairs)]
    made += [_by_verdict(question, payload, verdict) for verdict in Verdict]
    return [*made, _rows(question, payload), _control(question, payload)]


def _common(question: Question) -> dict[str, Any]:
    return {"check": "individual_fairness", "parameters": {"question": question.kind, "column": question.column}}


def _protocol(question: Question, payload: Payload) -> dict[str, str | int | float | bool]:
    domain = "; ".join(
        f"{item.name} {item.ends[0]:g}..{item.ends[1]:g}" if item.levels is None else f"{item.name} {len(item.levels)}"
        for item in question.people.attributes
    )
    tolerances = ", ".join(
        f"{question.people.attributes[place].name} {most:g}" for place, most in sorted(question.tolerances.items())
    )
    protocol: dict[str, str | int | float | bool] = {
        "domain": domain,
        "parts": len(payload["verdicts"]),
        "tolerances": tolerances or "none",
    }
    return protocol if question.kind == "fair" else {**protocol, "margin": question.margin}


def _share_of(payload: Payload, verdict: Verdict) -> float:
    return min(1.0, sum(float(s) for s, v in zip(payload["shares"], payload["verdicts"], strict=True) if v == verdict))


def _alike(question: Question, payload: Payload, pairs: int) -> Finding:
    """At least so much is proved, at most so much is not known to be broken."""
    certified, counted = _share_of(payload, Verdict.VERIFIED), not question.tolerances
    low, high = (payload["fair"], 1.0 - payload["unfair"]) if counted else (certified, 1.0)
    unknown = payload["verdicts"].count(str(Verdict.UNKNOWN))
    refuted = payload["verdicts"].count(str(Verdict.FALSIFIED))
    size = size_in_words(question.people)
    reason = f"{unknown} of {len(payload['verdicts'])} parts are unknown: work was given up" if unknown else ""
    evidence: list[Evidence] = [_pair_table(question, pair, number) for number, pair in _chosen(payload, pairs)]
    evidence += [_part_table(question, payload), Note(text=_how(question, payload, size, refuted))]
    return Finding(
        **_common(question),
        metric="alike_share",
        title=f"{question.sentence}: share of {size} for which it is proved",
        value=low,
        unit="share",
        interval=Interval(low=low, high=max(low, high), level=1.0, method="enclosure"),
        n=len(payload["verdicts"]),
        better="higher",
        protocol=_protocol(question, payload),
        outcome=Outcome.INCONCLUSIVE if unknown else Outcome.MEASURED,
        reason=reason,
        evidence=tuple(evidence),
        headline=True,
    )


def _how(question: Question, payload: Payload, size: str, refuted: int) -> str:
    stages = {stage: payload["stages"].count(stage) for stage in dict.fromkeys(payload["stages"]) if stage}
    by = ", ".join(f"{count} by {stage}" for stage, count in stages.items())
    text = f"{question.sentence}. Asked of {size}, cut into {len(payload['verdicts'])} parts; decided: {by or 'none'}. "
    steps = len(question.people.attributes[question.people.index(question.column)].levels or ()) - 1
    text += (
        f"Values of {question.column} are compared each with the next, {steps} comparisons a person: where none "
        "of them changes the decision, no two values do. "
        if question.kind == "fair" and steps > 1
        else ""
    )
    if refuted and not question.tolerances:
        text += (
            f"Inside the refuted parts boxes of people were told apart further: at least {payload['fair']:.4g} of all "
            f"comparisons are alike, at least {payload['unfair']:.2g} are not. "
        )
    return text + "Proofs hold in float64 with a margin for rounding; every pair shown is the deployed model's answer."


def _chosen(payload: Payload, count: int) -> list[tuple[int, dict[str, Any]]]:
    """The pairs that are shown: those made of people of the data first, then of the parts with most rows of it."""
    order = sorted(
        payload["pairs"], key=lambda pair: (pair["row"] is None, -payload["rows"][pair["part"]], pair["part"])
    )
    return list(enumerate(order[:count], 1))


def _pair_table(question: Question, pair: Mapping[str, Any], number: int) -> Table:
    rows: list[tuple[Cell, ...]] = []
    marked = []
    for place, item in enumerate(question.people.attributes):
        first, second = (item.word(pair[who][place]) for who in ("first", "second"))
        differs = pair["first"][place] != pair["second"][place]
        if differs:
            marked.append(len(rows))
        rows.append((item.name, first, second, "differs" if differs else ""))
    decisions = [question.classes[int(torch.tensor(outputs).argmax())] for outputs in pair["outputs"]]
    rows.append(("decision", *decisions, "differs" if decisions[0] != decisions[1] else ""))
    if decisions[0] != decisions[1]:
        marked.append(len(rows) - 1)
    known = pair["row"]
    who = "Nobody of the data." if known is None else f"Made of row {question.rows[known]} of the data."
    logits = [outputs[1] - outputs[0] if len(outputs) == 2 else max(outputs) for outputs in pair["outputs"]]
    rows.append(("score", *(float(f"{value:.6g}") for value in logits), ""))
    return Table(
        title=f"Pair {number}: two people who show it for {question.column}",
        columns=("column", "person", "counterpart", "what differs"),
        rows=tuple(rows),
        marked=tuple(marked),
        caption=f"{who} Both were asked on the deployed model.",
    )


def _part_table(question: Question, payload: Payload) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for place, (verdict, share, count) in enumerate(
        zip(payload["verdicts"], payload["shares"], payload["rows"], strict=True)
    ):
        words = _bounds_in_words(question, payload["lower"][place], payload["upper"][place])
        rows.append((words or "everybody", verdict, float(f"{share:.4g}"), count, payload["stages"][place]))
    rows = sorted(rows, key=lambda row: (row[1] == str(Verdict.VERIFIED), -int(row[3] or 0)))[:MOST_PARTS]
    title = f"Parts of the domain: {question.column}" + ("" if question.kind == "fair" else f", {question.kind}")
    return Table(
        title=title, columns=("part", "verdict", "share of the domain", "rows of the data", "by"), rows=tuple(rows)
    )


def _bounds_in_words(question: Question, lower: list[float], upper: list[float]) -> str:
    words = []
    for place, item in enumerate(question.people.attributes):
        if (lower[place], upper[place]) == item.ends or item.name == question.column:
            continue
        low, high = item.word(lower[place]), item.word(upper[place])
        words.append(f"{item.name} {low}" if low == high else f"{item.name} {low} to {high}")
    return ", ".join(words)


def _by_verdict(question: Question, payload: Payload, verdict: Verdict) -> Finding:
    metric, words, better = WORDS[verdict]
    count = payload["verdicts"].count(str(verdict))
    return Finding(
        **_common(question),
        metric=metric,
        title=f"{question.column}, {question.kind}: {words} ({count} parts)",
        value=_share_of(payload, verdict),
        unit="share",
        n=len(payload["verdicts"]),
        better=better,
        protocol=_protocol(question, payload),
    )


def _rows(question: Question, payload: Payload) -> Finding:
    if not payload["known"]:
        return Finding(
            **_common(question),
            metric="rows_changed",
            title="Rows of the data that show it",
            outcome=Outcome.NOT_ASSESSED,
            reason="no row of the data lies in the domain",
        )
    words = "are decided differently" if question.kind == "fair" else "break it"
    return Finding(
        **_common(question),
        metric="rows_changed",
        title=f"Rows of the data that {words} with another value of {question.column} alone",
        value=payload["changed"] / payload["known"],
        unit="share",
        interval=wilson(payload["changed"], payload["known"]),
        n=payload["known"],
        better="lower",
        protocol={"rows": "of the evaluation data", "changes": "each value and the next"},
    )


def _control(question: Question, payload: Payload) -> Finding:
    common = _common(question) | {
        "metric": "contradictions",
        "title": f"Pairs drawn from proved boxes that the deployed model answers differently: {question.column}",
        "unit": "contradictions",
        "better": "lower",
        "control": True,
    }
    if not payload["drawn"]:
        reason = "no box is proved, so there is nothing to contradict"
        return Finding(**common, outcome=Outcome.NOT_ASSESSED, reason=reason)
    bad = payload["contradicted"]
    said = f"none of {payload['drawn']} pairs drawn from proved boxes contradicts the proof"
    return Finding(
        **common,
        value=float(bad),
        n=payload["drawn"],
        outcome=Outcome.FAIL if bad else Outcome.PASS,
        reason=f"{bad} of {payload['drawn']} pairs contradict a proof: the bounds are unsound" if bad else said,
    )
