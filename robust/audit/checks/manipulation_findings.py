"""From what was asked and proved of manipulated pictures to findings, with the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robust.audit.check import Context, Results
from robust.audit.pictures import as_change, as_picture
from robust.record import Evidence, Finding, ImageItem, Images, Outcome, Table, Verdict, image_item
from robust.record.evidence import Cell
from robust.statistics import clopper_pearson


def findings(results: Results, images: int, context: Context) -> list[Finding]:
    """One finding per family, one more where its range was to be proved, and the control."""
    kept = [_kept(shard.parameters, payload) for shard, payload in results]
    evidence = [*_gallery(results, images, context), _table(results, context)]
    kept[0] = kept[0].model_copy(update={"evidence": tuple(evidence)})
    proved = [_proved(shard.parameters, payload) for shard, payload in results]
    worst = min(range(len(kept)), key=lambda place: (kept[place].value or 0.0, place))
    kept[worst] = kept[worst].model_copy(update={"headline": True})
    return [*kept, *(finding for finding in proved if finding is not None), _control(results)]


def _kept(parameters: Mapping[str, Any], payload: Mapping[str, Any]) -> Finding:
    samples = payload["samples"]
    right = sum(item["verdict"] == Verdict.VERIFIED for item in samples)
    open_ = sum(item["verdict"] == Verdict.UNKNOWN for item in samples)
    asked, count = samples[0]["asked"], samples[0]["count"]
    complete = f"complete over {count:,} manipulated pictures each"
    said = complete if asked == count else f"{asked:,} of {count:,} manipulated pictures each"
    reason = f"{open_} of {len(samples)} samples are open: not every picture of the set was asked or answered"
    return Finding(
        check="manipulations",
        metric="kept_share",
        parameters={"family": parameters["family"]},
        title=f"Samples that keep their answer, {payload['name']}: {said}",
        value=right / len(samples),
        unit="share",
        interval=clopper_pearson(right, len(samples)),
        n=len(samples),
        better="higher",
        protocol={"set": parameters["set"], "pictures": count, "asked": asked},
        outcome=Outcome.INCONCLUSIVE if open_ else Outcome.MEASURED,
        reason=reason if open_ else "",
    )


def _proved(parameters: Mapping[str, Any], payload: Mapping[str, Any]) -> Finding | None:
    verdicts = [item["proved"] for item in payload["samples"]]
    if all(verdict is None for verdict in verdicts):
        return None
    proved = sum(verdict == Verdict.VERIFIED for verdict in verdicts)
    return Finding(
        check="manipulations",
        metric="proved_share",
        parameters={"family": parameters["family"]},
        title=f"Samples proved to keep their answer over the whole range of {payload['name']}, between steps as well",
        value=proved / len(verdicts),
        unit="share",
        interval=clopper_pearson(proved, len(verdicts)),
        n=len(verdicts),
        better="higher",
        protocol={"set": parameters["set"], "seconds": parameters["seconds"], "engine": "bounds and input splitting"},
    )


def _gallery(results: Results, images: int, context: Context) -> list[Evidence]:
    rows: list[tuple[ImageItem, ...]] = []
    names, box = context.classifier.class_names, context.classifier.input_box
    for shard, payload in results:
        hits = [pair for pair in zip(shard.indices, payload["samples"], strict=True) if pair[1]["witness"] is not None]
        for index, item in hits[:images]:
            sample = context.data.samples[index]
            witness = np.asarray(item["witness"], dtype=np.float32).reshape(sample.shape)
            change, factor = as_change(sample, witness, box)
            label, answer = names[int(context.data.labels[index])], names[item["answer"]]
            rows.append(
                (
                    image_item(as_picture(sample, box), alt=f"the sample, {label}", caption=label),
                    image_item(
                        as_picture(witness, box),
                        alt=f"{item['words']}: answered {answer}",
                        caption=f"{answer}: {item['words']}",
                    ),
                    image_item(change, alt="the change, grey where there is none", caption=f"change x {factor:g}"),
                )
            )
    if not rows:
        return []
    columns = ("sample", "manipulated, and what the model says", "change, amplified")
    return [Images(title="Manipulations that change the answer", columns=columns, rows=tuple(rows))]


def _table(results: Results, context: Context) -> Table:
    rows: list[tuple[Cell, ...]] = []
    names = context.classifier.class_names
    for shard, payload in results:
        for index, item in zip(shard.indices, payload["samples"], strict=True):
            rows.append(
                (
                    payload["name"],
                    context.data.identifiers[index] if context.data.identifiers else index,
                    names[int(context.data.labels[index])],
                    item["asked"],
                    item["broken"],
                    None if item["answer"] is None else names[item["answer"]],
                    item["words"] or None,
                    item["proved"],
                )
            )
    columns = (
        "manipulation",
        "sample",
        "label",
        "pictures asked",
        "of them broken",
        "answer",
        "example",
        "whole range",
    )
    return Table(title="Family by family, sample by sample", columns=columns, rows=tuple(rows))


def _control(results: Results) -> Finding:
    bad: list[tuple[Cell, ...]] = []
    met = 0
    for shard, payload in results:
        if payload["same"] is not None:
            met += 1
            if not payload["same"]:
                bad.append((payload["name"], "a member that changes nothing changes the logits"))
        for index, item in zip(shard.indices, payload["samples"], strict=True):
            met += item["proved"] == Verdict.VERIFIED
            if item["proved"] == Verdict.VERIFIED and item["broken"]:
                bad.append((payload["name"], f"sample {index} is proved, and {item['broken']} pictures break it"))
    common: dict[str, Any] = {
        "check": "manipulations",
        "metric": "contradictions",
        "title": "Proofs that a picture contradicts, and changes that are none and yet change something",
        "unit": "contradictions",
        "better": "lower",
        "control": True,
    }
    if not met:
        return Finding(**common, outcome=Outcome.NOT_ASSESSED, reason="nothing was proved and no set holds no change")
    said = f"{met} proofs and unchanged pictures were compared; none is contradicted"
    return Finding(
        **common,
        value=float(len(bad)),
        n=met,
        outcome=Outcome.FAIL if bad else Outcome.PASS,
        reason=f"{len(bad)} are contradicted" if bad else said,
        evidence=(Table(title="Contradictions", columns=("manipulation", "what"), rows=tuple(bad)),) if bad else (),
    )
