"""Pictures, bars and tables behind the findings about a generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from robust.audit.check import Context, Payload
from robust.generation.assess import Assessment, CopyAssessment
from robust.generation.diversity import ClassDiversity, smallest
from robust.record import BarPlot, Evidence, ImageItem, Images, Series, Table, image_item
from robust.statistics import wilson

PIXELS = 100_000
"""Pixels that one gallery may show, so that a report stays small."""
COLUMNS = 10
"""Columns of a table of generated rows."""


def overview(measured: Mapping[str, Assessment], layer: str) -> Table:
    """Every measure of the generator and of every control."""
    columns = ("set", "n", "Frechet", "precision", "recall", "density", "coverage", "least diversity", "copies")
    return Table(
        title="The generator beside sets of known nature",
        columns=(*columns, "authentic", "C_T"),
        rows=tuple((source, *_row(item)) for source, item in measured.items()),
        caption=f"Features: {layer}. A memoriser has the best distances and only the copy columns give it away; one "
        "image per class keeps precision and loses diversity. Copies in the row 'real' are those of held-out samples.",
    )


def _row(item: Assessment) -> tuple[int | float | None, ...]:
    scores, copying = item.manifold, item.copying
    least = smallest(list(item.diversity))[0] if item.diversity else None
    return (
        item.generated,
        item.frechet,
        scores.precision,
        scores.recall,
        scores.density,
        scores.coverage,
        least,
        None if copying is None else copying.copies.share,
        None if copying is None else copying.authentic / copying.copies.count,
        None if copying is None else copying.statistic,
    )


def picturable(shape: tuple[int, ...]) -> bool:
    """Whether a sample is a grey or colour picture."""
    return (len(shape) == 2 and min(shape) > 1) or (len(shape) == 3 and shape[0] in (1, 3))


def sample_grid(payload: Payload, context: Context, conditional: bool) -> Evidence:
    """Generated samples, a row per class; a table of them where they are no pictures."""
    samples, labels = payload["gallery"], payload["gallery_labels"]
    names = context.classifier.class_names
    how = "asked for" if conditional else "as judged"
    if not picturable(samples.shape[1:]):
        return _rows(samples, [names[label] for label in labels], context, "generated samples")
    found = np.unique(labels)
    across = int(np.clip(PIXELS // (samples[0].size * len(found)), 1, 16))
    down = int(np.clip(PIXELS // (samples[0].size * across), 1, 10))
    rows = []
    for label in found[:down]:
        some = np.flatnonzero(labels == label)[:across]
        words = f"generated sample, class {names[label]} {how}"
        rows.append(tuple(image_item(samples[i], alt=words, caption=str(names[label])) for i in some))
    return Images(
        title="Generated samples",
        rows=tuple(rows),
        caption=f"One row per class ({how}), the first samples drawn, not chosen.",
    )


def pair_images(payload: Payload, context: Context, threshold: float) -> list[Evidence]:
    """The generated samples nearest to a training sample, each beside it."""
    if "pairs_generated" not in payload:
        return []
    generated, training, distances = (payload[f"pairs_{key}"] for key in ("generated", "training", "distance"))
    caption = (
        f"The generated samples that lie nearest to any training sample. At most {threshold:.3g} (box units) counts "
        "as a copy."
    )
    if not picturable(generated.shape[1:]):
        rows = np.stack([generated, training], 1).reshape(-1, *generated.shape[1:])
        words = [f"{side}, distance {d:.3g}" for d in distances for side in ("generated", "training")]
        return [_rows(rows, words, context, "nearest pairs", caption)]
    most = int(np.clip(PIXELS // (2 * generated[0].size), 1, len(generated)))
    pairs: list[tuple[ImageItem, ...]] = []
    for mine, theirs, distance in list(zip(generated, training, distances, strict=True))[:most]:
        first = image_item(mine, alt="generated sample", caption=f"distance {distance:.3g}")
        pairs.append((first, image_item(theirs, alt="its nearest training sample")))
    columns = ("generated", "nearest training sample")
    return [Images(title="Nearest training samples", columns=columns, rows=tuple(pairs), caption=caption)]


def copying_table(tested: CopyAssessment, control: CopyAssessment | None, names: Sequence[str]) -> Table:
    """z-score of the distances per class, generator beside real held-out samples."""
    real = {} if control is None else {label: z for label, z, _ in control.scores}
    return Table(
        title="Distance to the nearest training sample, per class",
        columns=("class", "z generated", "z real", "held-out samples"),
        rows=tuple((names[label], z, real.get(label), count) for label, z, count in tested.scores),
        caption="Mann-Whitney z against real held-out samples: far below 0 means nearer to training samples than real "
        "ones are. 'z real' holds one half of the held-out samples against the other.",
    )


def agreement_bars(asked: NDArray[np.int64], agreed: NDArray[np.int64], names: Sequence[str]) -> BarPlot:
    """Agreement per class asked for, with Wilson intervals."""
    series = []
    for label in map(int, np.flatnonzero(asked)):
        interval = wilson(int(agreed[label]), int(asked[label]))
        value = float(agreed[label] / asked[label])
        series.append(Series(label=str(names[label]), value=value, low=interval.low, high=interval.high))
    return BarPlot(
        title="Class agreement by class asked for", y_label="share", series=tuple(series), y_range=(0.0, 1.0)
    )


def diversity_bars(classes: Sequence[ClassDiversity], names: Sequence[str]) -> BarPlot:
    """Diversity ratio per class."""
    return BarPlot(
        title="Variety within each class, generated over real",
        y_label="ratio of mean pairwise distances",
        series=tuple(
            Series(label=str(names[item.label]), value=item.ratio, low=item.interval.low, high=item.interval.high)
            for item in classes
        ),
        caption="1 is as varied as real samples. Intervals hold for all classes together.",
    )


def balance_bars(generated: NDArray[np.int64], real: NDArray[np.int64], names: Sequence[str], what: str) -> BarPlot:
    """Shares of generated and of real samples, side by side, most generated classes first where there are many."""
    order = [int(i) for i in np.argsort(-generated, kind="stable")[:20]] if len(names) > 20 else range(len(names))
    series = []
    for i in order:
        for side, counts in (("generated", generated), ("real", real)):
            total = int(counts.sum())
            interval = wilson(int(counts[i]), total)
            series.append(
                Series(
                    label=f"{names[i]} {side}",
                    value=float(counts[i] / total),
                    low=interval.low,
                    high=interval.high,
                    role="main" if side == "generated" else "reference",
                )
            )
    return BarPlot(title=f"Share of each {what}, generated and real", y_label="share", series=tuple(series))


def _rows(samples: NDArray[np.float32], words: Sequence[str], context: Context, title: str, caption: str = "") -> Table:
    flat = samples.reshape(len(samples), -1)[:, :COLUMNS]
    names = context.data.feature_names[: flat.shape[1]] or tuple(f"x{i}" for i in range(flat.shape[1]))
    return Table(
        title=title,
        columns=("", *names),
        rows=tuple((word, *map(float, row)) for word, row in zip(words, flat, strict=True)),
        caption=f"{caption} In box units; the first {flat.shape[1]} of {samples[0].size} numbers.".strip(),
    )
