"""Which cases are searched together: those over input sets of one kind, as many as memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.properties import Box, InputSet, Property
from verifiers.memory import Effort, chunk_samples
from verifiers.network import Network
from verifiers.region import Region, kind_of_set, region_of

SAMPLES = 64
"""Input sets that are searched together, at most."""
DOMAIN_BYTES = 32
"""What a domain takes for each neuron that can be split."""
KEPT_SHARE = 8
"""The first domains take at most so many times the budget for temporaries."""


@dataclass(frozen=True, eq=False)
class Group:
    """Cases over ``s`` input sets.

    Attributes:
        places: the cases' numbers among all cases.
        cases: ``k`` of them.
        samples: int64 ``[k]``, the input set of each.
        region: the input sets, in float64.
    """

    places: tuple[int, ...]
    cases: tuple[Property, ...]
    samples: Tensor
    region: Region

    def take(self, rows: Sequence[int]) -> tuple[Group, Tensor]:
        """Some of the cases; and which of the input sets they need, int64 ``[s]``."""
        needed, samples = torch.unique(self.samples[list(rows)], return_inverse=True)
        places, cases = tuple(self.places[row] for row in rows), tuple(self.cases[row] for row in rows)
        return Group(places, cases, samples, self.region.take(needed)), needed


def groups_of(network: Network, cases: Sequence[Property], effort: Effort) -> Iterator[Group]:
    """All cases, in groups.

    Raises:
        PropertyError: an input set of a kind that bounds do not know.
    """
    double, device = network.to(torch.float64), network.graph.device
    neurons = sum(double.graph.nodes[index].elements for index in network.relaxed_operands)
    most = max(1, KEPT_SHARE * effort.budget(device) // (DOMAIN_BYTES * max(1, neurons)))
    together = min(SAMPLES, chunk_samples(double, 1, effort))
    for kind in dict.fromkeys(kind_of_set(case.inputs) for case in cases):
        places: list[int] = []
        sets: list[InputSet] = []
        samples: list[int] = []
        domains = 0
        for place, case in enumerate(cases):
            if kind_of_set(case.inputs) != kind:
                continue
            rows = sum(max(1, len(clause.offset)) for clause in case.unsafe.clauses)
            sample = _place_of(case.inputs, sets)
            if places and (domains + rows > most or (sample == len(sets) == together)):
                yield _group(cases, places, samples, sets, device)
                places, sets, samples, domains, sample = [], [], [], 0, 0
            if sample == len(sets):
                sets.append(case.inputs)
            places.append(place)
            samples.append(sample)
            domains += rows
        yield _group(cases, places, samples, sets, device)


def _group(
    cases: Sequence[Property], places: list[int], samples: list[int], sets: list[InputSet], device: torch.device
) -> Group:
    chosen = tuple(cases[place] for place in places)
    region = region_of(sets).to(torch.float64, device)
    return Group(tuple(places), chosen, torch.tensor(samples, device=device), region)


def _place_of(inputs: InputSet, sets: Sequence[InputSet]) -> int:
    """Where the same set stands already, else behind the last."""
    return next((place for place, known in enumerate(sets) if _same(inputs, known)), len(sets))


def _same(one: InputSet, other: InputSet) -> bool:
    if not (isinstance(one, Box) and isinstance(other, Box)):
        return one is other
    ends = ((one.lower, other.lower), (one.upper, other.upper))
    return one is other or all(torch.equal(left.double(), right.double()) for left, right in ends)
