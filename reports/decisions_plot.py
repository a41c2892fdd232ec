"""What decided each sample: a stacked bar per radius, and the decided share over the work that it took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from markupsafe import Markup

from reports.number_format import number
from reports.sandwich import spread
from reports.scales import LinearScale, nice_ticks, tick_labels
from reports.svg import line, path, patterns, picture, tag, text
from reports.text import clean, one_line, shorten
from robust.record import DecidedBar, Decisions, Table

WIDTH = 480.0
LEFT, RIGHT = 56.0, 396.0
TOP, ROW, THICKNESS, FOOT = 34.0, 28.0, 18.0, 44.0
TIME_RIGHT, TIME_TOP, TIME_BOTTOM, TIME_HEIGHT = 464.0, 34.0, 240.0, 292.0
CHARACTER, LONGEST_NAME = 8.8, 16
MOST_DRAWN = 300
"""Corners of one area; more cannot be told apart on a page."""
LATEST = 12
"""Powers of ten of seconds that are told apart, either way."""


class Share(NamedTuple):
    """What a colour stands for: a verdict, and who gave it."""

    verdict: str
    engine: str


ENGINES = {
    "interval": ("c0", "interval bounds"),
    "crown-ibp": ("c0 pale", "CROWN-IBP"),
    "zonotope": ("c2 pale", "zonotopes"),
    "crown": ("c2", "CROWN"),
    "alpha-crown": ("c3", "alpha-CROWN"),
    "branch and bound": ("c4", "branch and bound"),
    "smt": ("c5", "the exact solver"),
    "attack": ("c1", "an attack"),
    "misclassified": ("wrong", ""),
}
"""Style and words of each engine, proofs from the cheapest on."""


def draw_decisions(plot: Decisions, anchor: str) -> Markup:
    """Two ``<svg>``: the bars, and under them the share over time.

    Args:
        plot: what to draw.
        anchor: an id that is unique on the page.
    """
    shares = present(plot)
    return Markup("").join([_bars(plot, shares, f"{anchor}-bars"), _over_time(plot, shares, f"{anchor}-time")])


def present(plot: Decisions) -> list[Share]:
    """The shares that occur, in the order of the bars: proofs, undecided, then what is broken, attacks last."""
    found = {share for bar in plot.bars for share, _ in _decided(bar)}
    rank = {engine: place for place, engine in enumerate(ENGINES)}

    def key(share: Share) -> tuple[int, int, str]:
        side = {"proved": 0, "undecided": 1}.get(share.verdict, 2)
        place = rank.get(share.engine, len(rank))
        return side, place, share.engine

    return sorted(found, key=key)


def legend(plot: Decisions, anchor: str) -> list[tuple[Markup, str]]:
    """Swatch and words per share."""
    entries = []
    for share in present(plot):
        parts = _area(path([(0, 0), (28, 0), (28, 14), (0, 14)], closed=True), share, f"{anchor}-bars")
        swatch = tag("svg", *parts, viewBox="0 0 28 14", aria_hidden="true", focusable="false", class_="swatch plot",
                     width="28", height="14")  # fmt: skip
        entries.append((swatch, words(share)))
    return entries


def words(share: Share) -> str:
    """``proved by CROWN``, ``undecided``, ``misclassified``."""
    if share.verdict == "undecided":
        return "undecided: neither proved nor broken"
    if share.engine == "misclassified":
        return "misclassified from the start"
    return f"{share.verdict} by {ENGINES.get(share.engine, ('', clean(shorten(share.engine, 40))))[1] or '–'}"


def numbers(plot: Decisions) -> Table:
    """Counts and times, a row per radius and share."""
    rows: list[tuple[str | int | float, ...]] = []
    for bar in plot.bars:
        for share in present(plot):
            seconds = [took for other, took in _decided(bar) if other == share]
            if seconds:
                rows.append((bar.label, words(share), len(seconds), median(seconds), max(seconds)))
    columns = (plot.bar_label, "what became of them", "samples", "median seconds", "largest")
    return Table(title=plot.title, columns=columns, rows=tuple(rows), caption="Sample by sample in record.json.")


def describe(plot: Decisions) -> str:
    """The bars in words."""
    texts = [f"{len(plot.bars)} bars over {one_line(plot.bar_label)}."]
    for bar in plot.bars[:12]:
        counts = Counter(share.verdict for share, _ in _decided(bar))
        said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("proved", "undecided", "broken"))
        texts.append(f"{shorten(bar.label, 40)}: {said}.")
    return " ".join(texts)


def _decided(bar: DecidedBar) -> list[tuple[Share, float]]:
    """Share and seconds of each sample."""
    columns = zip(bar.verdicts, bar.engines, bar.seconds, strict=False)
    return [(Share(verdict, "" if verdict == "undecided" else engine), took) for verdict, engine, took in columns]


def _bars(plot: Decisions, shares: Sequence[Share], anchor: str) -> Markup:
    most = max([1, *(len(_decided(bar)) for bar in plot.bars)])
    left = 16.0 + CHARACTER * max([2, *(min(len(one_line(bar.label)), LONGEST_NAME) for bar in plot.bars)])
    bottom = TOP + ROW * max(len(plot.bars), 1)
    x = LinearScale(0.0, float(most), left, RIGHT)
    ticks = nice_ticks(0.0, float(most), 4)
    parts = [patterns(anchor, dots="over"), text(4, TOP - 16, shorten(plot.bar_label, 60), class_="label")]
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts.append(line((x(tick), TOP), (x(tick), bottom), "grid"))
        parts.append(text(x(tick), bottom + 18, label, class_="tick", text_anchor="middle"))
    for index, bar in enumerate(plot.bars):
        parts.append(_bar(bar, shares, TOP + ROW * (index + 0.5), x, anchor))
    if not plot.bars:
        parts.append(text((left + RIGHT) / 2, TOP + 17, "no bars", class_="label empty"))
    parts.append(text((left + RIGHT) / 2, bottom + 38, "samples", class_="label", text_anchor="middle"))
    return picture(
        parts, width=WIDTH, height=bottom + FOOT, anchor=anchor, title=one_line(plot.title),
        description=describe(plot), class_="plot bars",
    )  # fmt: skip


def _bar(bar: DecidedBar, shares: Sequence[Share], middle: float, x: LinearScale, anchor: str) -> Markup:
    counts = Counter(share for share, _ in _decided(bar))
    parts = [text(x.start - 8, middle + 4, shorten(bar.label, LONGEST_NAME), class_="tick name", text_anchor="end")]
    start = 0
    low, high = middle - THICKNESS / 2, middle + THICKNESS / 2
    for share in shares:
        if counts[share]:
            a, b = x(start), x(start + counts[share])
            outline = path([(a, low), (b, low), (b, high), (a, high)], closed=True)
            title = tag("title", f"{one_line(bar.label)}: {counts[share]} {words(share)}")
            parts.append(tag("g", title, *_area(outline, share, anchor)))
            start += counts[share]
    left_open = sum(count for share, count in counts.items() if share.verdict == "undecided")
    parts.append(text(RIGHT + 8, middle + 4, f"{left_open:,} open", class_="tick value"))
    return tag("g", *parts)


def _area(outline: str, share: Share, anchor: str) -> list[Markup]:
    """Colour says who, the pattern on it how it ended: stripes where nobody knows, dots where it broke."""
    if share.verdict == "undecided":
        return [
            tag("path", d=outline, class_="region undecided"),
            tag("path", d=outline, fill=f"url(#{anchor}-undecided)", class_="hatch"),
            tag("path", d=outline, class_="part outline"),
        ]
    style = ENGINES.get(share.engine, ("c5 pale", ""))[0]
    parts = [tag("path", d=outline, class_=f"part {style}")]
    if share.verdict == "broken" and share.engine != "misclassified":
        parts.append(tag("path", d=outline, fill=f"url(#{anchor}-broken)", class_="hatch"))
    return parts


def _over_time(plot: Decisions, shares: Sequence[Share], anchor: str) -> Markup:
    decided = [pair for bar in plot.bars for pair in _decided(bar)]
    low, high = _powers(took for _, took in decided)
    x, y = LinearScale(low, high, LEFT, TIME_RIGHT), LinearScale(0.0, 1.0, TIME_BOTTOM, TIME_TOP)
    parts = [patterns(anchor, dots="over")]
    for tick, label in zip([0.0, 0.25, 0.5, 0.75, 1.0], ("0", "0.25", "0.5", "0.75", "1"), strict=True):
        parts.append(line((LEFT, y(tick)), (TIME_RIGHT, y(tick)), "grid"))
        parts.append(text(LEFT - 8, y(tick) + 4, label, class_="tick", text_anchor="end"))
    for power in (tick for tick in nice_ticks(low, high, 6) if tick == round(tick)):
        parts.append(line((x(power), TIME_BOTTOM), (x(power), TIME_BOTTOM + 5), "axis"))
        parts.append(text(x(power), TIME_BOTTOM + 20, f"{10.0**power:g}", class_="tick", text_anchor="middle"))
    parts += _areas(decided, [share for share in shares if share.verdict != "undecided"], x, y, anchor)
    parts.append(line((LEFT, TIME_BOTTOM), (TIME_RIGHT, TIME_BOTTOM), "axis"))
    parts.append(text(4, TIME_TOP - 14, "share of all samples and radii, decided", class_="label"))
    middle = (LEFT + TIME_RIGHT) / 2
    parts.append(text(middle, TIME_BOTTOM + 42, "within so many seconds of work", class_="label", text_anchor="middle"))
    final = sum(share.verdict != "undecided" for share, _ in decided) / max(1, len(decided))
    return picture(
        parts, width=WIDTH, height=TIME_HEIGHT, anchor=anchor, title=f"{one_line(plot.title)}: over time",
        description="Share of all samples and radii that are decided, over the seconds that each took; "
        f"{number(final)} in the end, after at most {number(max([0.0, *(took for _, took in decided)]))} s.",
        class_="plot",
    )  # fmt: skip


def _areas(
    decided: Sequence[tuple[Share, float]], shares: Sequence[Share], x: LinearScale, y: LinearScale, anchor: str
) -> list[Markup]:
    """Cumulative counts as steps, one area on the other."""
    moments = sorted({_power(took, x.low) for share, took in decided if share in shares})
    moments = [moments[index] for index in spread(len(moments), MOST_DRAWN)]
    floor = [0.0] * len(moments)
    parts: list[Markup] = []
    for share in shares:
        own = sorted(_power(took, x.low) for other, took in decided if other == share)
        top, done = [], 0
        for moment, base in zip(moments, floor, strict=True):
            while done < len(own) and own[done] <= moment:
                done += 1
            top.append(base + done / len(decided))
        outline = _steps(moments, top, x, y) + _steps(moments, floor, x, y)[::-1]
        parts.append(tag("g", tag("title", words(share)), *_area(path(outline, closed=True), share, anchor)))
        floor = top
    return parts


def _steps(
    moments: Sequence[float], heights: Sequence[float], x: LinearScale, y: LinearScale
) -> list[tuple[float, float]]:
    corners: list[tuple[float, float]] = []
    ends = [*moments[1:], x.high]
    for start, end, height in zip(moments, ends, heights, strict=True):
        corners += [(x(start), y(height)), (x(end), y(height))]
    return corners


def _power(seconds: float, low: float) -> float:
    """The place of a time on the axis; what took no time stands at its start."""
    return max(low, min(math.log10(seconds), LATEST)) if seconds > 0 else low


def _powers(seconds: Iterable[float]) -> tuple[float, float]:
    """Whole powers of ten around times."""
    known = [max(-LATEST, min(math.log10(took), LATEST)) for took in seconds if took > 0]
    if not known:
        return -3.0, 0.0
    low, high = math.floor(min(known)), math.ceil(max(known))
    return float(low), float(max(high, low + 1))
