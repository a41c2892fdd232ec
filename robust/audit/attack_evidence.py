"""Curves, tables and pictures of the check ``attacks``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.balls import NORM_NAMES, Norm
from robust.audit.check import Context, Results
from robust.audit.pictures import as_change, as_picture, is_picture
from robust.audit.witnesses import keep_witnesses
from robust.record import Band, Curve, CurvePlot, Evidence, Images, Table, image_item
from robust.statistics import wilson

if TYPE_CHECKING:
    from robust.audit.checks.attacks import Key, Mask

LABELS = {
    "pgd": "PGD",
    "fgsm": "FGSM",
    "ensemble": "ensemble",
    "square": "Square",
    "noise": "uniform noise",
    "all": "all attacks, worst",
}
ROLES: dict[str, Literal["attack", "control"]] = {"noise": "control"}
FEATURES_SHOWN = 3


def accuracy_plot(
    norm: Norm, names: list[str], grid: list[float], masks: Mapping[Key, Mask], clean: NDArray[np.bool_]
) -> CurvePlot:
    """Accuracy over epsilon, one curve per attack, from clean accuracy at 0."""
    curves = []
    for name in names:
        counts = _counts(norm, name, grid, masks, clean)
        bands = [wilson(right, n) for right, n in counts]
        curves.append(
            Curve(
                label=LABELS[name],
                x=(0.0, *grid),
                y=tuple(right / n for right, n in counts),
                band=Band(low=tuple(b.low for b in bands), high=tuple(b.high for b in bands)),
                role=ROLES.get(name, "attack"),
            )
        )
    return CurvePlot(
        title=f"Accuracy under attack, {NORM_NAMES[norm]}",
        x_label=f"epsilon ({NORM_NAMES[norm]}, input units)",
        y_label="accuracy",
        curves=tuple(curves),
        y_range=(0.0, 1.0),
        caption="Upper bounds on robust accuracy, with 95 % Wilson bands. Noise is the control: an attack that is "
        "not below it has found nothing.",
    )


def accuracy_table(
    norm: Norm, names: list[str], grid: list[float], masks: Mapping[Key, Mask], clean: NDArray[np.bool_]
) -> Table:
    """The numbers behind the plot."""
    columns = {name: _counts(norm, name, grid, masks, clean) for name in names}
    rows = tuple(
        (epsilon, *(round(columns[name][i][0] / columns[name][i][1], 4) for name in names), columns[names[0]][i][1])
        for i, epsilon in enumerate((0.0, *grid))
    )
    return Table(
        title=f"Accuracy under attack, {NORM_NAMES[norm]}",
        columns=("epsilon", *(LABELS[name] for name in names), "samples"),
        rows=rows,
    )


def _counts(
    norm: Norm, name: str, grid: list[float], masks: Mapping[Key, Mask], clean: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    covered = masks[norm, name, grid[0]].covered
    points = [(int((clean & covered).sum()), int(covered.sum()))]
    for epsilon in grid:
        mask = masks[norm, name, epsilon]
        points.append((int(mask.robust.sum()), int(mask.covered.sum())))
    return points


class _Broken(NamedTuple):
    """One witness; ordered by how small a radius sufficed, attacks before the control."""

    epsilon: float
    control: bool
    distance: float
    sample: int
    attack: str
    answer: int
    confidence: float
    point: NDArray[np.float32]


def worst_samples(norm: Norm, results: Results, count: int, context: Context) -> tuple[Evidence, ...]:
    """The samples that broke within the smallest radius, and the file with every sample's easiest witness."""
    broken: dict[int, _Broken] = {}
    missing = 0
    for shard, payload in results:
        if shard.parameters["attack"] not in ATTACKS_SHORT:
            continue
        missing += int(payload["new"]) - len(payload["witness_rows"])
        for place, row in enumerate(payload["witness_rows"]):
            index = shard.indices[int(row)]
            new = _Broken(
                float(shard.parameters["epsilon"]),
                bool(shard.parameters["control"]),
                float(payload["distances"][place]),
                index,
                str(shard.parameters["attack"]),
                int(payload["answers"][place]),
                float(payload["confidences"][place]),
                np.asarray(payload["witnesses"][place], dtype=np.float32),
            )
            if index not in broken or new[:5] < broken[index][:5]:
                broken[index] = new
    if not broken:
        return ()
    ranked = sorted(broken.values(), key=lambda one: one[:5])
    kept = keep_witnesses(
        context.directory,
        f"attacks-{norm}",
        {
            "indices": np.array([one.sample for one in ranked], dtype=np.int64),
            "originals": context.data.samples[[one.sample for one in ranked]],
            "adversarials": np.stack([one.point for one in ranked]),
            "labels": context.data.labels[[one.sample for one in ranked]],
            "answers": np.array([one.answer for one in ranked], dtype=np.int64),
            "epsilons": np.array([one.epsilon for one in ranked]),
            "distances": np.array([one.distance for one in ranked]),
        },
        title=f"Witnesses, {NORM_NAMES[norm]}",
        count=len(ranked),
        caption="The easiest witness of each broken sample; every one was replayed on the model."
        + (f" {missing} further ones were too large to keep." if missing else ""),
    )
    worst = ranked[:count]
    if not worst:
        return (kept,)
    shown = _pictures if is_picture(context.data.sample_shape) else _changes
    return (shown(norm, worst, context), kept)


def _pictures(norm: Norm, worst: list[_Broken], context: Context) -> Images:
    box, names = context.classifier.input_box, context.classifier.class_names
    rows = []
    for one in worst:
        original = context.data.samples[one.sample]
        label = names[int(context.data.labels[one.sample])]
        change, factor = as_change(original, one.point, box)
        who = _identifier(one.sample, context)
        caption = f"true {label} → answered {names[one.answer]} at {one.confidence:.2f}"
        rows.append(
            (
                image_item(as_picture(original, box), alt=f"sample {who}, class {label}", caption=f"{who}: {label}"),
                image_item(
                    change,
                    alt=f"perturbation of sample {who}, amplified {factor:g} times around grey",
                    caption=f"× {factor:g}; {ATTACKS_SHORT[one.attack]}, distance {one.distance:.3g}",
                ),
                image_item(as_picture(one.point, box), alt=f"adversarial image: {caption}", caption=caption),
            )
        )
    return Images(
        title=f"Samples that broke first, {NORM_NAMES[norm]}",
        columns=("original", "perturbation, amplified", "adversarial"),
        rows=tuple(rows),
        caption="Smallest radius first. The perturbation is drawn around middle grey.",
    )


def _changes(norm: Norm, worst: list[_Broken], context: Context) -> Table:
    names, features = context.classifier.class_names, context.data.feature_names
    rows = []
    for one in worst:
        before, after = context.data.samples[one.sample].ravel(), one.point.ravel()
        change = np.abs(after.astype(np.float64) - before)
        largest = [int(i) for i in np.argsort(-change, kind="stable")[:FEATURES_SHOWN] if change[i] > 0]
        moved = "; ".join(
            f"{features[i] if len(features) == len(before) else f'x{i}'}: {before[i]:.4g} → {after[i]:.4g}"
            for i in largest
        )
        label = names[int(context.data.labels[one.sample])]
        rows.append(
            (
                _identifier(one.sample, context),
                label,
                names[one.answer],
                round(one.confidence, 4),
                ATTACKS_SHORT[one.attack],
                float(f"{one.distance:.4g}"),
                moved,
            )
        )
    return Table(
        title=f"Samples that broke first, {NORM_NAMES[norm]}",
        columns=("sample", "true", "answered", "confidence", "attack", "distance", "largest changes"),
        rows=tuple(rows),
        caption="Smallest radius first.",
    )


ATTACKS_SHORT = {"pgd": "PGD", "fgsm": "FGSM", "ensemble": "ensemble", "square": "Square", "noise": "noise"}


def _identifier(index: int, context: Context) -> str:
    return context.data.identifiers[index] if context.data.identifiers else str(index)
