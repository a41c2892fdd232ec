"""What bounds cost against depth, width, batch and number of questions, drawn into one self-contained page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, log10

import torch
from markupsafe import Markup
from torch import nn

from benchmarks.measure import RESULTS, machine, paired
from reports.scales import LinearScale
from reports.svg import line, marker, path, picture, tag, text
from robust.graph import trace
from verifiers import METHODS, Network, Region, lower_bounds

CPU = torch.device("cpu")
LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 64.0, 456.0, 30.0, 250.0, 470.0, 305.0
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2024; --muted: #62666d; --rule: #dcdfe3;
  --c0: #1f5fae; --c1: #b6441d; --c2: #147a52; --c3: #7d3f96; --c4: #8a6a00; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #eceae5; --muted: #adaaa3; --rule: #363a41;
  --c0: #7fb2f5; --c1: #ff8e6b; --c2: #5fd0a5; --c3: #d39be0; --c4: #d9bd55; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
figure { margin: 0; } main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 2rem; }
svg { display: block; width: 100%; height: auto; } table { border-collapse: collapse; font-size: .85rem; }
th, td { text-align: right; padding: .1rem .6rem; border-bottom: 1px solid var(--rule); } p, summary { color: var(--muted); }
.tick, .label { font: 12.5px system-ui, sans-serif; fill: var(--muted); } .grid { stroke: var(--rule); }
.axis { stroke: var(--muted); } .curve { fill: none; stroke: var(--c); stroke-width: 2; } .mark { fill: var(--c); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); }
"""


@dataclass(frozen=True)
class Curves:
    """CPU milliseconds of each method at each place of one axis; a method may stop early."""

    title: str
    axis: str
    places: tuple[int, ...]
    heights: dict[str, list[float]]


def network(depth: int, width: int) -> Network:
    """A random ReLU network of 64 inputs and 10 outputs with ``depth`` hidden layers."""
    torch.manual_seed(0)
    sizes = [64, *[width] * depth]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(width, 10)).eval().requires_grad_(False)
    return Network(trace(module, (64,), device=CPU))


def measured(title: str, axis: str, places: Sequence[int], make: Callable[[int], Callable[[str], object]]) -> Curves:
    """Medians of three rounds; a method that took over half a second goes no further."""
    heights: dict[str, list[float]] = {method: [] for method in METHODS}
    for at, place in enumerate(places):
        call = make(place)
        for method, found in heights.items():
            if len(found) == at and (not found or found[-1] < 500):
                times = paired({method: lambda m=method, c=call: c(m)}, 3)  # type: ignore[misc]
                found.append(1000 * times[method].median)
    return Curves(title, axis, tuple(places), heights)


def ask(prepared: Network, batch: int, questions: int) -> Callable[[str], object]:
    """From a method to its bounds of random functions over random boxes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, 64, generator=generator).double()
    matrices = torch.randn(batch, questions, 10, generator=generator)
    return lambda method: lower_bounds(prepared, Region(x - 0.05, x + 0.05), matrices, method)


def all_curves() -> list[Curves]:
    """The four pictures."""
    plain = network(4, 128)
    return [
        measured("Depth", "hidden layers of 128", (1, 2, 4, 8, 16), lambda n: ask(network(n, 128), 8, 10)),
        measured("Width", "neurons of each of 4 layers", (32, 64, 128, 256, 512), lambda n: ask(network(4, n), 8, 10)),
        measured("Batch", "boxes in one call, 4 layers of 128", (1, 4, 16, 64, 256), lambda n: ask(plain, n, 10)),
        measured(
            "Questions", "linear functions per box, 4 layers of 128", (1, 4, 16, 64, 256), lambda n: ask(plain, 8, n)
        ),
    ]


def drawn(curves: Curves, anchor: str) -> Markup:
    """One picture, both axes logarithmic."""
    values = [value for found in curves.heights.values() for value in found]
    low, high = floor(log10(min(values))), floor(log10(max(values))) + 1
    x = LinearScale(log10(curves.places[0]), log10(curves.places[-1]), LEFT, RIGHT)
    y = LinearScale(low, high, BOTTOM, TOP)
    parts = [text(4, TOP - 12, "CPU ms of a call", class_="label")]
    for power in range(low, high + 1):
        parts.append(line((LEFT, y(power)), (RIGHT, y(power)), "grid"))
        parts.append(text(LEFT - 8, y(power) + 4, f"{10.0**power:g}", class_="tick", text_anchor="end"))
    for place in curves.places:
        parts.append(line((x(log10(place)), BOTTOM), (x(log10(place)), BOTTOM + 5), "axis"))
        parts.append(text(x(log10(place)), BOTTOM + 20, f"{place}", class_="tick", text_anchor="middle"))
    parts.append(line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis"))
    parts.append(text((LEFT + RIGHT) / 2, BOTTOM + 42, curves.axis, class_="label", text_anchor="middle"))
    for index, found in enumerate(curves.heights.values()):
        points = [(x(log10(a)), y(log10(b))) for a, b in zip(curves.places, found, strict=False)]
        parts.append(tag("path", d=path(points), class_=f"curve c{index}"))
        parts += [marker(point, index, f"mark c{index}") for point in points]
    title = f"CPU milliseconds against {curves.axis}"
    return picture(
        parts, width=WIDTH, height=HEIGHT, anchor=anchor, title=title, description=f"{title}, by method.", class_="plot"
    )


def table(curves: Curves) -> Markup:
    """The numbers behind a picture."""
    head = tag("tr", tag("th", curves.axis), *[tag("th", method) for method in curves.heights])
    rows = [
        tag(
            "tr",
            tag("td", f"{place}"),
            *[tag("td", f"{v[i]:.3g}" if i < len(v) else "-") for v in curves.heights.values()],
        )
        for i, place in enumerate(curves.places)
    ]
    return tag("details", tag("summary", "Numbers"), tag("table", head, *rows))


def legend() -> Markup:
    """Which mark is which method."""
    entries = []
    for index, method in enumerate(METHODS):
        mark = [line((0, 7), (28, 7), f"curve c{index}"), marker((14, 7), index, f"mark c{index}")]
        swatch = tag(
            "svg", *mark, viewBox="0 0 28 14", aria_hidden="true", style="display:inline;width:28px;height:14px"
        )
        entries.append(tag("span", swatch, f" {method}", style="margin-right:1.5rem;white-space:nowrap"))
    return tag("p", *entries)


def write_curves() -> None:
    """Measure and write ``results/bounds.html``."""
    figures = [
        tag("figure", tag("h2", curves.title), drawn(curves, f"f{i}"), table(curves))
        for i, curves in enumerate(all_curves())
    ]
    words = (
        "Random ReLU networks of 64 inputs and 10 outputs, boxes of half-width 0.05; where the axis does not say otherwise, "
        "8 boxes and 10 questions each, lower bounds, float32. Medians of three rounds after one to warm up. "
        "A method that took over half a second is not asked for more. "
    )
    body = [tag("h1", "What bounds cost"), tag("p", words + machine()), legend(), tag("main", *figures)]
    head = [
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", "What bounds cost"),
        tag("style", Markup(STYLE)),
    ]
    page = tag("html", tag("head", *head), tag("body", *body), lang="en")
    (RESULTS / "bounds.html").write_text(f"<!doctype html>\n{page}\n", encoding="utf-8")
