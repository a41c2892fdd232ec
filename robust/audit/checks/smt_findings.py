"""From verdicts on single samples to findings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from robust.audit.check import Context, Results
from robust.audit.checks.sandwich import Answers
from robust.audit.pictures import as_change, as_picture, is_picture
from robust.record import Evidence, Finding, ImageItem, Images, Interval, Note, Outcome, Table, Verdict, image_item
from robust.statistics import clopper_pearson

WORDS = {
    Verdict.VERIFIED: "Samples proved to keep their answer",
    Verdict.FALSIFIED: "Samples with an input in the ball that gets another answer",
    Verdict.UNKNOWN: "Samples left undecided",
}


def findings(results: Results, images: int, context: Context, earlier: Mapping[str, Results]) -> list[Finding]:
    """One finding per verdict, and the control."""
    evidence: list[Evidence] = [_table(results, context), *_pictures(results, images, context)]
    arithmetic = next((payload["arithmetic"] for _, payload in results if payload["arithmetic"]), None)
    if arithmetic:
        evidence.append(
            Note(text=f"Verified holds in {arithmetic}. Trusting Z3: no proof is kept that others could check.")
        )
    found = [_share(verdict, results) for verdict in Verdict]
    found[0] = found[0].model_copy(update={"evidence": tuple(evidence), "headline": True})
    return [*found, _control(results, context, earlier)]


def _share(verdict: Verdict, results: Results) -> Finding:
    parameters = results[0][0].parameters
    count = sum(payload["verdict"] == verdict for _, payload in results)
    undecided = [payload["reason"] for _, payload in results if payload["verdict"] == Verdict.UNKNOWN]
    free, interval = parameters["free_inputs"], clopper_pearson(count, len(results))
    if verdict is Verdict.FALSIFIED and undecided:  # each of them may be false as well
        most = clopper_pearson(count + len(undecided), len(results)).high
        interval = Interval(low=interval.low, high=most, method="clopper-pearson, undecided counted on top")
    few = "" if free is None else f", where only the {free} most influential inputs may change"
    named = {"norm": "linf", "epsilon": parameters["epsilon"], **({} if free is None else {"free_inputs": free})}
    return Finding(
        check="smt",
        metric=f"{verdict}_share",
        parameters=named,
        title=f"{WORDS[verdict]} within L-inf {parameters['epsilon']:g}{few}",
        value=count / len(results),
        unit="share",
        interval=interval,
        n=len(results),
        better="higher" if verdict is Verdict.VERIFIED else "lower",
        protocol={
            "norm": "linf",
            "epsilon": parameters["epsilon"],
            "free inputs": "all" if free is None else free,
            "samples": "drawn from the rightly answered ones",
            "steps": parameters["steps"],
            "engine": f"z3 {parameters['z3']}",
        },
        outcome=Outcome.INCONCLUSIVE if undecided else Outcome.MEASURED,
        reason=f"{len(undecided)} of {len(results)} samples are undecided: {undecided[0]}" if undecided else "",
    )


def _table(results: Results, context: Context) -> Table:
    names = context.classifier.class_names
    rows = tuple(
        (
            context.data.identifiers[shard.indices[0]] if context.data.identifiers else shard.indices[0],
            names[int(context.data.labels[shard.indices[0]])],
            shard.parameters["epsilon"],
            payload["free"],
            payload["verdict"],
            None if payload["rival"] is None else names[payload["rival"]],
            payload["reason"],
        )
        for shard, payload in results
    )
    columns = (
        "sample",
        "label",
        "epsilon",
        "free inputs",
        "verdict",
        "answer at the witness",
        "how it was established",
    )
    return Table(title="Sample by sample", columns=columns, rows=rows)


def _pictures(results: Results, images: int, context: Context) -> list[Images]:
    shape, box = context.classifier.input_shape, context.classifier.input_box
    hits = [pair for pair in results if pair[1]["witness"] is not None][:images]
    if not hits or not is_picture(shape):
        return []
    rows: list[tuple[ImageItem, ...]] = []
    for shard, payload in hits:
        index = shard.indices[0]
        sample = context.data.samples[index]
        witness = np.asarray(payload["witness"], dtype=np.float32).reshape(shape)
        change, factor = as_change(sample, witness, box)
        names = context.classifier.class_names
        label, rival = names[int(context.data.labels[index])], names[payload["rival"]]
        rows.append(
            (
                image_item(as_picture(sample, box), alt=f"the sample, answered {label}", caption=label),
                image_item(change, alt="the change, grey where there is none", caption=f"change x {factor:g}"),
                image_item(as_picture(witness, box), alt=f"the witness, answered {rival}", caption=rival),
            )
        )
    return [Images(title="Witnesses", columns=("sample", "change, amplified", "witness"), rows=tuple(rows))]


def _control(results: Results, context: Context, earlier: Mapping[str, Results]) -> Finding:
    answers = Answers.collect(earlier.get("certificates", ()), earlier.get("attacks", ()), len(context.data))
    points = sum(payload["control_points"] for _, payload in results)
    bad: list[tuple[str, str]] = []
    compared = 0
    for shard, payload in results:
        index, epsilon, verdict = shard.indices[0], float(shard.parameters["epsilon"]), payload["verdict"]
        everything_free = shard.parameters["free_inputs"] is None
        proved = bool(answers.proved("linf", epsilon)[index])
        broken = everything_free and bool(answers.broken("linf", epsilon)[index])
        compared += proved or broken or payload["control_points"] > 0
        if verdict == Verdict.FALSIFIED and proved:
            bad.append((shard.name, "falsified, though a certificate holds at this or a larger epsilon"))
        if verdict == Verdict.VERIFIED and broken:
            bad.append((shard.name, "verified, though an attack broke it at this or a smaller epsilon"))
        if payload["control_broken"]:
            bad.append((shard.name, f"verified, though {payload['control_broken']} drawn points are answered wrongly"))
    met = f"{compared} of {len(results)} verdicts met a certificate, an attack or drawn points; none contradicts"
    return Finding(
        check="smt",
        metric="contradictions",
        title="Verdicts that a certificate, an attack or a drawn point contradicts",
        value=float(len(bad)),
        unit="contradictions",
        n=len(results),
        better="lower",
        control=True,
        protocol={"points drawn from verified balls": points},
        outcome=Outcome.FAIL if bad else Outcome.PASS,
        reason=f"{len(bad)} verdicts are contradicted: an engine is unsound" if bad else met,
        evidence=(Table(title="Contradictions", columns=("sample", "what"), rows=tuple(bad)),) if bad else (),
    )
