"""The largest certified radius of each sample, by bisection over the whole batch at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from robust.errors import PropertyError
from robust.graph import Graph
from robust.properties import Box
from verifiers.certify import confirmed_bounds, rival_matrices
from verifiers.memory import Effort
from verifiers.network import Network
from verifiers.region import Region, ball_region


@dataclass(frozen=True, eq=False)
class CertifiedRadii:
    """What was proved of ``n`` samples.

    Attributes:
        radii: float64 ``[n]``: a radius at which the sample was proved to keep its label, in input units; 0 where the
            answer is wrong or not even ``least`` was proved.
        unproved: float64 ``[n]``: the smallest radius that was tried in vain; infinite where there is none, 0 where
            the answer is wrong. It may be robust there all the same.
        norm: of the balls.
        method: of the bounds.
        least: radii below are not told from 0.
        most: no larger one is tried.
        tolerance: where ``radii`` is above 0, ``unproved`` is at most ``1 + tolerance`` times as large.
        evaluations: balls that were bounded, over all samples.
    """

    radii: Tensor
    unproved: Tensor
    norm: str
    method: str
    least: float
    most: float
    tolerance: float
    evaluations: int


def certified_radii(
    graph: Graph | Network,
    samples: Tensor,
    labels: Tensor,
    *,
    norm: str,
    box: Box,
    method: str,
    effort: Effort | None = None,
    slack: float = 0.0,
    least: float | None = None,
    most: float | None = None,
    tolerance: float = 0.01,
) -> CertifiedRadii:
    """The largest radius at which each sample is proved to keep its label.

    Every step bounds one ball per open sample, each of its own radius, in one batch. Radii are halved on a logarithmic
    scale between ``least`` and ``most``; what is returned was itself proved, so every smaller ball is safe as well.

    Args:
        graph: the network; outputs are logits.
        samples: ``[n, *input_shape]`` inside ``box``.
        labels: int64 ``[n]``, the classes that must stay.
        norm: as for ``ball_region``.
        box: the declared input box; balls are cut to it.
        method: as for ``lower_bounds``.
        effort: limits on work and memory.
        slack: by how much a proved margin must exceed zero, as for ``certify``.
        least: smallest radius to try, in input units; 1e-4 of ``most`` by default.
        most: largest radius to try; by default the one that covers the box from every sample.
        tolerance: largest relative gap between what was proved and what was tried in vain.

    Raises:
        LabelError: a label is not a class.
        PropertyError: a sample outside the box, an unknown norm, no ``0 < least <= most``, no tolerance above 0.
    """
    most = _reach(norm, box) if most is None else most
    least = most * 1e-4 if least is None else least
    if not (0 < least <= most < math.inf and tolerance > 0 and slack >= 0):
        raise PropertyError(
            "a search for radii has impossible limits",
            wanted="0 < least <= most, a tolerance above 0, a slack of at least 0",
            got=f"least {least}, most {most}, tolerance {tolerance}, slack {slack}",
        )
    network = graph if isinstance(graph, Network) else Network(graph)
    search = _Search(network, samples, labels, norm, box, method, effort or Effort(), slack)
    low, high = search.run(least, most, tolerance)
    return CertifiedRadii(low, high, norm, method, least, most, tolerance, search.evaluations)


def balls(samples: Tensor, radii: Tensor, norm: str, box: Box) -> Region:
    """``ball_region`` with a radius for each sample: its widening, its checks, its kinds of balls.

    Args:
        samples: ``[n, *shape]``.
        radii: ``[n]``.
        norm: as for ``ball_region``.
        box: the declared input box.
    """
    distinct, places = torch.unique(radii, return_inverse=True)
    if len(distinct) < 2:
        return ball_region(samples, float(distinct[0]) if len(distinct) else 0.0, norm, box)
    order = torch.argsort(places, stable=True)
    groups = torch.split(order, torch.bincount(places).tolist())
    values = distinct.tolist()
    parts = [ball_region(samples[rows], radius, norm, box) for rows, radius in zip(groups, values, strict=True)]
    back = torch.argsort(order)
    joined = {field.name: _joined([getattr(part, field.name) for part in parts], back) for field in fields(Region)}
    return Region(**joined)


def _joined(values: Sequence[Any], back: Tensor) -> Any:
    """One field of many regions: tensors one after the other, in the samples' order; what is no tensor is common."""
    return torch.cat(list(values))[back] if isinstance(values[0], Tensor) else values[0]


@dataclass(eq=False)
class _Search:
    """The samples, and how one batch of balls is judged."""

    network: Network
    samples: Tensor
    labels: Tensor
    norm: str
    box: Box
    method: str
    effort: Effort
    slack: float
    evaluations: int = 0

    def run(self, least: float, most: float, tolerance: float) -> tuple[Tensor, Tensor]:
        """Proved and unproved radii, each ``[n]``; infinite where nothing was tried in vain."""
        ball_region(self.samples, least, self.norm, self.box)
        self.matrices = rival_matrices(self.labels, self.network.graph.outputs)
        right = self._right()
        low = torch.zeros(len(self.samples), dtype=torch.float64, device=self.samples.device)
        high = torch.where(right, math.inf, low)
        self._try(torch.full_like(low, least), right, low, high)
        while True:
            ceiling = high.clamp_max(most)
            open_ = (low > 0) & (ceiling > low * (1 + tolerance))
            if not bool(open_.any()):
                break
            self._try((low * ceiling).sqrt(), open_, low, high)
        self._try(torch.full_like(low, most), (low > 0) & (low < most) & high.isinf(), low, high)
        return low, high

    def _right(self) -> Tensor:
        with torch.no_grad():
            clean = self.network.graph.forward(self.samples).flatten(1)
            margins = torch.bmm(self.matrices.to(clean), clean[:, :, None])[:, :, 0]
        return (margins > 0).all(1).to(self.samples.device)

    def _try(self, radii: Tensor, who: Tensor, low: Tensor, high: Tensor) -> None:
        """Bound the balls of ``who`` and move their brackets."""
        rows = torch.nonzero(who)[:, 0]
        if not len(rows):
            return
        self.evaluations += len(rows)
        region = balls(self.samples[rows], radii[rows], self.norm, self.box)
        margins = confirmed_bounds(self.network, region, self.matrices[rows], None, self.method, self.effort).runs
        proved = (margins > self.slack).all(1).to(low.device)
        low[rows] = torch.where(proved, radii[rows], low[rows])
        high[rows] = torch.where(proved, high[rows], radii[rows])


def _reach(norm: str, box: Box) -> float:
    """A radius from which no ball grows: the size of the box."""
    width = (box.upper.double() - box.lower.double()).flatten()
    order = {"linf": math.inf, "l2": 2.0, "l1": 1.0}.get(norm, 1.0)
    return float(torch.linalg.vector_norm(width, ord=order))
