"""Which engine decided what: every sample at every radius, and how long it took until then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attacks.balls import NORM_NAMES, Norm
from robust.audit.check import Context, Results
from robust.audit.checks.sandwich import Answers, Mask
from robust.record import DecidedBar, Decisions, Verdict
from verifiers import METHODS

MISCLASSIFIED, ATTACK, SPLITTING, SMT = "misclassified", "attack", "branch and bound", "smt"
PROVED, BROKEN, UNDECIDED = "proved", "broken", "undecided"
FIGURES = 4
"""Significant figures of seconds."""


@dataclass(eq=False)
class Standing:
    """What is known of every evaluation sample within one radius.

    Attributes:
        norm: of the balls.
        epsilon: their radius in input units.
        proved: bool ``[n]``.
        broken: bool ``[n]``; what is both counts as broken.
        engines: ``[n]``, who decided it first; empty where nobody did.
        seconds: float ``[n]``, what all engines that were asked took until then, in a block of samples its share.
        contradicted: bool ``[n]``, proved by one engine and broken by another: one of them is unsound.
    """

    norm: Norm
    epsilon: float
    proved: Mask
    broken: Mask
    engines: NDArray[np.str_]
    seconds: NDArray[np.float64]
    contradicted: Mask

    @classmethod
    def of(cls, norm: Norm, epsilon: float, right: Mask) -> Standing:
        """Before any engine was asked: only misclassified samples are decided."""
        engines = np.where(right, "", MISCLASSIFIED).astype("<U32")
        nobody = np.zeros_like(right)
        return cls(norm, epsilon, nobody, ~right, engines, np.zeros(len(right)), nobody.copy())

    @property
    def open(self) -> Mask:
        """Bool ``[n]``: neither proved nor broken."""
        return ~self.proved & ~self.broken

    def take(self, engine: str, verdict: str, decided: Mask) -> None:
        """An engine proved or broke samples; whoever came first keeps them, but that a witness refutes a proof."""
        new = decided & (self.open if verdict == PROVED else ~self.broken)
        self.contradicted |= decided & (self.broken if verdict == PROVED else self.proved)
        self.engines[new] = engine
        if verdict == PROVED:
            self.proved |= new
        else:
            self.broken |= new
            self.proved &= ~new

    def spend(self, seconds: NDArray[np.float64]) -> None:
        """An engine was asked: its time counts for what is still open."""
        self.seconds[self.open] += seconds[self.open]

    def verdicts(self) -> NDArray[np.str_]:
        """``proved``, ``broken`` or ``undecided`` ``[n]``."""
        return np.where(self.broken, BROKEN, np.where(self.proved, PROVED, UNDECIDED))


@dataclass(frozen=True, eq=False)
class Sources:
    """Results of the checks that decide samples, and the masks in them.

    Attributes:
        right: bool ``[n]``, answered rightly by the deployed model.
        answers: of attacks and certificates.
        attacks, certificates, smt, branching: results of the checks of these names.
    """

    right: Mask
    answers: Answers
    attacks: Results = ()
    certificates: Results = ()
    smt: Results = ()
    branching: Results = ()

    def population(self, norm: Norm, radii: Sequence[float]) -> Mask:
        """Bool ``[n]``: samples that attacks, at all these radii, and certificates were both asked about; or the one of
        them that ran."""
        asked = self.answers.asked
        challenged: Mask = np.logical_and.reduce([self.answers.challenged(norm, epsilon) for epsilon in radii])
        if not challenged.any():
            return asked
        return challenged & asked if asked.any() else challenged

    def standing(self, norm: Norm, epsilon: float) -> Standing:
        """Engine after engine: attacks, bounds from the cheapest, the exact solver, branch and bound."""
        known = Standing.of(norm, epsilon, self.right)
        known.spend(self._spent(self.attacks, norm, epsilon))
        known.take(ATTACK, BROKEN, self.answers.broken(norm, epsilon) | self.answers.missed(norm, epsilon))
        methods = {method for method, n, _ in self.answers.proofs if n == norm}
        for method in sorted(methods, key=list(METHODS).index):
            known.spend(self._spent(self.certificates, norm, epsilon, method))
            for engine, proved in self._proofs(norm, epsilon, method):
                known.take(engine, PROVED, proved)
        known.take(ATTACK, BROKEN, _drawn_wrong(self.branching, norm, epsilon, len(self.right)))
        for engine, verdict, at, sample, seconds in (*_exact(self.smt), *_split(self.branching, norm)):
            if engine == SMT and norm != "linf":
                continue
            one = np.zeros_like(known.open)
            one[sample] = True
            if at == epsilon:
                known.spend(np.where(one, seconds, 0.0))
            if (verdict == PROVED and at >= epsilon) or (verdict == BROKEN and at <= epsilon):
                known.take(engine, verdict, one)
        return known

    def _proofs(self, norm: Norm, epsilon: float, method: str) -> Iterator[tuple[str, Mask]]:
        """What a method proved within this radius or a larger one, by which of the methods that it tries."""
        for shard, payload in self.certificates:
            p, certified = shard.parameters, np.asarray(payload["certified"], dtype=bool)
            if (p["method"], p["norm"]) != (method, norm) or p["epsilon"] < epsilon:
                continue
            by = np.asarray(payload.get("by", [method] * len(certified)))
            for engine in sorted(set(by[certified].tolist()), key=list(METHODS).index):
                proved = np.zeros_like(self.right)
                proved[list(shard.indices)] = certified & (by == engine)
                yield engine, proved

    def _spent(self, results: Results, norm: Norm, epsilon: float, method: str | None = None) -> NDArray[np.float64]:
        """Seconds of each sample ``[n]``: equal shares of its shards."""
        spent = np.zeros(len(self.right))
        for shard, payload in results:
            p = shard.parameters
            if (p.get("norm"), p.get("epsilon")) == (norm, epsilon) and (method is None or p["method"] == method):
                spent[list(shard.indices)] += float(payload.get("seconds", 0.0)) / max(1, len(shard.indices))
        return spent


def _exact(results: Results) -> Iterator[tuple[str, str, float, int, float]]:
    """Engine, verdict, radius, sample and seconds of what the exact solver was asked about whole balls."""
    words = {Verdict.VERIFIED: PROVED, Verdict.FALSIFIED: BROKEN}
    for shard, payload in results:
        if shard.parameters["free_inputs"] is None:
            verdict = words.get(Verdict(payload["verdict"]), UNDECIDED)
            yield SMT, verdict, float(shard.parameters["epsilon"]), shard.indices[0], float(payload.get("seconds", 0.0))


def _split(results: Results, norm: Norm) -> Iterator[tuple[str, str, float, int, float]]:
    """The same of the check ``branching``."""
    for shard, payload in results:
        if shard.parameters["norm"] == norm:
            columns = (payload[name] for name in ("engine", "verdict", "epsilon", "sample", "took"))
            for engine, verdict, epsilon, sample, took in zip(*columns, strict=True):
                yield str(engine), str(verdict), float(epsilon), int(sample), float(took)


def _drawn_wrong(results: Results, norm: Norm, epsilon: float, count: int) -> Mask:
    """Bool ``[count]``: the deployed model is wrong at a point that the check ``branching`` drew from the ball."""
    found = np.zeros(count, dtype=bool)
    for shard, payload in results:
        if shard.parameters["norm"] == norm:
            inside = (np.asarray(payload["epsilon"]) <= epsilon) & ~np.asarray(payload["seen"], dtype=bool)
            found[np.asarray(payload["sample"])[inside]] = True
    return found


def evidence(context: Context, population: Mask, standings: Sequence[Standing]) -> Decisions:
    """What decided each sample of a population, for radii of one norm."""
    places = np.flatnonzero(population)
    names = context.data.identifiers or tuple(map(str, range(len(context.data))))
    bars = tuple(
        DecidedBar(
            label=f"{known.epsilon:g}",
            verdicts=tuple(known.verdicts()[places].tolist()),
            engines=tuple(known.engines[places].tolist()),
            seconds=tuple(float(f"{value:.{FIGURES}g}") for value in known.seconds[places]),
        )
        for known in standings
    )
    return Decisions(
        title=f"What decided each sample within {NORM_NAMES[standings[0].norm]} balls",
        bar_label="epsilon (input units)",
        samples=tuple(str(names[place]) for place in places),
        bars=bars,
        caption="Proofs from the left, what is broken from the right, undecided between. Below: the share of all "
        "samples and radii that were decided within so much work on each, all engines that were asked together.",
    )
