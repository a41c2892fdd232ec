"""What an audit would do, in lines, without running it; and how long, by the time of one pass measured here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from robust.audit.assemble import Assembly, assemble
from robust.audit.catalogue import CHECKS
from robust.audit.check import Check, Context, NotAssessedError, Passes, unmet_need
from robust.audit.plan_layers import ResolvedPlan

BATCH = 128
"""Samples in the batch whose pass is measured."""
REPEATS = 3


class PassTime(NamedTuple):
    """Seconds per sample, in a batch."""

    forward: float
    gradient: float

    def seconds(self, passes: Passes) -> float:
        """How long so many passes take."""
        return passes.forward * self.forward + passes.gradient * self.gradient


def describe(resolved: ResolvedPlan) -> list[str]:
    """Load the subject and the data, plan every check, and say how much work each is. Writes nothing.

    Raises:
        SubjectError, DataError, PlanError: what an audit would raise at load.
    """
    plan = resolved.plan
    assembly = assemble(plan)
    pace = measure(assembly.context)
    lines = [
        f"plan: {resolved.file or 'no file'}; seed {plan.seed}; device {plan.device}; output {plan.output}",
        *(f"{subject.role}: {subject.name} ({subject.format}, {subject.source})" for subject in assembly.subjects),
        *(f"{data.role} data: {data.name}, {data.used} of {data.samples} samples" for data in assembly.data),
        "",
        *(f"{check.name:<14} {_one(check, resolved, assembly, pace)}" for check in CHECKS),
        "",
        f"Measured here: {_time(pace.forward)} a sample forward, {_time(pace.gradient)} with its gradient. What is "
        "done around the passes comes on top, and is most of it where the network is small.",
    ]
    return lines


def measure(context: Context) -> PassTime:
    """The fastest of a few passes of a batch of real samples; a black box has no gradient, and costs none."""
    batch = context.samples(range(min(BATCH, len(context.data))))
    classifier = context.classifier

    def forward() -> None:
        with torch.no_grad():
            classifier.logits(batch)

    def gradient() -> None:
        asked = batch.clone().requires_grad_(True)
        torch.autograd.grad(classifier.logits(asked).sum(), asked)

    return PassTime(
        _fastest(forward) / len(batch), _fastest(gradient) / len(batch) if classifier.differentiable else 0.0
    )


def _fastest(work: Callable[[], None]) -> float:
    times = []
    for _ in range(REPEATS):
        clock = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - clock)
    return min(times)


def _one(check: Check, resolved: ResolvedPlan, assembly: Assembly, pace: PassTime) -> str:
    settings = resolved.plan.settings(check.name)
    context = assembly.context
    if not settings.enabled:
        return "off"
    missing = unmet_need(check, context)
    if missing is not None:
        return f"not applicable: {missing}"
    try:
        shards = len(check.plan(settings, context))
    except NotAssessedError as error:
        return f"not assessed: {error.message}"
    size = (len(context.data), len(context.classifier.class_names))
    passes = check.passes(settings, *size)
    parts = [
        f"{shards} shard" if shards == 1 else f"{shards} shards",
        check.estimate(settings, *size),
        "time unknown" if passes is None else f"{_time(pace.seconds(passes))} in the network",
    ]
    return "; ".join(part for part in parts if part)


def _time(seconds: float) -> str:
    """Two figures: ``35 us``, ``1.2 ms``, ``14 s``, ``3.5 min``, ``2.1 h``."""
    for unit, size, limit in (("us", 1e-6, 1e-3), ("ms", 1e-3, 1.0), ("s", 1.0, 100.0), ("min", 60.0, 6000.0)):
        if seconds < limit:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{seconds / 3600:,.1f} h"
