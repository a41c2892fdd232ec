"""The tree of splits of neurons: what was asked, how the answer was split, and what each leaf was bounded by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from verifiers.branching.domains import Domains
from verifiers.branching.layout import Layout
from verifiers.branching.leaf_store import Column, LeafChunk, ground_columns, leaf_columns

FORMAT = 2
_INTEGERS = ("parent", "side", "node", "element", "question")
_NUMBERS = ("threshold", "bound")


@dataclass(eq=False)
class NeuronTree:
    """Rows of a forest, one tree per question; see ``docs/proofs.md``, section Neuron trees.

    A question is either a clause of the unsafe set (``sign`` 0) or the lower bound of ``sign`` times a neuron. While
    several cases are searched together, ``owners`` says whose question each is. ``grounds`` says for each question on
    which bounds over the whole input set its leaves rest: a layout, and which of its input sets.
    """

    kind: ClassVar[str] = "neurons"
    format: ClassVar[int] = FORMAT
    questions: list[tuple[int, int, int]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    grounds: list[tuple[Layout, int]] = field(default_factory=list)
    _columns: dict[str, list[Column]] = field(default_factory=lambda: {name: [] for name in _INTEGERS + _NUMBERS})
    _rows: int = 0
    _closed: list[LeafChunk] = field(default_factory=list)

    def __len__(self) -> int:
        return self._rows

    def ask(
        self, layout: Layout, places: Tensor, sign: int, owners: Tensor | None = None, samples: Tensor | None = None
    ) -> Tensor:
        """Roots of new trees: int64 ``[k]``.

        Args:
            layout: of the domains; its node is the network's output for clauses, else the neuron's.
            places: int64 ``[k]``: numbers of clauses, or flat places of neurons.
            sign: 0 for clauses; 1 for lower bounds of neurons, -1 for lower bounds of their negatives.
            owners: int64 ``[k]``: whose questions they are; all of case 0 by default.
            samples: int64 ``[k]``: over which of the layout's input sets; all over the first by default.
        """
        first, count = len(self.questions), len(places)
        self.questions += [(layout.node, place, sign) for place in places.tolist()]
        self.owners += [0] * count if owners is None else owners.tolist()
        self.grounds += [(layout, sample) for sample in ([0] * count if samples is None else samples.tolist())]
        question = np.arange(first, first + count)
        none = np.full(count, -1)
        return self._append(none, none, none, none, question, np.full(count, np.nan))

    def grow(self, leaves: Tensor, nodes: Tensor, elements: Tensor, thresholds: Tensor) -> Tensor:
        """Both halves of each leaf, first all with ``x <= threshold``: int64 ``[2 n]``."""
        count = len(leaves)
        twice = [np.tile(part.cpu().numpy(), 2) for part in (leaves, nodes, elements, thresholds)]
        question = np.concatenate(self._columns["question"])[twice[0]]
        side = np.repeat([0, 1], count)
        return self._append(twice[0], side, twice[1], twice[2], question, twice[3])

    def close(self, domains: Domains, bounds: Tensor) -> None:
        """Keep what leaves, ``n`` domains of one layout, were bounded by, and the bounds ``[n]``."""
        if not len(domains):
            return
        question = self._question(int(domains.leaf[0]))
        self._closed.append(LeafChunk.of(self.grounds[question][0], domains, bounds))

    def table(self) -> dict[str, Column]:
        """The columns by name; ``bound`` is NaN where a row is split further or was not bounded."""
        result = {
            name: np.concatenate([*parts, np.zeros(0)]).astype(np.int64 if name in _INTEGERS else np.float64)
            for name, parts in self._columns.items()
        }
        for chunk in self._closed:
            result["bound"][chunk.leaves] = chunk.bounds
        return result

    def followed_by(self, other: NeuronTree, owner: int) -> NeuronTree:
        """A forest of these trees, and after them those trees of another that answer one case's questions."""
        mine, table = self.table(), other.table()
        chosen = np.flatnonzero(np.array(other.owners, dtype=np.int64) == owner)
        rows = np.flatnonzero(np.isin(table["question"], chosen))
        place = np.full(len(other) + 1, -1)  # the last one is the parent of roots
        place[rows] = len(self) + np.arange(len(rows))
        moved = {name: column[rows] for name, column in table.items()}
        moved["parent"] = place[moved["parent"]]
        moved["question"] = len(self.questions) + np.searchsorted(chosen, moved["question"])
        result = NeuronTree([*self.questions, *(other.questions[at] for at in chosen)])
        result.owners = [0] * len(result.questions)
        result._columns = {name: [mine[name], moved[name]] for name in result._columns}
        result._rows = len(self) + len(rows)
        result.grounds = [*self.grounds, *(other.grounds[at] for at in chosen)]
        result._closed = [*self._closed, *(part for chunk in other._closed if (part := chunk.moved(place)) is not None)]
        return result

    def columns(self) -> dict[str, Column]:
        """All arrays of the format, by name."""
        asked, table = np.array(self.questions, dtype=np.int64).reshape(-1, 3), self.table()
        different = {each: place for place, each in enumerate(dict.fromkeys(self.grounds))}
        ground = np.array([different[each] for each in self.grounds], dtype=np.int64)
        return {
            "questions": asked,
            "ground": ground,
            **table,
            **ground_columns(list(different)),
            **leaf_columns(self._closed),
        }

    def save(self, path: Path) -> None:
        """Write it in the format of ``docs/proofs.md``."""
        np.savez_compressed(path, **{"format": np.array(FORMAT), **self.columns()})  # type: ignore[arg-type]

    def _question(self, row: int) -> int:
        for chunk in self._columns["question"]:
            if row < len(chunk):
                return int(chunk[row])
            row -= len(chunk)
        raise IndexError(row)

    def _append(self, *columns: Column) -> Tensor:
        count = len(columns[0])
        for name, values in zip(("parent", "side", "node", "element", "question", "threshold"), columns, strict=True):
            self._columns[name].append(values)
        self._columns["bound"].append(np.full(count, np.nan))
        start, self._rows = self._rows, self._rows + count
        return torch.arange(start, self._rows)
