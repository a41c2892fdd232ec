"""Witnesses for input splitting: points where linear bounds are smallest, and what a search proposes now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robust.graph import Graph
from robust.properties.rounding import outward
from verifiers.branching.outcome import Replay, Search
from verifiers.branching.questions import Questions
from verifiers.deadline import Deadline
from verifiers.region import Region

CANDIDATES = 64
"""Points per round that the real model is asked about, at most."""
FIRST_PAUSE, PAUSES = 0.5, 4.0
"""Seconds after which the witness search is asked first, and by how much longer each next pause is."""
SEARCH_SECONDS = 5.0
"""What one such search may take."""


@dataclass(eq=False)
class BoxWitnesses:
    """Where candidates come from, and who confirms them.

    Attributes:
        graph: in float64.
        questions: of all cases.
        root: the whole input sets, one for each case.
        deadline: of the whole search.
        replay, search: see their types; None where there are none.
    """

    graph: Graph
    questions: Questions
    root: Region
    deadline: Deadline
    replay: Replay | None
    search: Search | None
    _began: float = field(default_factory=time.monotonic)
    _pause: float = FIRST_PAUSE
    _turn: int = 1

    def at_minimisers(self, slopes: Tensor, region: Region, owner: Tensor) -> tuple[int, Tensor] | None:
        """Points where linear bounds are smallest, tried on the graph, and the best of them on the real model.

        Args:
            slopes: ``[n, m, inputs]``.
            region: ``n`` boxes.
            owner: int64 ``[n]``, the case of each.

        Returns:
            A case and its witness ``[*shape]``.
        """
        if self.replay is None:
            return None
        points = region.minimiser(slopes)
        middle = ((region.lower + region.upper) / 2).flatten(1)[:, None]
        points = torch.cat([points, middle], 1)
        outputs = self.graph.forward(points.reshape(-1, *self.graph.input_shape)).reshape(*points.shape[:2], -1)
        distance = self.questions.distance(outputs, owner)
        best, at = distance.min(1)
        order = best.argsort()[:CANDIDATES]
        order = order[best[order] <= 0]
        for case in sorted(set(owner[order].tolist())):
            rows = order[owner[order] == case]
            found = self.replay(case, self._in_float32(case, points[rows, at[rows]]))
            if found is not None:
                return case, found
        return None

    def searched(self, owner: Tensor) -> tuple[int, Tensor] | None:
        """Ask whoever searches, for each open case of ``owner [n]``, where the pause is over."""
        if time.monotonic() - self._began <= self._pause:
            return None
        turn, self._pause, self._turn = self._turn, self._pause * PAUSES, self._turn + 1
        if self.search is None or self.replay is None:
            return None
        for case in sorted(set(owner.tolist())):
            points = self.search(case, turn, self.deadline.within(SEARCH_SECONDS))
            found = None if points is None or not len(points) else self.replay(case, points)
            if found is not None:
                return case, found
        return None

    def _in_float32(self, case: int, points: Tensor) -> Tensor:
        """Points ``[n, inputs]`` as float32 numbers ``[n, *shape]`` that the whole input set contains, where there are
        such: minimisers are corners, and rounding to the nearest may leave the set."""
        low = outward(self.root.lower[case], torch.float32, down=False)
        high = outward(self.root.upper[case], torch.float32, down=True)
        points = points.reshape(-1, *self.graph.input_shape).float()
        return torch.minimum(torch.maximum(points, low), high)
