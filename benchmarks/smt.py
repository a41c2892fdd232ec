"""Exact answers beside plain Z3: individual fairness over Fairify's own partitions, and balls around digits."""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import plain_z3
from benchmarks.measure import SHARED, Page
from robust.fairness.individual import answer
from robust.graph import Graph, trace
from robust.properties import Box, misclassification
from robust.properties.counterparts import Counterparts
from robust.properties.people import People, whole
from robust.subjects import load_classifier
from verifiers.individual import Budget, FinishBudget, same_decision
from verifiers.smt import Limits, SmtVerifier

PUBLISHED = {"AC1": (24, 4, 13, 7, 76.2), "AC3": (31, 27, 0, 4, 61.7), "AC7": (13, 0, 7, 6, 141.2)}
"""Fairify's own result files for sex: partitions reached in 30 minutes, sat, unsat, unknown, seconds per partition."""
SIZES = {"AC1": 16_000, "AC3": 500, "AC7": 60}
"""How many of the 16,000 partitions are asked here; drawn by seed."""
RUN = 10
"""Fairify cuts a column of more than 10 steps into runs of so many values."""
PLAIN, PLAIN_SECONDS = 6, 20.0
"""Partitions that plain Z3 is asked, and its limit."""


def adult() -> tuple[People, list[str]]:
    """The domain that Fairify verifies."""
    path = SHARED.parent / "tabular" / "fairify_adult_encoded.json"
    meta = json.loads(path.read_text(encoding="utf-8"))
    domain = [meta["domain"][name] for name in meta["columns"]]
    people = [whole(n, place, *ends) for place, (n, ends) in enumerate(zip(meta["columns"], domain, strict=True))]
    return People(people), meta["columns"]


def partitions(people: People, protected: int, most: int) -> tuple[Tensor, Tensor]:
    """Fairify's partitions, or ``most`` of them drawn with seed 0."""
    pieces = []
    for place, item in enumerate(people.attributes):
        last = len(item.levels or ()) - 1
        short = last <= RUN or place == protected
        pieces.append([(0, last)] if short else [(a, min(a + RUN - 1, last)) for a in range(0, last + 1, RUN)])
    boxes = torch.tensor(list(itertools.product(*pieces)), dtype=torch.float64)
    if most < len(boxes):
        boxes = boxes[np.sort(np.random.default_rng(0).choice(len(boxes), most, replace=False))]
    return boxes[:, :, 0], boxes[:, :, 1]


def fairness(page: Page) -> None:
    """Certified, refuted and unknown partitions and CPU seconds of each, ours, Fairify's published, plain Z3."""
    people, columns = adult()
    counterparts = Counterparts(people, columns.index("sex"))
    rows = []
    for name, size in SIZES.items():
        ends = tuple(tuple(float((item.levels or (0.0,))[at]) for item in people.attributes) for at in (0, -1))
        model = load_classifier(SHARED / f"fairify_adult_{name}.onnx", input_box=ends)
        lower, upper = partitions(people, counterparts.changed, size)
        clock = time.process_time()
        found = answer(
            model, counterparts, same_decision(2), lower, upper, budget=Budget(512, 0), finish=FinishBudget(20.0, 5.0)
        )
        spent = (time.process_time() - clock) / len(lower)
        counts = Counter(str(part.verdict) for part in found.survey.parts)
        ours = f"{counts['falsified']} / {counts['verified']} / {counts['unknown']} of {len(lower)}, {spent:.3g} s"
        reached, sat, unsat, unknown, seconds = PUBLISHED[name]
        theirs = f"{sat} / {unsat} / {unknown} of {reached}, {seconds:.0f} s"
        verdicts = [str(part.verdict) for part in found.survey.parts]
        rows.append([name, ours, theirs, _plain(model.module(), people, counterparts, lower, upper, verdicts)])
    columns_ = (
        "network",
        "ours",
        "Fairify, published (30 minutes, its machine)",
        f"plain Z3, {PLAIN_SECONDS:g} s each",
    )
    page.say("## Individual fairness: sex, Adult")
    page.say("Partitions refuted / certified / unknown, and CPU seconds per partition (Fairify: its own seconds).")
    page.table(columns_, rows)


def _plain(
    module: nn.Module | None,
    people: People,
    counterparts: Counterparts,
    lower: Tensor,
    upper: Tensor,
    verdicts: Sequence[str],
) -> str:
    assert module is not None
    graph = plain_z3.chain(trace(module, (people.width,), device=torch.device("cpu")))
    first = [int((item.levels or (0,))[0]) for item in people.attributes]
    clock, counts = time.process_time(), Counter[str]()
    chosen = np.random.default_rng(1).choice(len(lower), PLAIN, replace=False)
    for place in chosen.tolist():
        low = [int(a) + b for a, b in zip(lower[place].tolist(), first, strict=True)]
        high = [int(a) + b for a, b in zip(upper[place].tolist(), first, strict=True)]
        said = plain_z3.unfair(graph, low, high, counterparts.changed, (0, 1), PLAIN_SECONDS)
        if {"sat": "verified", "unsat": "falsified"}.get(said) == verdicts[place]:
            raise AssertionError(f"plain Z3 says {said} of a partition that is {verdicts[place]}")
        counts[said] += 1
    spent = (time.process_time() - clock) / PLAIN
    return f"{counts['sat']} / {counts['unsat']} / {counts['unknown']} of {PLAIN}, {spent:.3g} s"


def digits(width: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A network 64-``width``-``width``-10 trained here on scikit-learn's digits, and the test samples it gets right."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    x, y = torch.tensor(pixels[order] / 16, dtype=torch.float32), torch.tensor(labels[order])
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(40):
        for batch in torch.randperm(1400).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x[:1400][batch]), y[:1400][batch]).backward()
            optimiser.step()
    network.requires_grad_(False).eval()
    right = network(x[1400:]).argmax(1) == y[1400:]
    return network, x[1400:][right], y[1400:][right]


def free_pixels(network: nn.Module, x: Tensor, label: int, count: int, radius: float) -> Box:
    """A box in which the most influential pixels vary."""
    varying = x[None].clone().requires_grad_(True)
    logits = network(varying)[0]
    others = logits.clone()
    others[label] = -torch.inf
    (gradient,) = torch.autograd.grad(logits[label] - others.max(), varying)
    chosen = torch.zeros(64, dtype=torch.bool)
    chosen[gradient.abs()[0].argsort(descending=True)[:count]] = True
    return Box(torch.where(chosen, (x - radius).clamp(0, 1), x), torch.where(chosen, (x + radius).clamp(0, 1), x))


def _decided(network: nn.Module, graph: Graph, boxes: list[tuple[Box, int]], seconds: float) -> tuple[str, list[float]]:
    verifier = SmtVerifier(replay=network, limits=Limits(steps=2**31 - 1, seconds=seconds))
    counts, times = Counter[str](), []
    for box, label in boxes:
        clock = time.perf_counter()
        counts[str(verifier.verify(graph, [misclassification(box, label, 10)])[0].verdict)] += 1
        times.append(time.perf_counter() - clock)
    text = f"{counts['verified']} / {counts['falsified']} / {counts['unknown']} of {len(boxes)}"
    return text, times


def balls(page: Page) -> None:
    """Five free pixels at 1/2, and all 64 pixels at several radii, by width of the network."""
    page.say("## Balls around digits\n\nVerified / falsified / unknown, wall seconds median and largest.")
    rows = []
    for width, free, radius, count, seconds in (
        (16, 5, 0.5, 20, 20.0),
        (16, 64, 1 / 32, 10, 60.0),
        (16, 64, 1 / 16, 6, 20.0),
        (16, 64, 1 / 10, 6, 20.0),
        (24, 64, 1 / 32, 6, 20.0),
        (32, 64, 1 / 32, 6, 20.0),
        (32, 64, 1 / 16, 6, 20.0),
    ):
        network, x, y = digits(width)
        graph = trace(network, (64,), device=torch.device("cpu"))
        boxes = [(free_pixels(network, x[i], int(y[i]), free, radius), int(y[i])) for i in range(count)]
        ours, times = _decided(network, graph, boxes, seconds)
        plain, plain_times = "not asked", []
        if width == 16 and radius in (0.5, 1 / 32):
            counts = Counter[str]()
            for box, label in boxes[:6]:
                clock = time.perf_counter()
                counts[plain_z3.misclassified(graph, box.lower, box.upper, label, 20.0)] += 1
                plain_times.append(time.perf_counter() - clock)
            plain = f"{counts['unsat']} / {counts['sat']} / {counts['unknown']} of 6, {_times(plain_times)}"
        rows.append([f"64-{width}-{width}-10", free, f"{radius:.4g}", f"{ours}, {_times(times)}", plain])
    page.table(("network", "free pixels", "radius", "ours (limit 60 or 20 s a question)", "plain Z3, 20 s"), rows)


def _times(times: list[float]) -> str:
    return f"{statistics.median(times):.2g} s, {max(times):.3g} s"


def main() -> None:
    """Write the page; ``fairness`` or ``balls`` as arguments ask for one part only, without a page."""
    torch.set_num_threads(1)
    page = Page("smt", "Exact answers and fairness of the individual")
    wanted = sys.argv[1:] or ["fairness", "balls"]
    for name, part in (("fairness", fairness), ("balls", balls)):
        if name in wanted and (name != "fairness" or SHARED.exists()):
            part(page)
    if not sys.argv[1:]:
        page.write()


if __name__ == "__main__":
    main()
