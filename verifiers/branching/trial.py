"""Points of input sets, tried: is one a witness, or so near to the threshold that nothing can be proved?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robust.properties import Property
from robust.properties.rounding import outward, step
from verifiers.branching.outcome import Replay
from verifiers.branching.problem import Problem
from verifiers.branching.questions import Questions

SHOWN = 64
"""Points of a case that are replayed in each round, at most."""
ROUNDING = 2 * torch.finfo(torch.float32).eps
"""Share of its size by which a point is pulled inside a ball."""
TIE = "a point of the input set is within rounding of the threshold"


class Trial:
    """Candidates of many cases.

    Args:
        problem: of the cases.
        cases: all of them.
        replay: confirms witnesses on the real model; None: nothing is confirmed.
    """

    def __init__(self, problem: Problem, cases: Sequence[Property], replay: Replay | None) -> None:
        self._problem, self._replay, self._layout = problem, replay, problem.layout
        region = self._layout.root.region
        low = step(outward(region.lower, torch.float32, down=False), down=False)
        high = step(outward(region.upper, torch.float32, down=True), down=True)
        self._low, self._high, self._most = low, high, region.upper.to(low)
        asked = Questions.of(cases, torch.float64, region.lower.device)
        noise = torch.zeros_like(asked.offset).reshape(asked.real.shape)
        noise[asked.real.any(2)] = problem.noise
        self._near = replace(asked, offset=asked.offset + noise.flatten(1))
        self._clear = replace(asked, offset=asked.offset - noise.flatten(1))

    def __call__(self, points: Tensor, clauses: Tensor) -> tuple[dict[int, Tensor], set[int]]:
        """Witnesses ``[*shape]`` by case, replayed; and cases that have a point within rounding of the threshold.

        No bound of a domain with such a point can exceed the margin, so that its case is never proved.

        Args:
            points: ``[n, inputs]``, of input sets up to rounding.
            clauses: int64 ``[n]``, whose.
        """
        samples, cases = self._problem.sample[clauses], self._problem.case[clauses]
        points = self._inside(points, samples)
        network = self._layout.network
        outputs = network.to(torch.float32).graph.forward(points).reshape(len(points), -1).double()
        near = self._distance(self._near, outputs, cases) <= 0
        witnesses: dict[int, Tensor] = {}
        for case in sorted(set(cases[near].tolist())):
            shown = points[near & (cases == case)][:SHOWN]
            found = None if self._replay is None else self._replay(case, shown)
            if found is not None:
                witnesses[case] = found
        if not bool(near.any()):
            return witnesses, set()
        outputs, cases = network.graph.forward(points[near].double()).flatten(1), cases[near]
        tied = self._distance(self._near, outputs, cases) <= 0
        tied &= self._distance(self._clear, outputs, cases) > 0
        return witnesses, set(cases[tied].tolist()) - set(witnesses)

    def _inside(self, points: Tensor, samples: Tensor) -> Tensor:
        """The points in float32, ``[n, *shape]``, inside their sets in spite of its rounding."""
        low, high, region = self._low[samples], self._high[samples], self._layout.root.region
        points = points.reshape(low.shape)
        if region.center is not None and region.radius is not None and region.norm in ("l2", "l1"):
            center, order = region.center[samples], 1 if region.norm == "l1" else 2
            size, move = points.double().flatten(1), (points.double() - center).flatten(1)
            room = region.radius[samples] - ROUNDING * torch.linalg.vector_norm(size, ord=order, dim=1)
            share = room / torch.linalg.vector_norm(move, ord=order, dim=1).clamp_min(1e-300)
            points = center + (move * share.clamp(0, 1)[:, None]).reshape(low.shape)
        points = points.to(low)
        return torch.minimum(torch.maximum(torch.minimum(points, high), low), self._most[samples])

    @staticmethod
    def _distance(asked: Questions, outputs: Tensor, cases: Tensor) -> Tensor:
        return asked.distance(outputs[:, None], cases)[:, 0]
