"""Every sample of a data set under changes that people can picture: broken, or not broken by the search."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.changes import ChangeAttack, ChangeAttempt
from attacks.changes.named import change_of
from attacks.patch import PatchAttack
from robust.audit.check import Context, blocks
from robust.errors import UsageError

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
        forward: queries in all.
        backward: gradient evaluations in all.
    """

    text: str
    words: dict[str, tuple[float, float]]
    attacked: NDArray[np.bool_]
    broken: NDArray[np.bool_]
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
    searches = [_search_of(text, run.context.data.sample_shape) for text in run.texts]
    count = len(run.context.data)
    started = time.perf_counter()
    try:
        for place, (text, search) in enumerate(zip(run.texts, searches, strict=True)):
            parameters = np.zeros((count, search.parameters), dtype=np.float32)
            found = ChangedSamples(
                text, search.words, np.zeros(count, dtype=bool), np.zeros(count, dtype=bool), parameters
            )
            run.done.append(found)
            for block in blocks(count, BLOCK):
                _search(run, search, found, block)
                watch(place * count + block[-1] + 1, count * len(searches))
    finally:
        run.seconds += time.perf_counter() - started


@dataclass(frozen=True)
class _Search:
    """Who looks for the worst of one change: what its ranges are called, how many parameters a witness has."""

    attack: Callable[..., ChangeAttempt]
    words: dict[str, tuple[float, float]]
    parameters: int


def _search_of(text: str, shape: tuple[int, ...]) -> _Search:
    word, _, size = text.partition("=")
    if word.strip() != "patch":
        change = change_of(text)
        return _Search(ChangeAttack(change), change.words(), len(change.ranges(shape)))
    parts = size.strip().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError("patch needs a size", wanted="patch=HEIGHTxWIDTH in pixels, alone: patch=5x5", got=text)
    height, width = map(int, parts)
    ends = {"row": (0.0, float(max(0, shape[-2] - height))), "column": (0.0, float(max(0, shape[-1] - width)))}
    return _Search(_Patched(PatchAttack(height=height, width=width)), ends if len(shape) > 1 else {}, 2)


@dataclass(frozen=True)
class _Patched:
    """A patch attack whose witnesses' parameters are the upper left corners."""

    attack: PatchAttack

    def __call__(self, *call: Any) -> ChangeAttempt:
        found = self.attack(*call)
        kept, corners = found.attempt, found.corners.to(torch.float32)
        return ChangeAttempt(kept.success, corners, kept.adversarials, kept.margins, kept.forward, kept.backward)


def _search(run: ChangesRun, search: _Search, found: ChangedSamples, block: tuple[int, ...]) -> None:
    context, rows = run.context, list(block)
    generator = context.torch_generator("change", found.text, block[0])
    attempt = search.attack(context.classifier, context.samples(block), context.labels(block), generator)
    success = attempt.success.cpu().numpy() & ~run.wrong[rows]
    found.attacked[rows], found.broken[rows] = True, success
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
