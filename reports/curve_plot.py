"""Curves with bands, and the sandwich of attack and certificate, as inline SVG with a legend in HTML."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from reports.number_format import number
from reports.sandwich import Points, Strip, contradictions, is_sandwich, points, spread, step_line, strips
from reports.scales import LinearScale, domain, nice_ticks
from reports.svg import axes, coordinate, line, marker, path, patterns, picture, tag
from reports.text import clean, one_line, shorten
from robust.record import Curve, CurvePlot

WIDTH, HEIGHT = 480.0, 312.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 464.0, 34.0, 260.0
LARGEST_MARKED = 40
MOST_DRAWN = 1000
"""Points of a line; more cannot be told apart on a page. Steps are never thinned: they are claims."""
COLOURS = 6


def draw_curves(plot: CurvePlot, anchor: str) -> Markup:
    """One ``<svg>``.

    Args:
        plot: what to draw. Certificates, and attacks beside them, are drawn as steps (see ``reports.sandwich``).
        anchor: an id that is unique on the page.
    """
    curves = [curve for curve in plot.curves if points(curve)]
    xs = [x for curve in curves for x in curve.x[: len(curve.y)]]
    ys = [y for curve in curves for y in _heights(curve)]
    x = LinearScale(*domain(xs, plot.x_range), LEFT, RIGHT)
    y = LinearScale(*domain(ys, plot.y_range), BOTTOM, TOP)
    parts = [patterns(anchor, dots="broken")]
    sandwich = is_sandwich(plot)
    if sandwich:
        parts += _regions(_strips(plot, y.low, y.high), x, y, anchor)
    parts += axes(x, y, nice_ticks(x.low, x.high), nice_ticks(y.low, y.high), plot.x_label, plot.y_label)
    if not curves:
        parts.append(tag("text", "no points", x=(LEFT + RIGHT) / 2, y=(TOP + BOTTOM) / 2, class_="label empty"))
    styles = curve_styles(plot.curves)
    drawn = [(curve, style) for curve, style in zip(plot.curves, styles, strict=True) if points(curve)]
    parts += [_band(curve, style, x, y) for curve, style in drawn if not _is_stepped(curve, sandwich)]
    for index, (curve, style) in enumerate(drawn):
        parts += _curve(curve, style, index, x, y, stepped=_is_stepped(curve, sandwich))
    return picture(
        parts, width=WIDTH, height=HEIGHT, anchor=anchor, title=one_line(plot.title), description=describe(plot),
        class_="plot",
    )  # fmt: skip


def curve_styles(curves: Sequence[Curve]) -> list[str]:
    """A class per curve: its role, and a colour of the palette for those that stand side by side."""
    count = {"main": 0, "attack": 1, "certificate": 0}
    styles = []
    for curve in curves:
        if curve.role in count:
            step = 1 if curve.role == "main" else 2
            styles.append(f"{curve.role} c{count[curve.role] % COLOURS}")
            count[curve.role] += step
        else:
            styles.append(curve.role)
    return styles


def legend(plot: CurvePlot, anchor: str) -> list[tuple[Markup, str]]:
    """Swatch and words per curve, then per region of a sandwich."""
    entries = []
    for index, (curve, style) in enumerate(zip(plot.curves, curve_styles(plot.curves), strict=True)):
        mark = marker((14, 7), index, f"mark {style}") if _is_marked(curve) else Markup("")
        stroke = line((0, 7), (28, 7), f"curve {style}")
        entries.append((_swatch([stroke, mark]), clean(curve.label) + _role_words(curve.role)))
    if is_sandwich(plot):
        for region, words in (
            ("proved", "proved: no perturbation of this size changes the answer"),
            ("undecided", "undecided: neither proved nor broken"),
            ("broken", "broken: an attack succeeded, or the answer was wrong to begin with"),
        ):
            box = tag("rect", x=0, y=0, width=28, height=14, class_=f"region {region}")
            hatch = tag("rect", x=0, y=0, width=28, height=14, fill=f"url(#{anchor}-{region})")
            entries.append((_swatch([box] if region == "proved" else [box, hatch]), words))
    return entries


def warnings(plot: CurvePlot) -> list[str]:
    """Sentences about a plot that must not be read without them."""
    found = []
    if is_sandwich(plot):
        for at, certified, attacked in contradictions(*_sides(plot))[:3]:
            found.append(
                f"Contradiction at {number(at)}: {number(certified)} certified, but an attack left only "
                f"{number(attacked)}. One of the engines is unsound, or they saw different samples."
            )
    for curve in plot.curves:
        lengths = {len(curve.x), len(curve.y)}
        if curve.band is not None:
            lengths |= {len(curve.band.low), len(curve.band.high)}
        if len(lengths) > 1:
            found.append(f"The curve {one_line(curve.label)} has points without a partner; they are not drawn.")
    return found


def describe(plot: CurvePlot) -> str:
    """The curves in words: what runs over what, from where to where."""
    texts = [f"{one_line(plot.y_label)} over {one_line(plot.x_label)}."]
    for curve in plot.curves[:12]:
        pairs = points(curve)
        if pairs:
            (x0, y0), (x1, y1) = pairs[0], pairs[-1]
            ends = f"{number(y0)} at {number(x0)}" + (f" to {number(y1)} at {number(x1)}" if len(pairs) > 1 else "")
            texts.append(f"{shorten(curve.label, 60)}: {ends}.")
    return " ".join(texts)


def _is_stepped(curve: Curve, sandwich: bool) -> bool:
    """Between its points a straight certificate would claim too much; a straight attack curve claims too little."""
    return curve.role == "certificate" or (sandwich and curve.role == "attack")


def _is_marked(curve: Curve) -> bool:
    return len(curve.x) <= LARGEST_MARKED and curve.role != "reference"


def _role_words(role: str) -> str:
    return {"control": " (control)", "reference": " (reference)"}.get(role, "")


def _heights(curve: Curve) -> list[float]:
    ends = [] if curve.band is None else [*curve.band.low, *curve.band.high]
    return [*curve.y[: len(curve.x)], *ends]


def _sides(plot: CurvePlot) -> tuple[list[Points], list[Points]]:
    attacks = [points(curve) for curve in plot.curves if curve.role == "attack"]
    return attacks, [points(curve) for curve in plot.curves if curve.role == "certificate"]


def _strips(plot: CurvePlot, bottom: float, top: float) -> list[Strip]:
    return strips(*_sides(plot), bottom, top)


def _regions(found: Sequence[Strip], x: LinearScale, y: LinearScale, anchor: str) -> list[Markup]:
    parts = []
    for name, low, high in (
        ("proved", lambda s: y.low, lambda s: s.proved),
        ("undecided", lambda s: s.proved, lambda s: max(s.possible, s.proved)),
        ("broken", lambda s: max(s.possible, s.proved), lambda s: y.high),
    ):
        outline = "".join(
            path([(x(s.left), y(low(s))), (x(s.left), y(high(s))), (x(s.right), y(high(s))), (x(s.right), y(low(s)))],
                 closed=True)
            for s in found if high(s) > low(s)
        )  # fmt: skip
        if outline:
            parts.append(tag("path", d=outline, class_=f"region {name}"))
            if name != "proved":
                parts.append(tag("path", d=outline, fill=f"url(#{anchor}-{name})", class_="hatch"))
    return parts


def _band(curve: Curve, style: str, x: LinearScale, y: LinearScale) -> Markup:
    if curve.band is None:
        return Markup("")
    every = sorted(zip(curve.x, curve.band.low, curve.band.high, strict=False))
    triples = [every[index] for index in spread(len(every), MOST_DRAWN)]
    upper = [(x(at), y(high)) for at, _, high in triples]
    lower = [(x(at), y(low)) for at, low, _ in reversed(triples)]
    return tag("path", d=path(upper + lower, closed=True), class_=f"band {style}") if triples else Markup("")


def _curve(curve: Curve, style: str, index: int, x: LinearScale, y: LinearScale, *, stepped: bool) -> list[Markup]:
    pairs = points(curve)
    if not stepped:
        pairs = [pairs[index] for index in spread(len(pairs), MOST_DRAWN)]
    corners = [(x(a), y(b)) for a, b in (step_line(pairs, curve.role) if stepped else pairs)]
    parts = [tag("path", d=path(corners), class_=f"curve {style}")]
    if stepped and curve.band is not None:
        for at, low, high in zip(curve.x, curve.band.low, curve.band.high, strict=False):
            parts.append(line((x(at), y(low)), (x(at), y(high)), f"whisker {style}"))
    if _is_marked(curve):
        parts += [
            tag("g", tag("title", f"{one_line(curve.label)}: {number(b)} at {number(a)}"),
                marker((x(a), y(b)), index, f"mark {style}"))
            for a, b in pairs
        ]  # fmt: skip
    return parts


def _swatch(parts: list[Markup]) -> Markup:
    size = {"width": coordinate(28), "height": coordinate(14)}
    return tag("svg", *parts, viewBox="0 0 28 14", aria_hidden="true", focusable="false", class_="swatch plot", **size)
