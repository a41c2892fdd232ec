"""Bounds on boxes so small that rounding is all there is to see: how often do float32 bounds exclude what is reached?

Values are those of a float64 run of the same float32 weights, at the middle and at corners of boxes of float32 numbers:
its own error is a billionth of what is looked for. A bound side is violated when one of these values lies outside.
``PYTHONPATH`` may hold an auto_LiRPA that is not installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import auto_lirpa_peer
from benchmarks.bound_subjects import Subject, subjects
from benchmarks.bounds import Peer, both_sides
from benchmarks.measure import ROOT, Page, paired, ratio
from verifiers import Network, Region
from verifiers.bounding import rounded_bounds
from verifiers.lirpa_backend import as_sequential

RADIUS, BOXES, CORNERS, REPEATS = 1e-6, 64, 32, 5
PLAIN, ALLOWING, DOUBLE = "ours, float32 as computed", "ours, float32 with its rounding", "ours, float64"
Ends = tuple[Tensor, Tensor]


def main() -> None:
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="further networks")
    torch.set_num_threads(1)
    page = Page("rounding", "Rounding of bounds")
    library = auto_lirpa_peer.load()
    page.say(
        f"CROWN over {BOXES} boxes of radius {RADIUS:g}, both sides of all outputs. The peer is auto_LiRPA "
        f"{auto_lirpa_peer.version() if library else '(not importable)'}. `real`: bounds of the network over the real "
        "numbers; `run`: of every float32 run as well. Times are ratios to the first line of a network, in the same "
        "rounds."
    )
    for subject in subjects(parser.parse_args().shared):
        one_network(subject, library, page)
    page.write()


def one_network(subject: Subject, library: Any | None, page: Page) -> None:
    """One table."""
    region = small(subject.region(BOXES))
    calls: dict[str, Callable[[], Ends]] = {
        PLAIN: lambda: both_sides(subject.network, region, "crown"),
        f"{ALLOWING} (real)": lambda: allowing(subject.network, region, run=False),
        f"{ALLOWING} (run)": lambda: allowing(subject.network, region, run=True),
        DOUBLE: lambda: both_sides(subject.network.to(torch.float64), region, "crown"),
    }
    if library is not None:
        module = as_sequential(subject.network.graph) or subject.module
        peer = Peer(library, auto_lirpa_peer.prepare(library, module, region.lower.float()))
        calls["auto_LiRPA, float32"] = peer.call(region, "crown")
    timings = paired(calls, REPEATS)
    reached = values(subject.network, region)
    rows = []
    for name, call in calls.items():
        low, high = (end.double() for end in call())
        rows.append(
            (
                name,
                f"{violated(low, high, reached):.1%}",
                f"{float((high - low).mean()):.3g}",
                ratio(timings[name], timings[PLAIN]),
            )
        )
    page.say(f"## {subject.name}")
    page.table(["bounds", "sides violated", "mean width", "time"], rows)
    page.say(wider(subject))


def wider(subject: Subject) -> str:
    """How much wider float64 bounds are for what rounding takes, over boxes of the subject's own size."""
    double, region = subject.network.to(torch.float64), subject.region(BOXES)
    unit = torch.eye(double.graph.outputs)
    questions = torch.cat([unit, -unit])[None].expand(BOXES, -1, -1)
    said = []
    for run, name in ((False, "their own rounding"), (True, "that of every float32 run, too")):
        found = rounded_bounds(double, region, questions, "crown", run=run)
        plain = rounded_bounds(double, region, questions, "crown", run=False).computed
        low = found.runs if run else found.reals
        width, more = (-(part[:, : len(unit)] + part[:, len(unit) :]) for part in (plain, low))
        said.append(f"{float((more - width).sum() / width.sum()):.1g} for {name}")
    return f"Over its own boxes ({BOXES}), float64 bounds are wider on average by a share of {said[0]}, {said[1]}."


def small(region: Region) -> Region:
    """Boxes of float32 numbers around the middles of others."""
    middle = ((region.lower + region.upper) / 2).float()
    return Region((middle - RADIUS).double(), (middle + RADIUS).double())


def allowing(network: Network, region: Region, *, run: bool) -> Ends:
    """Both sides, rounding taken off."""
    unit = torch.eye(network.graph.outputs)
    questions = torch.cat([unit, -unit])[None].expand(len(region), -1, -1)
    bounds = rounded_bounds(network, region, questions, "crown", run=run)
    found = bounds.runs if run else bounds.reals
    return found[:, : len(unit)], -found[:, len(unit) :]


def values(network: Network, region: Region) -> Tensor:
    """What is reached: ``[points, n, outputs]``."""
    graph, generator = network.graph.to(torch.float64), torch.Generator().manual_seed(0)
    points = [(region.lower + region.upper) / 2]
    for _ in range(CORNERS):
        draw = torch.rand(region.lower.shape, generator=generator) > 0.5
        points.append(torch.where(draw, region.lower, region.upper))
    return torch.stack([graph.forward(point).flatten(1) for point in points])


def violated(low: Tensor, high: Tensor, reached: Tensor) -> float:
    """Share of bound sides that exclude a value."""
    wrong = torch.stack([(reached < low).any(0), (reached > high).any(0)])
    return float(wrong.double().mean())


if __name__ == "__main__":
    main()
