"""Bars with intervals, lying, one row per group or class, as inline SVG."""

from __future__ import annotations

from markupsafe import Markup

from reports.number_format import number
from reports.scales import LinearScale, domain, nice_ticks, tick_labels
from reports.svg import line, picture, tag, text
from reports.text import one_line, shorten
from robust.record import BarPlot, Series

WIDTH = 480.0
RIGHT = 408.0
CHARACTER, LONGEST_NAME = 8.8, 24
TOP, FOOT = 34.0, 30.0
DENSE = 30
"""With more bars than this, rows are drawn lower and the figure scrolls."""


def draw_bars(plot: BarPlot, anchor: str) -> Markup:
    """One ``<svg>`` that grows with the number of bars; bars start at zero, whiskers are the intervals.

    Args:
        plot: what to draw.
        anchor: an id that is unique on the page.
    """
    dense = len(plot.series) > DENSE
    row = 18.0 if dense else 26.0
    bottom = TOP + row * max(len(plot.series), 1)
    left = 12.0 + CHARACTER * max([4, *(min(len(one_line(bar.label)), LONGEST_NAME) for bar in plot.series)])
    values = [value for bar in plot.series for value in (bar.value, bar.low, bar.high) if value is not None]
    x = LinearScale(*domain([0.0, *values], plot.y_range), left, RIGHT)
    ticks = nice_ticks(x.low, x.high, 4)
    parts = [text(4, TOP - 16, shorten(plot.y_label, 60), class_="label")]
    for tick, label in zip(ticks, tick_labels(ticks), strict=True):
        parts.append(line((x(tick), TOP), (x(tick), bottom), "grid"))
        parts.append(text(x(tick), bottom + 18, label, class_="tick", text_anchor="middle"))
    for index, bar in enumerate(plot.series):
        parts.append(_bar(bar, TOP + row * (index + 0.5), 10.0 if dense else 15.0, x))
    if not plot.series:
        parts.append(text((left + RIGHT) / 2, TOP + 17, "no bars", class_="label empty"))
    zero = x(min(max(0.0, x.low), x.high))
    parts.append(line((zero, TOP), (zero, bottom), "axis"))
    return picture(
        parts, width=WIDTH, height=bottom + FOOT, anchor=anchor, title=one_line(plot.title),
        description=describe(plot), class_="plot bars dense" if dense else "plot bars",
    )  # fmt: skip


def describe(plot: BarPlot) -> str:
    """The bars in words: the lowest and the highest."""
    if not plot.series:
        return f"{one_line(plot.y_label)}: no bars."
    ends = min(plot.series, key=lambda bar: bar.value), max(plot.series, key=lambda bar: bar.value)
    low, high = (f"{shorten(bar.label, 60)} {number(bar.value)}" for bar in ends)
    return f"{one_line(plot.y_label)} of {len(plot.series)} bars; lowest {low}; highest {high}."


def _bar(bar: Series, middle: float, thickness: float, x: LinearScale) -> Markup:
    base, end = x(min(max(0.0, x.low), x.high)), x(bar.value)
    known = [value for value in (bar.low, bar.high) if value is not None]
    words = f"{one_line(bar.label)}: {number(bar.value)}"
    if bar.low is not None and bar.high is not None:
        words += f" [{number(bar.low)}, {number(bar.high)}]"
    parts = [
        tag("title", words),
        text(x.start - 8, middle + 4, shorten(bar.label, LONGEST_NAME), class_="tick name", text_anchor="end"),
        tag("rect", x=min(base, end), y=middle - thickness / 2, width=max(abs(end - base), 0.75), height=thickness,
            class_=f"bar {bar.role}"),
    ]  # fmt: skip
    if known:
        low, high = x(min(known)), x(max(known))
        parts.append(line((low, middle), (high, middle), "whisker"))
        parts += [line((at, middle - 4), (at, middle + 4), "whisker") for at in (low, high)]
    parts.append(text(RIGHT + 8, middle + 4, _short(bar.value), class_="tick value"))
    return tag("g", *parts)


def _short(value: float) -> str:
    """Three decimals for shares, so that they line up, unless that would round to 0 or 1."""
    shown = f"{value:.3f}"
    return shown if 0.0 <= value <= 1.0 and (float(shown) not in {0.0, 1.0} or value in {0.0, 1.0}) else number(value)
