"""What attacks missed and branch and bound found, as a finding with its witnesses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.balls import NORM_NAMES, Norm
from robust.audit.check import Context, Results
from robust.audit.pictures import as_change, as_picture, is_picture
from robust.audit.witnesses import keep_witnesses
from robust.record import Evidence, Finding, ImageItem, Images, Table, Witness, image_item

MOST_ROWS = 50


class Hit(NamedTuple):
    """A witness, at the radius within which it was looked for."""

    sample: int
    epsilon: float
    point: NDArray[np.float32]
    distance: float
    answer: int


def _hits(results: Results, norm: Norm) -> Iterator[Hit]:
    for shard, payload in results:
        if shard.parameters["norm"] == norm:
            for row, place in enumerate(payload["witness_places"]):
                sample, epsilon = int(payload["sample"][place]), float(payload["epsilon"][place])
                point = np.asarray(payload["witnesses"][row], dtype=np.float32)
                yield Hit(sample, epsilon, point, float(payload["distances"][row]), int(payload["answers"][row]))


def newly_broken(results: Results, norm: Norm, context: Context, images: int) -> list[Finding]:
    """What attacks missed: samples with a witness of branch and bound; nothing if there is none."""
    best: dict[int, Hit] = {}
    for hit in _hits(results, norm):
        if hit.sample not in best or hit.distance < best[hit.sample].distance:
            best[hit.sample] = hit
    hits = sorted(best.values(), key=lambda hit: (hit.epsilon, hit.sample))
    if not hits:
        return []
    names, data = context.classifier.class_names, context.data
    who = [data.identifiers[hit.sample] if data.identifiers else str(hit.sample) for hit in hits]
    rows = tuple(
        (name, names[int(data.labels[sample])], epsilon, float(f"{distance:.4g}"), names[answer])
        for name, (sample, epsilon, _, distance, answer) in zip(who, hits, strict=True)
    )
    kept = _kept(norm, hits, context)
    columns = ("sample", "true", "epsilon", "distance", "answered")
    title = f"Broken by branch and bound alone, {NORM_NAMES[norm]}"
    shown: list[Evidence] = [Table(title=title, columns=columns, rows=rows[:MOST_ROWS]), kept]
    if images and is_picture(context.classifier.input_shape):
        shown.append(_pictures(norm, hits[:images], who, context))
    return [
        Finding(
            check="branching",
            metric="broken_by_branching",
            parameters={"norm": norm},
            title=f"Samples that branch and bound broke within {NORM_NAMES[norm]} balls in which attacks found nothing",
            value=float(len(hits)),
            unit="samples",
            better="lower",
            headline=True,
            reason="The attacks alone made the model look more robust than it is; each witness was replayed on it.",
            evidence=tuple(shown),
        )
    ]


def _kept(norm: Norm, hits: list[Hit], context: Context) -> Witness:
    data, samples = context.data, np.array([hit.sample for hit in hits], dtype=np.int64)
    return keep_witnesses(
        context.directory,
        f"branching-{norm}",
        {
            "samples": samples,
            "originals": data.samples[samples],
            "adversarials": np.stack([hit.point for hit in hits]),
            "labels": data.labels[samples],
            "answers": np.array([hit.answer for hit in hits], dtype=np.int64),
            "epsilons": np.array([hit.epsilon for hit in hits]),
            "distances": np.array([hit.distance for hit in hits]),
        },
        title=f"Witnesses of branch and bound, {NORM_NAMES[norm]}",
        count=len(hits),
        caption="The nearest of each sample; every one was replayed on the model.",
    )


def _pictures(norm: Norm, hits: list[Hit], who: list[str], context: Context) -> Images:
    box, names = context.classifier.input_box, context.classifier.class_names
    rows: list[tuple[ImageItem, ...]] = []
    for name, (sample, epsilon, point, _, answer) in zip(who, hits, strict=False):
        original = context.data.samples[sample]
        label = names[int(context.data.labels[sample])]
        change, factor = as_change(original, point, box)
        caption = f"true {label} → answered {names[answer]}, within {epsilon:g}"
        rows.append(
            (
                image_item(as_picture(original, box), alt=f"sample {name}, class {label}", caption=f"{name}: {label}"),
                image_item(
                    change, alt=f"the change of sample {name}, grey where there is none", caption=f"× {factor:g}"
                ),
                image_item(as_picture(point, box), alt=f"witness: {caption}", caption=caption),
            )
        )
    return Images(
        title=f"What attacks missed, {NORM_NAMES[norm]}",
        columns=("original", "change, amplified", "witness"),
        rows=tuple(rows),
    )
