"""Every sample of a data set under changes that people can picture: broken, or not broken by the search."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.attack import require_gradients
from attacks.changes import ChangeAttack, ChangeAttempt
from attacks.changes.named import change_of
from attacks.patch import PatchAttack
from robust.audit.check import Context, blocks
from robust.errors import UsageError
from robust.subjects.protocols import Classifier

BLOCK = 100
"""Samples per step; between steps it may be stopped."""


@dataclass(eq=False)
class ChangedSamples:
    """What one change did. Arrays have a place per sample.

    Attributes:
        text: the change in the words of the command line.
        words: name of each range, and the range.
        attacked: bool: the search ran through.
        broken: bool: right before, wrong after the change; replayed on the deployed model.
        parameters: float32 ``[n, p]``, of the witness where broken.
        witnesses: sample -> changed picture float32 ``[*shape]``.
        answers: sample -> the class that is answered to it.
        blind: bool: not broken, by a search that follows gradients, and all that it saw were zero or not finite.
        forward: queries in all.
        backward: gradient evaluations in all.
    """

    text: str
    words: dict[str, tuple[float, float]]
    attacked: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    blind: NDArray[np.bool_]
    parameters: NDArray[np.float32]
    witnesses: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    answers: dict[int, int] = field(default_factory=dict)
    forward: int = 0
    backward: int = 0


@dataclass(eq=False)
class ChangesRun:
    """What is found so far.

    Attributes:
        context: subject and data.
        texts: the changes, in the words of the command line.
        done: one entry per change that was begun.
        notes: what a reader must know, sentences.
        seconds: how long it took.
    """

    context: Context
    texts: Sequence[str]
    done: list[ChangedSamples] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Bool ``[n]``: misclassified from the start."""
        return np.asarray(self.context.predictions != self.context.data.labels)

    @property
    def complete(self) -> bool:
        """Whether every sample was searched for every change."""
        return len(self.done) == len(self.texts) and all(bool(each.attacked.all()) for each in self.done)

    @property
    def blind(self) -> bool:
        """Whether some sample stands only because there was nothing to follow."""
        return any(bool(each.blind.any()) for each in self.done)


def run_changes(run: ChangesRun, watch: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Search all changes of all samples; what is found stands in ``run`` also where this is interrupted.

    Args:
        run: prepared.
        watch: told how many samples of how many are through, over all changes.

    Raises:
        UsageError: a change that is none.
        DataShapeError: samples that a change cannot change.
        NoGradientError: a patch, of a model without gradients.
    """
    searches = [_search_of(text, run.context) for text in run.texts]
    count = len(run.context.data)
    started = time.perf_counter()
    try:
        for place, (text, search) in enumerate(zip(run.texts, searches, strict=True)):
            parameters = np.zeros((count, search.parameters), dtype=np.float32)
            attacked, broken, blind = (np.zeros(count, dtype=bool) for _ in range(3))
            found = ChangedSamples(text, search.words, attacked, broken, blind, parameters)
            run.done.append(found)
            for block in blocks(count, BLOCK):
                _search(run, search, found, block)
                watch(place * count + block[-1] + 1, count * len(searches))
            if found.blind.any():
                run.notes.append(
                    f"{text}: {int(found.blind.sum())} samples were not broken and had no gradient to follow (zero or "
                    "not finite): nothing is known of them"
                )
    finally:
        run.seconds += time.perf_counter() - started


@dataclass(frozen=True)
class _Search:
    """Who looks for the worst of one change: what its ranges are called, how many parameters a witness has."""

    attack: Callable[[Classifier, Tensor, Tensor, torch.Generator], ChangeAttempt]
    words: dict[str, tuple[float, float]]
    parameters: int


def _search_of(text: str, context: Context) -> _Search:
    """The search, if model and data fit it: what does not is refused before anything is searched."""
    shape, (word, _, size) = context.data.sample_shape, text.partition("=")
    if word.strip() != "patch":
        change = change_of(text)
        return _Search(ChangeAttack(change), change.words(), len(change.ranges(shape)))
    parts = size.strip().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError("patch needs a size", wanted="patch=HEIGHTxWIDTH in pixels, alone: patch=5x5", got=text)
    attack = PatchAttack(height=int(parts[0]), width=int(parts[1]))
    _, height, width = attack.require_fit(shape)
    require_gradients(attack.name, context.classifier, context.samples([0]))
    ends = {"row": (0.0, float(height - attack.height)), "column": (0.0, float(width - attack.width))}
    return _Search(_of_patch(attack), ends, 2)


def _of_patch(attack: PatchAttack) -> Callable[[Classifier, Tensor, Tensor, torch.Generator], ChangeAttempt]:
    """A witness's parameters are the patch's upper left corner."""

    def search(classifier: Classifier, x: Tensor, labels: Tensor, generator: torch.Generator) -> ChangeAttempt:
        found = attack(classifier, x, labels, generator)
        kept, corners = found.attempt, found.corners.to(torch.float32)
        points, dead = kept.adversarials, kept.dead & ~kept.success
        return ChangeAttempt(kept.success, corners, points, kept.margins, dead, kept.forward, kept.backward)

    return search


def _search(run: ChangesRun, search: _Search, found: ChangedSamples, block: tuple[int, ...]) -> None:
    context, rows = run.context, list(block)
    generator = context.torch_generator("change", found.text, block[0])
    attempt = search.attack(context.classifier, context.samples(block), context.labels(block), generator)
    success = attempt.success.cpu().numpy() & ~run.wrong[rows]
    found.attacked[rows], found.broken[rows] = True, success
    found.blind[rows] = attempt.dead.cpu().numpy()
    found.parameters[rows] = attempt.parameters.cpu().numpy()
    found.forward += int(attempt.forward.sum())
    found.backward += int(attempt.backward.sum())
    hits = np.flatnonzero(success)
    if not len(hits):
        return
    points = attempt.adversarials[hits.tolist()]
    answers = context.classifier.replay(points).argmax(1).tolist()
    for hit, point, answer in zip(hits.tolist(), points.cpu().numpy(), answers, strict=True):
        found.witnesses[block[hit]], found.answers[block[hit]] = point, answer
