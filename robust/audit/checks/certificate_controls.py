"""Does the operation graph that is certified answer as the model that is deployed? Tried in every ball, and counted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.balls import Norm, project
from robust.audit.check import Results
from robust.graph import Graph
from robust.record import Finding, Outcome
from robust.subjects.protocols import Classifier

DRAWS = 6
"""Points of each ball beside its centre: random corners (L2: of its surface), and every third uniform."""
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Trial:
    """What the deployed model answers in the balls of some samples.

    Attributes:
        gap: largest difference between a logit of the graph and of the model; infinite where one is not finite.
        scale: largest logit of the model.
        broken: bool ``[n]``: a drawn point of this ball is answered wrongly.
        points: rows that were replayed.
    """

    gap: float
    scale: float
    broken: Tensor
    points: int


def try_balls(
    graph: Graph,
    classifier: Classifier,
    x: Tensor,
    labels: Tensor,
    epsilon: float,
    norm: Norm,
    generator: torch.Generator,
) -> Trial:
    """Ask graph and model about every sample and a few points of its ball.

    Args:
        graph: traced from the classifier.
        classifier: the subject; ``replay`` is what it is held to.
        x: ``[n, *shape]`` inside its box.
        labels: int64 ``[n]``.
        epsilon: radius in input units.
        norm: which ball.
        generator: on the CPU.
    """
    gap, scale = 0.0, 0.0
    broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for draw in range(DRAWS + 1):
        points = x if not draw else _drawn(x, epsilon, norm, classifier, generator, uniform=draw % 3 == 0)
        with torch.no_grad():
            answers = classifier.replay(points).to(x.device)
            difference = (graph.forward(points).flatten(1).to(answers) - answers).abs()
        gap = max(gap, float(difference.nan_to_num(nan=torch.inf).max()))
        scale = max(scale, float(answers.abs().nan_to_num().max()))
        broken |= (answers.argmax(1) != labels) | ~torch.isfinite(answers).all(1)
    return Trial(gap, scale, broken, (DRAWS + 1) * len(x))


def agreement(check: str, results: Results, tolerance: float) -> Finding:
    """The control: what is certified is what is deployed, up to ``tolerance`` of the largest logit."""
    shares = [payload["gap"] / max(payload["scale"], 1e-30) for _, payload in results]
    worst, points = max(shares), sum(payload["points"] for _, payload in results)
    fine = worst <= tolerance
    return Finding(
        check=check,
        metric="graph_agreement",
        title="Control: the operation graph answers as the deployed model does",
        value=worst if worst < float("inf") else None,
        unit="of the largest logit",
        n=points,
        better="lower",
        control=True,
        outcome=Outcome.PASS if fine else Outcome.FAIL,
        reason=f"The largest difference between the two at {points} points, samples and random points of their balls, "
        f"is {worst:.2g} of the largest logit"
        + (
            "; certificates keep a distance of twice that difference."
            if fine
            else f", more than {tolerance:g}: the proofs speak of another function than the one that is deployed."
        ),
        protocol={"tolerance": tolerance, "points per ball": DRAWS + 1},
    )


def _drawn(
    x: Tensor, epsilon: float, norm: Norm, classifier: Classifier, generator: torch.Generator, *, uniform: bool
) -> Tensor:
    if norm == "linf":
        unit = torch.rand(x.shape, generator=generator) * 2 - 1
        unit = unit if uniform else unit.sign()
    else:
        unit = torch.randn(x.shape, generator=generator)
        size = torch.linalg.vector_norm(unit.flatten(1), dim=1).clamp_min(1e-30)
        share = torch.rand(len(x), generator=generator) if uniform else torch.ones(len(x))
        unit = unit * (share / size).reshape(-1, *[1] * (x.ndim - 1))
    return project(x, x + epsilon * unit.to(x), epsilon, norm, classifier.input_box)
