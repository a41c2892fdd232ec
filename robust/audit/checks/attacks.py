"""The check ``attacks``: how often the answer stays right when the input moves a little, on purpose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator

from attacks.attack import gives_gradients
from attacks.attempt import Attempt
from attacks.balls import NORM_NAMES, Norm
from attacks.catalogue import ATTACKS, make_attack
from attacks.ensemble import Tier
from attacks.foolbox_engine import ENGINE
from robust.audit.attack_diagnosis import diagnosis_payload, diagnosis_shard, is_diagnosis
from robust.audit.attack_findings import attack_findings
from robust.audit.check import (
    Check,
    CheckSettings,
    Context,
    NotAssessedError,
    Passes,
    Payload,
    Results,
    Shard,
    blocks,
)
from robust.audit.radii import UNIT_EPSILONS, epsilon_grid
from robust.record import Finding

BLOCK = 100
"""Samples per shard."""

SANITY_SAMPLES = 50
STEPS: dict[Tier, int] = {"fast": 85, "standard": 1950, "thorough": 8000}
QUERIES: dict[Tier, int] = {"fast": 0, "standard": 5000, "thorough": 15000}
"""Gradient steps and queries per sample of the ensemble at most (of ten classes), for estimates."""

WITNESS_BYTES = 8_000_000
"""At most so much of witnesses per shard."""

GRADIENT_ATTACKS = tuple(entry.name for entry in ATTACKS if entry.gradients)


class AttackSettings(CheckSettings):
    """Keys of ``[checks.attacks]``."""

    norms: tuple[Norm, ...] = Field(default=("linf", "l2"), min_length=1, description="balls: linf, l2")
    linf_epsilons: tuple[float, ...] | None = Field(
        default=None, description="radii in input units; default 0.01, 0.02, 0.05, 0.1 of the box width"
    )
    l2_epsilons: tuple[float, ...] | None = Field(
        default=None, description="radii in input units; default 0.1, 0.25, 0.5, 1.0 times the box width"
    )
    attacks: tuple[Literal["pgd", "fgsm", "ensemble", "square", "noise"], ...] = Field(
        default=("pgd", "fgsm", "ensemble", "noise"), min_length=1, description="attacks; noise is the control"
    )
    tier: Tier = Field(
        default="fast", description="of the ensemble: fast, standard (AutoAttack's protocol) or thorough (slow)"
    )
    square_queries: int = Field(default=1000, ge=1, description="queries per sample of the attack square")
    diagnosis: bool = Field(default=True, description="look for signs of masked gradients in a few samples")
    steps: int = Field(default=40, ge=1, description="gradient steps of one PGD start")
    restarts: int = Field(default=2, ge=1, description="PGD's random starts: cross-entropy and margin in turn")
    relative_step: float | None = Field(default=None, gt=0, description="PGD's step over epsilon; default 2.5 / steps")
    noise_draws: int = Field(default=20, ge=1, description="points drawn from the ball by the control")
    samples: int = Field(default=200, ge=1, description="samples attacked at most (stratified by class)")
    images: int = Field(default=6, ge=0, description="worst samples shown per norm")

    @field_validator("linf_epsilons", "l2_epsilons")
    @classmethod
    def _radii(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and (not value or not all(math.isfinite(e) and e > 0 for e in value)):
            raise ValueError("wanted at least one radius, all finite and above 0")
        return value


class Mask(NamedTuple):
    """Over all evaluation samples: who was attacked, and who is right and stayed right (False where not covered)."""

    robust: NDArray[np.bool_]
    covered: NDArray[np.bool_]


Key = tuple[str, str, float]
"""Norm, attack, epsilon."""


def robust_masks(results: Results, count: int) -> dict[Key, Mask]:
    """Who stayed right, by norm, attack and epsilon; attack ``all`` is the worst over the attacks (noise included).

    A sample broken at one epsilon is broken at every larger one, by the same witness. The shards of the sanity
    control are left out.

    Args:
        results: those of the check ``attacks``.
        count: number of evaluation samples, ``len(context.data)``.
    """
    masks: dict[Key, Mask] = {}
    for shard, payload in results:
        parameters = shard.parameters
        if parameters["attack"] == "sanity" or is_diagnosis(shard):
            continue
        key = (str(parameters["norm"]), str(parameters["attack"]), float(parameters["epsilon"]))
        mask = masks.setdefault(key, Mask(np.zeros(count, bool), np.zeros(count, bool)))
        indices = np.asarray(shard.indices, dtype=np.int64)
        mask.robust[indices] = np.asarray(payload["robust"], dtype=bool)
        mask.covered[indices] = True
    for norm, epsilon in sorted({(norm, epsilon) for norm, _, epsilon in masks}):
        parts = [mask for (n, _, e), mask in masks.items() if n == norm and e <= epsilon]
        covered = np.logical_or.reduce([mask.covered for mask in parts])
        robust = np.logical_and.reduce([mask.robust | ~mask.covered for mask in parts]) & covered
        masks[norm, "all", epsilon] = Mask(robust, covered)
    return masks


class AttacksCheck(Check):
    """PGD, FGSM, the ensemble and uniform noise in L-inf and L2 balls over a grid of radii."""

    name = "attacks"
    title = "Adversarial attacks"
    question = "How often does the answer stay right when an attacker may move the input by at most epsilon?"
    threat_model = (
        "White box: the attacker knows the model and its gradients and changes the input within an L-inf or L2 ball "
        "of radius epsilon, in input units, inside the input box. The goal is any wrong answer."
    )
    limitations = (
        "Accuracy under attack is an upper bound on robust accuracy: a stronger attack may find more. It proves "
        "nothing about samples that were not broken.",
        "Only L-inf and L2 balls were tried: no rotations, no patches, no transferred attacks.",
        "Every input feature is free to move, by itself and continuously: in a table also those that nobody can "
        "change, and categories by fractions.",
    )
    Settings = AttackSettings

    def __init__(self) -> None:
        self._chain: _Chain | None = None

    def plan(self, settings: AttackSettings, context: Context) -> list[Shard]:
        """One shard per norm, attack, epsilon and block; one per norm for the signs; then the sanity control."""
        indices = context.data.stratified_indices(settings.samples, context.seed)
        gradients = gives_gradients(context.classifier, context.samples([0]))
        names = [name for name in settings.attacks if gradients or name not in GRADIENT_ATTACKS]
        if not names:
            raise NotAssessedError(
                f"gradient attacks need gradients, and {context.classifier.name} gives none",
                wanted="a differentiable subject, or the attack `ensemble` or `noise` in the plan",
                hint="give the model as a torch module or as an ONNX file whose operators are all known",
            )
        parts = [tuple(int(indices[i]) for i in block) for block in blocks(len(indices), BLOCK)]
        shards = []
        for norm in settings.norms:
            grid = epsilon_grid(norm, _wanted(settings, norm), context.classifier)
            for name in dict.fromkeys(names):
                for epsilon in grid:
                    for part in parts:
                        shards.append(_shard(norm, name, grid, epsilon, part, settings))
            signs = diagnosis_shard(norm, grid, indices, context) if settings.diagnosis else None
            shards += [] if signs is None else [signs]
        if gradients and any(name in GRADIENT_ATTACKS for name in names):
            box = context.classifier.input_box
            reach = float((box.upper - box.lower).max()) / 2 * (1 + 1e-6)
            few = tuple(int(i) for i in indices[:: max(1, len(indices) // SANITY_SAMPLES)][:SANITY_SAMPLES])
            shards.append(_shard("linf", "sanity", (reach,), reach, few, settings))
        return shards

    def run(self, shard: Shard, settings: AttackSettings, context: Context) -> Payload:
        """Attack one block within one epsilon; samples broken within a smaller one are not attacked again.

        What smaller radii broke is remembered from the shards before, or worked out again after a restart: the same
        numbers either way.
        """
        if is_diagnosis(shard):
            return diagnosis_payload(shard, context)
        chain = self._chain
        if chain is None or not chain.fits(shard, context):
            chain = self._chain = _Chain(shard, context)
        return chain.payload(float(shard.parameters["epsilon"]))

    def conclude(
        self, results: Results, settings: AttackSettings, context: Context, earlier: Mapping[str, Results]
    ) -> list[Finding]:
        """Accuracy per norm, attack and epsilon, the controls, and the worst samples."""
        return attack_findings(results, robust_masks(results, len(context.data)), settings, context)

    def estimate(self, settings: AttackSettings, samples: int, classes: int) -> str:
        """Cost in words."""
        passes = self.passes(settings, samples, classes)
        return f"at most {passes.gradient:,} forward and backward and {passes.forward:,} forward passes"

    def passes(self, settings: AttackSettings, samples: int, classes: int) -> Passes:
        """Samples times radii times the steps of each attack; the controls beside the grid are not counted."""
        gradients = {"pgd": settings.steps * settings.restarts, "fgsm": 1, "ensemble": STEPS[settings.tier]}
        radii = sum(len(_wanted(settings, norm) or UNIT_EPSILONS[norm]) for norm in settings.norms)
        rounds = min(samples, settings.samples) * radii
        return Passes(
            forward=rounds
            * (
                ("noise" in settings.attacks) * settings.noise_draws
                + ("square" in settings.attacks) * settings.square_queries
                + ("ensemble" in settings.attacks) * QUERIES[settings.tier]
            ),
            gradient=rounds * sum(gradients.get(name, 0) for name in settings.attacks),
        )


class _Chain:
    """One norm, attack and block, epsilon after epsilon."""

    def __init__(self, shard: Shard, context: Context) -> None:
        self.context, self.indices = context, shard.indices
        self.fixed = {k: v for k, v in shard.parameters.items() if k != "epsilon"}
        self.x, self.labels = context.samples(shard.indices), context.labels(shard.indices)
        self.attempts: dict[float, tuple[Attempt | None, Attempt]] = {}

    def fits(self, shard: Shard, context: Context) -> bool:
        """Whether this chain is that of the shard."""
        fixed = {k: v for k, v in shard.parameters.items() if k != "epsilon"}
        return self.context is context and self.indices == shard.indices and self.fixed == fixed

    def attempt(self, epsilon: float) -> tuple[Attempt | None, Attempt]:
        """The attempt within the next smaller radius (None if there is none), and the one within this."""
        if epsilon not in self.attempts:
            smaller = [e for e in self.fixed["grid"] if e < epsilon]
            known = self.attempt(smaller[-1])[1] if smaller else None
            norm, name = self.fixed["norm"], self.fixed["attack"]
            kind = "pgd" if name == "sanity" else name
            attack = make_attack(kind, norm=norm, **self.fixed["hyperparameters"])
            generator = self.context.torch_generator("attacks", norm, name, repr(epsilon), self.indices[0])
            found = attack(self.context.classifier, self.x, self.labels, epsilon, generator, known)
            self.attempts[epsilon] = known, found
        return self.attempts[epsilon]

    def payload(self, epsilon: float) -> Payload:
        """What the shard leaves behind."""
        known, found = self.attempt(epsilon)
        clean = ~(found.success & (found.distances == 0))
        before = ~clean if known is None else known.success
        new = torch.nonzero(found.success & ~before)[:, 0]
        room = max(1, WITNESS_BYTES // max(1, 4 * math.prod(self.x.shape[1:])))
        kept = new[:room]
        points = found.adversarials[kept]
        classifier = self.context.classifier
        logits = classifier.replay(points) if len(kept) else torch.zeros(0, len(classifier.class_names))
        confidence = torch.softmax(logits.double(), 1).nan_to_num(0.0)
        return {
            "robust": (~found.success).cpu().numpy(),
            "clean": clean.cpu().numpy(),
            "dead": found.dead.cpu().numpy(),
            "attacked": (~before).cpu().numpy(),
            "distances": found.distances[kept].cpu().numpy(),
            "witnesses": points.cpu().numpy(),
            "witness_rows": kept.cpu().numpy(),
            "answers": logits.argmax(1).cpu().numpy(),
            "confidences": confidence.amax(1).cpu().numpy(),
            "new": len(new),
            "forward_passes": found.forward_passes + len(kept),
            "backward_passes": found.backward_passes,
        }


def _wanted(settings: AttackSettings, norm: Norm) -> tuple[float, ...] | None:
    return settings.linf_epsilons if norm == "linf" else settings.l2_epsilons


def _shard(
    norm: Norm, name: str, grid: tuple[float, ...], epsilon: float, indices: tuple[int, ...], settings: AttackSettings
) -> Shard:
    hyperparameters: dict[str, Any] = {}
    if name in ("pgd", "sanity"):
        hyperparameters = {
            "steps": settings.steps,
            "restarts": settings.restarts if name == "pgd" else 1,
            "relative_step": settings.relative_step,
        }
    elif name == "noise":
        hyperparameters = {"draws": settings.noise_draws}
    elif name == "ensemble":
        hyperparameters = {"tier": settings.tier}
    elif name == "square":
        hyperparameters = {"queries": settings.square_queries}
    return Shard(
        check="attacks",
        name=f"{NORM_NAMES[norm]} {epsilon:g} {name} samples {indices[0]}-{indices[-1]}",
        parameters={
            "norm": norm,
            "attack": name,
            "epsilon": epsilon,
            "control": name in ("noise", "sanity"),
            "grid": list(grid),
            "hyperparameters": hyperparameters,
            "engine": ENGINE if name in ("pgd", "fgsm", "sanity") else "own",
        },
        indices=indices,
    )
