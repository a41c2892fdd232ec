"""SVG as text: one function per idea, everything escaped, colours left to the style sheet by class names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from reports.scales import LinearScale, tick_labels
from reports.text import clean, shorten

Point = tuple[float, float]


def tag(name: str, *content: str | Markup, **attributes: str | float | None) -> Markup:
    """``<name attributes>content</name>``; underscores in attribute names become hyphens; None leaves one out.

    Numbers are written with at most two decimals. Text that is not ``Markup`` is escaped.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    body = "".join(part if isinstance(part, Markup) else escape(clean(part)) for part in content)
    return Markup(f"<{name}{written}>{body}</{name}>" if body else f"<{name}{written}/>")


def text(x: float, y: float, words: str, **attributes: str | float | None) -> Markup:
    """A ``<text>`` at a place."""
    return tag("text", words, x=x, y=y, **attributes)


def line(a: Point, b: Point, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=a[0], y1=a[1], x2=b[0], y2=b[1], class_=class_)


def path(points: Sequence[Point], *, closed: bool = False) -> str:
    """The ``d`` of a path through ``points``: ``M10,20L30,40``."""
    if not points:
        return ""
    return "M" + "L".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points) + ("Z" if closed else "")


def picture(
    parts: Iterable[Markup], *, width: float, height: float, anchor: str, title: str, description: str, class_: str
) -> Markup:
    """An ``<svg role="img">`` with title and description for those who cannot see it."""
    names = f"{anchor}-t {anchor}-d"
    body = [tag("title", title or "figure", id=f"{anchor}-t"), tag("desc", description or title, id=f"{anchor}-d")]
    return tag(
        "svg",
        *body,
        *parts,
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=names,
        class_=class_,
    )


def axes(
    x: LinearScale, y: LinearScale, x_ticks: list[float], y_ticks: list[float], x_label: str, y_label: str
) -> list[Markup]:
    """Grid lines, tick labels and axis labels of a plot whose scales say where it lies."""
    parts: list[Markup] = []
    for tick, label in zip(y_ticks, tick_labels(y_ticks), strict=True):
        parts.append(line((x.start, y(tick)), (x.end, y(tick)), "grid"))
        parts.append(text(x.start - 8, y(tick) + 4, label, class_="tick", text_anchor="end"))
    for tick, label in zip(x_ticks, tick_labels(x_ticks), strict=True):
        parts.append(line((x(tick), y.start), (x(tick), y.start + 5), "axis"))
        parts.append(text(x(tick), y.start + 20, label, class_="tick", text_anchor="middle"))
    parts.append(line((x.start, y.start), (x.end, y.start), "axis"))
    middle = (x.start + x.end) / 2
    parts.append(text(middle, y.start + 42, shorten(x_label, 52), class_="label", text_anchor="middle"))
    parts.append(text(4, y.end - 14, shorten(y_label, 52), class_="label"))
    return parts


def marker(point: Point, shape: int, class_: str) -> Markup:
    """A point: circle, square, triangle, diamond by turns, so that lines differ without colour."""
    x, y = point
    kind = shape % 4
    if kind == 0:
        return tag("circle", cx=x, cy=y, r=3.4, class_=class_)
    if kind == 1:
        return tag("rect", x=x - 3.2, y=y - 3.2, width=6.4, height=6.4, class_=class_)
    corners = {
        2: [(x, y - 4.4), (x + 4.2, y + 3.2), (x - 4.2, y + 3.2)],
        3: [(x, y - 4.6), (x + 4.6, y), (x, y + 4.6), (x - 4.6, y)],
    }[kind]
    return tag("path", d=path(corners, closed=True), class_=class_)


def coordinate(value: float) -> str:
    """A number with at most two decimals and no trailing zeros."""
    shown = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if shown in {"-0", ""} else shown


def _value(value: str | float) -> str:
    return coordinate(value) if isinstance(value, (int, float)) else str(escape(clean(value)))


def patterns(anchor: str, *, dots: str) -> Markup:
    """What is laid over areas: stripes where nobody knows, dots where it broke.

    Args:
        anchor: of the figure; the patterns are ``ANCHOR-undecided`` and ``ANCHOR-broken``.
        dots: their class in the style sheet.
    """
    stripe = tag("path", d="M0,8L8,0M-2,2L2,-2M6,10L10,6", class_="stroke undecided")
    dot = tag("circle", cx=3, cy=3, r=1, class_=f"dot {dots}")
    common = {"patternUnits": "userSpaceOnUse"}
    return tag(
        "defs",
        tag("pattern", stripe, id=f"{anchor}-undecided", width=8, height=8, **common),
        tag("pattern", dot, id=f"{anchor}-broken", width=6, height=6, **common),
    )
