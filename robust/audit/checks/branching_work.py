"""One shard of the check ``branching``: bounds of all its samples together, then branch and bound in rounds."""

from __future__ import annotations

import math
import time

import numpy as np

from attacks.balls import Norm
from robust.audit.branching import Ball, Settled, branch_and_bound
from robust.audit.check import Context, Payload, Shard
from robust.audit.checks.certificate_controls import Trial, try_balls
from robust.audit.decided import BROKEN, PROVED, SPLITTING, UNDECIDED
from robust.record import Verdict
from verifiers import Effort, Network
from verifiers.certify import attempts, certified_by

ALPHA = "alpha-crown"
"""Bounds that are tried first, all samples of a shard together: a tenth of the work."""
WORDS = {Verdict.VERIFIED: PROVED, Verdict.FALSIFIED: BROKEN, Verdict.UNKNOWN: UNDECIDED}


class Work:
    """What a shard has left to do, and what is found.

    Args:
        shard: its parameters hold the radii at which each sample is undecided.
        context: subject and data.
        network: of the subject.
        seconds, domains: for each ball, at most.
        effort: limits on memory.
    """

    def __init__(
        self, shard: Shard, context: Context, network: Network, *, seconds: float, domains: int, effort: Effort
    ) -> None:
        self.shard, self.context, self.network = shard, context, network
        self.seconds, self.domains, self.effort = seconds, domains, effort
        self.norm: Norm = shard.parameters["norm"]
        self.open = {
            sample: list(epsilons) for sample, epsilons in zip(shard.indices, shard.parameters["epsilons"], strict=True)
        }
        self.rows: list[tuple[Ball, str, Settled]] = []
        self.trials: dict[float, tuple[list[int], Trial]] = {}

    def payload(self) -> Payload:
        """What the shard leaves behind."""
        for epsilon in sorted({e for epsilons in self.open.values() for e in epsilons}, reverse=True):
            self._draw(epsilon)
        gap = max(trial.gap for _, trial in self.trials.values())
        if math.isfinite(gap):
            self._bound(2 * gap)
            self._split(2 * gap)
        return self._columns() | {
            "gap": gap,
            "scale": max(trial.scale for _, trial in self.trials.values()),
            "points": sum(trial.points for _, trial in self.trials.values()),
        }

    def _at(self, epsilon: float) -> list[int]:
        return [sample for sample, epsilons in self.open.items() if epsilon in epsilons]

    def _draw(self, epsilon: float) -> None:
        samples, context = self._at(epsilon), self.context
        generator = context.torch_generator("branching", self.shard.name, repr(epsilon))
        x, labels = context.samples(samples), context.labels(samples)
        trial = try_balls(self.network.graph, context.classifier, x, labels, epsilon, self.norm, generator)
        self.trials[epsilon] = samples, trial

    def _bound(self, slack: float) -> None:
        """Optimised bounds, from the largest radius down."""
        context = self.context
        for epsilon in sorted(self.trials, reverse=True):
            samples = self._at(epsilon)
            if not samples:
                continue
            started = time.perf_counter()
            by = certified_by(
                self.network,
                context.samples(samples),
                context.labels(samples),
                [epsilon],
                norm=self.norm,
                box=context.classifier.input_box,
                method=ALPHA,
                effort=self.effort,
                slack=slack,
            )[0].tolist()
            took = (time.perf_counter() - started) / len(samples)
            for sample, rung in zip(samples, by, strict=True):
                verdict, engine = (Verdict.VERIFIED, attempts(ALPHA)[rung]) if rung >= 0 else (Verdict.UNKNOWN, ALPHA)
                runs = verdict is Verdict.VERIFIED  # bounds are certified for runs or not at all
                settled = Settled(verdict, "", 0, took, runs=runs)
                self._note(Ball(sample, self.norm, epsilon, slack), engine, settled)

    def _split(self, slack: float) -> None:
        while any(self.open.values()):
            balls = [
                Ball(sample, self.norm, epsilons[len(epsilons) // 2], slack)
                for sample, epsilons in self.open.items()
                if epsilons
            ]
            settled = branch_and_bound(
                self.network,
                self.context,
                balls,
                seconds=self.seconds,
                domains=self.domains,
                effort=self.effort,
            )
            for ball, one in zip(balls, settled, strict=True):
                self._note(ball, SPLITTING, one)
                if ball.epsilon in self.open[ball.sample]:
                    self.open[ball.sample].remove(ball.epsilon)

    def _note(self, ball: Ball, engine: str, settled: Settled) -> None:
        """Keep an answer; it also answers for smaller balls if it is a proof, and for larger ones if a witness."""
        self.rows.append((ball, engine, settled))
        epsilons = self.open[ball.sample]
        if settled.verdict is Verdict.VERIFIED:
            self.open[ball.sample] = [e for e in epsilons if e > ball.epsilon]
        elif settled.verdict is Verdict.FALSIFIED:
            self.open[ball.sample] = [e for e in epsilons if e < ball.epsilon]

    def _seen(self, ball: Ball) -> bool:
        samples, trial = self.trials[ball.epsilon]
        return not bool(trial.broken[samples.index(ball.sample)])

    def _columns(self) -> Payload:
        hits = [place for place, (_, _, one) in enumerate(self.rows) if one.witness is not None]
        answers = [self.rows[place][2] for place in hits]
        shape = self.context.classifier.input_shape
        points = [one.witness for one in answers if one.witness is not None]
        return {
            "sample": np.array([ball.sample for ball, _, _ in self.rows], dtype=np.int64),
            "epsilon": [ball.epsilon for ball, _, _ in self.rows],
            "engine": [engine for _, engine, _ in self.rows],
            "verdict": [WORDS[one.verdict] for _, _, one in self.rows],
            "domains": np.array([one.domains for _, _, one in self.rows], dtype=np.int64),
            "took": np.array([one.seconds for _, _, one in self.rows]),
            "timed_out": np.array([one.timed_out for _, _, one in self.rows], dtype=bool),
            "runs": np.array([one.runs for _, _, one in self.rows], dtype=bool),
            "seen": np.array([self._seen(ball) for ball, _, _ in self.rows], dtype=bool),
            "witnesses": np.stack(points) if points else np.zeros((0, *shape), dtype=np.float32),
            "witness_places": np.array(hits, dtype=np.int64),
            "distances": np.array([one.distance for one in answers]),
            "answers": np.array([one.answer for one in answers], dtype=np.int64),
        }
