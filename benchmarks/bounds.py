"""Interval and CROWN bounds: a batch at once against one sample at a time, and against auto_LiRPA if installed."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import auto_lirpa_peer
from benchmarks.measure import Page, Timing, paired, ratio
from benchmarks.subjects import Trial, trials
from robust.graph import trace
from verifiers import Effort, Network, ball_region, lower_bounds
from verifiers.certify import rival_matrices

METHODS = ("interval", "crown")
EFFORT = Effort(rows=512)
"""The limit of the check ``certificates`` by default."""


def ours(network: Network, trial: Trial, rows: Tensor, radius: float, method: str) -> Tensor:
    """Lower bounds ``[n, classes - 1]`` of label minus rival, in float32."""
    region = ball_region(trial.x[rows], radius, "linf", trial.classifier.input_box)
    matrices = rival_matrices(trial.labels[rows], network.graph.outputs)
    return lower_bounds(network, region, matrices, method, EFFORT)


def one_by_one(network: Network, trial: Trial, rows: Tensor, radius: float, method: str) -> Tensor:
    """The same, a sample at a time."""
    return torch.cat([ours(network, trial, row[None], radius, method) for row in rows])


def network_of(trial: Trial) -> Network:
    """The trial's operation graph, prepared."""
    module = trial.classifier.module()
    assert module is not None
    return Network(trace(module, trial.classifier.input_shape, device=trial.classifier.device))


def batching(trial: Trial, sizes: list[int], repeats: int) -> list[tuple[object, ...]]:
    """Seconds of a batch at once and one by one."""
    network, rows = network_of(trial), []
    radius = trial.radii[0]
    for method in METHODS:
        for size in sizes:
            chosen = torch.arange(min(size, len(trial.x)))
            calls: dict[str, Callable[[], object]] = {
                "batch": lambda m=method, r=chosen: ours(network, trial, r, radius, m),  # type: ignore[misc]
                "single": lambda m=method, r=chosen: one_by_one(network, trial, r, radius, m),  # type: ignore[misc]
            }
            times = paired(calls, repeats)
            gap = (calls["batch"]() - calls["single"]()).abs().max()  # type: ignore[operator]
            per_item = f"{1000 * times['batch'].median / len(chosen):.3g}"
            rows.append(
                (
                    trial.name,
                    radius,
                    method,
                    len(chosen),
                    times["batch"],
                    per_item,
                    ratio(times["single"], times["batch"]),
                    f"{gap:.1e}",
                )
            )
    return rows


def against_peer(library: object, trial: Trial, sizes: list[int], repeats: int) -> list[tuple[object, ...]]:
    """Seconds of ours and auto_LiRPA's on the same question, and how much higher our lower bounds are."""
    network, rows = network_of(trial), []
    radius = trial.radii[0]
    module = trial.classifier.module()
    assert module is not None
    for method in METHODS:
        for size in sizes:
            chosen = torch.arange(min(size, len(trial.x)))
            x, matrices = trial.x[chosen], rival_matrices(trial.labels[chosen], network.graph.outputs)
            try:
                bounded = auto_lirpa_peer.prepare(library, module, x)
                theirs = auto_lirpa_peer.lower_bounds(library, bounded, x, radius, matrices, method)
                their_bounds = theirs()
            except Exception as error:
                rows.append(
                    (trial.name, method, len(chosen), "-", "-", "-", f"auto_LiRPA stops: {type(error).__name__}")
                )
                continue
            times: dict[str, Timing] = paired(
                {"ours": lambda m=method, r=chosen: ours(network, trial, r, radius, m), "theirs": theirs},  # type: ignore[misc]
                repeats,
            )
            mine = ours(network, trial, chosen, radius, method)
            certified = [int((bounds > 0).all(1).sum()) for bounds in (mine, their_bounds)]
            rows.append(
                (
                    trial.name,
                    method,
                    len(chosen),
                    times["ours"],
                    times["theirs"],
                    ratio(times["theirs"], times["ours"]),
                    f"{mine.mean():.3f} / {their_bounds.mean():.3f}, {certified[0]} / {certified[1]} certified",
                )
            )
    return rows


def main() -> None:
    """Run and write ``results/bounds.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--network", nargs="+", default=["digits", "wk17a"], help="networks whose name ends so")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer", action="store_true", help="also auto_LiRPA, if it can be imported")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    page = Page("bounds", "Bound propagation: batches, and auto_LiRPA beside")
    found = [trial for trial in trials(max(settings.sizes)) if trial.name.endswith(tuple(settings.network))]
    rows = [row for trial in found for row in batching(trial, settings.sizes, settings.repeats)]
    page.say(
        "Lower bounds of label minus each rival over L-inf balls, float32, one side. CPU seconds: median [range] of "
        f"{settings.repeats} paired rounds, tracing excluded. Gain: seconds one by one over seconds of the batch. "
        "Difference: largest of the bounds."
    )
    page.table(("network", "radius", "method", "batch", "s", "ms per sample", "gain of batching", "difference"), rows)
    if settings.peer:
        library = auto_lirpa_peer.load()
        if library is None:
            page.say("auto_LiRPA is not importable here, so nothing was compared with it.")
        else:
            rows = [row for trial in found for row in against_peer(library, trial, settings.sizes, settings.repeats)]
            page.say(
                f"auto_LiRPA {auto_lirpa_peer.version()} on the same balls and questions (for IBP it has no one-sided "
                "mode). Speed: its seconds over ours. Bounds: mean lower bound, higher is tighter, and samples certified "
                "by them alone."
            )
            page.table(
                ("network", "method", "batch", "s, ours", "s, auto_LiRPA", "speed", "bounds, ours / auto_LiRPA"), rows
            )
    page.say(
        "How much memory a batch may take decides: with temporaries of 256 MiB instead of the default 32 the same bounds took "
        "1.0 to 3.0 times as long on these networks. auto_LiRPA is ahead where the speed is below 1."
    )
    page.say("Noise: other processes shared the cores; trust a ratio to about its range.")
    page.write()


if __name__ == "__main__":
    main()
