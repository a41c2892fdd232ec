"""The check ``smt``: for a few samples, whether any input of the ball changes the answer, decided exactly."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotApplicableError,
    NotAssessedError,
    Payload,
    Results,
    Shard,
)
from robust.audit.checks.smt_findings import findings
from robust.errors import GraphError
from robust.graph import Graph, trace
from robust.properties import Box, linf_ball, misclassification
from robust.record import Finding, Verdict, VerdictResult
from verifiers.smt import Limits, Size, SmtVerifier, TooLargeError, refuse_unsupported

EPSILON = 0.03
"""The default radius, as a share of the width of the input box."""
DRAWS = 256
"""Random points and random corners of each kind, drawn from a verified ball as a control."""


class SmtSettings(CheckSettings):
    """Keys of ``[checks.smt]``."""

    samples: int = Field(default=3, ge=1, description="correctly answered samples to decide")
    epsilon: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="radius in input units; default 0.03 of the box width"
    )
    free_inputs: int | None = Field(
        default=None, ge=1, description="only so many inputs may change, the most influential ones; default all"
    )
    steps: int = Field(
        default=2_000_000, ge=1, description="Z3's own deterministic steps per question, half a million a second"
    )
    seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="wall clock per question, then the solver is killed"
    )
    memory_mib: int = Field(default=2048, ge=64, description="memory of the solver process")
    unstable_neurons: int = Field(default=400, ge=0, description="do not start Z3 with more neurons left open")
    neurons: int = Field(default=2000, ge=1, description="not applicable to networks with more nonlinear neurons")
    images: int = Field(default=3, ge=0, description="witnesses shown")


class SmtCheck(Check):
    """Z3 over the operation graph; see ``verifiers.smt``."""

    name: ClassVar[str] = "smt"
    title: ClassVar[str] = "Exact verification of a few samples"
    question: ClassVar[str] = "Is there any input within epsilon of a sample that gets another answer, yes or no?"
    threat_model: ClassVar[str] = (
        "Anybody who may change the input within the L-inf ball and the input box, with full knowledge of the model "
        "and unlimited computation."
    )
    limitations: ClassVar[tuple[str, ...]] = (
        "A few samples: the share says little about the data as a whole, which is what its interval shows.",
        "Verified speaks of the network in exact rational arithmetic of its stored weights, with a margin for float32 "
        "rounding of sums in any order, not of faster convolution algorithms or lower precision.",
        "With checks.smt.free_inputs the other inputs are held fixed: that is a smaller question than the whole ball.",
        "Undecided is not safe: the solver was stopped, or the ball is larger than it can decide.",
    )
    Settings: ClassVar[type[CheckSettings]] = SmtSettings

    def __init__(self) -> None:
        self._graphs: dict[str, Graph] = {}

    def plan(self, settings: SmtSettings, context: Context) -> list[Shard]:
        """One shard per sample.

        Raises:
            NotApplicableError: a black box, a network that cannot be traced, is not piecewise linear or is too large.
            NotAssessedError: no evaluation sample is answered rightly.
        """
        try:
            refuse_unsupported(self._graph(context), self._size(settings))
        except (GraphError, TooLargeError) as error:
            raise NotApplicableError(
                f"an exact solver cannot be asked about this network: {error.message}",
                wanted=error.wanted,
                got=error.got,
                hint=error.hint or "rely on the certificates check for this network",
            ) from error
        right = np.flatnonzero(np.asarray(context.predictions == context.data.labels))
        if not len(right):
            raise NotAssessedError("no evaluation sample is answered rightly, so no answer could be kept")
        order = context.rng(self.name, "samples").permutation(right)
        parameters = {
            "epsilon": self._epsilon(settings, context),
            "free_inputs": settings.free_inputs,
            "steps": settings.steps,
            "unstable_neurons": settings.unstable_neurons,
            "z3": importlib.metadata.version("z3-solver"),
        }
        return [
            Shard(self.name, f"sample {self._identifier(context, int(index))}", parameters, (int(index),))
            for index in sorted(order[: settings.samples])
        ]

    def run(self, shard: Shard, settings: SmtSettings, context: Context) -> Payload:
        """The verdict on one sample; ``witness`` in input units; ``control_broken`` of ``control_points`` draws."""
        classifier, graph = context.classifier, self._graph(context)
        sample, label = context.samples(shard.indices)[0], int(context.labels(shard.indices)[0])
        ball = self._ball(sample, label, shard, context)
        verifier = SmtVerifier(
            replay=classifier.replay,
            limits=Limits(steps=settings.steps, seconds=settings.seconds, megabytes=settings.memory_mib),
            size=self._size(settings),
        )
        item = misclassification(ball, label, len(classifier.class_names))
        result = verifier.verify(graph, [item])[0]
        verified = result.verdict is Verdict.VERIFIED
        draws = self._draws(ball, shard, context) if verified else sample[None][:0]
        broken = int(item.unsafe.contains(classifier.replay(draws)).sum()) if verified else 0
        return {
            "verdict": str(result.verdict),
            "reason": result.reason,
            "arithmetic": result.arithmetic,
            "rival": self._rival(result, sample, classifier.replay),
            "witness": None if result.witness is None else np.asarray(result.witness, dtype=np.float32),
            "free": int((ball.lower < ball.upper).sum()),
            "control_points": len(draws),
            "control_broken": broken,
        }

    def conclude(
        self, results: Results, settings: SmtSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Shares of verified, falsified and undecided samples, and the control that no engine contradicts another.

        Raises:
            NotApplicableError: every sample left more neurons open than the plan allows.
        """
        if all("Z3 was not started" in payload["reason"] for _, payload in results):
            raise NotApplicableError(
                f"the network is too large for an exact solver at this epsilon: {results[0][1]['reason']}",
                hint="lower checks.smt.epsilon or checks.smt.free_inputs, or rely on the certificates check",
            )
        return findings(results, settings.images, context, earlier)

    def estimate(self, settings: SmtSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        count = min(samples, settings.samples)
        return f"at most {count * max(1, classes - 1)} questions to Z3 of {settings.steps:,} steps each, usually few"

    def _graph(self, context: Context) -> Graph:
        classifier = context.classifier
        if classifier.digest not in self._graphs:
            module = classifier.module()
            if module is None:
                raise NotApplicableError(
                    "an exact solver needs the network's operations, and this subject is a black box",
                    hint="give the model as ONNX, torch module or exported program",
                )
            self._graphs[classifier.digest] = trace(
                module, classifier.input_shape, device=classifier.device, box=classifier.input_box
            )
        return self._graphs[classifier.digest]

    @staticmethod
    def _size(settings: SmtSettings) -> Size:
        return Size(unstable=settings.unstable_neurons, neurons=settings.neurons)

    @staticmethod
    def _epsilon(settings: SmtSettings, context: Context) -> float:
        if settings.epsilon is not None:
            return settings.epsilon
        box = context.classifier.input_box
        width = (box.upper - box.lower).flatten()
        width = width[width > 0]
        return float(f"{EPSILON * (float(width.median()) if len(width) else 1.0):.6g}")

    @staticmethod
    def _identifier(context: Context, index: int) -> str:
        return context.data.identifiers[index] if context.data.identifiers else str(index)

    def _ball(self, sample: Tensor, label: int, shard: Shard, context: Context) -> Box:
        ball = linf_ball(sample, float(shard.parameters["epsilon"]), context.classifier.input_box)
        free = shard.parameters["free_inputs"]
        if free is None or free >= sample.numel():
            return ball
        varying = sample[None].clone().requires_grad_(True)
        with torch.enable_grad():
            logits = self._graph(context).forward(varying)[0]
            others = logits.clone()
            others[label] = -math.inf
            (gradient,) = torch.autograd.grad(logits[label] - others.max(), varying)
        order = torch.sort(gradient.abs().flatten(), descending=True, stable=True).indices
        chosen = torch.zeros(sample.numel(), dtype=torch.bool, device=sample.device)
        chosen[order[:free]] = True
        chosen = chosen.reshape(sample.shape)
        return Box(torch.where(chosen, ball.lower, sample), torch.where(chosen, ball.upper, sample))

    @staticmethod
    def _draws(ball: Box, shard: Shard, context: Context) -> Tensor:
        """Uniform points of the ball, and corners, ``[2 * DRAWS, *shape]``."""
        generator = context.torch_generator("smt", shard.name)
        share = torch.rand(2 * DRAWS, *ball.shape, generator=generator).to(ball.lower.device)
        share[DRAWS:] = share[DRAWS:].round()
        return ball.clamp(ball.lower + share * (ball.upper - ball.lower))

    @staticmethod
    def _rival(result: VerdictResult, sample: Tensor, replay: Callable[[Tensor], Tensor]) -> int | None:
        if result.witness is None:
            return None
        point = torch.tensor(result.witness, dtype=sample.dtype, device=sample.device).reshape(1, *sample.shape)
        return int(replay(point)[0].argmax())
