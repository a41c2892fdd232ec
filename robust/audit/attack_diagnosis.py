"""The signs of masked gradients in the check ``attacks``: a shard per norm, and a finding per sign."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from attacks.balls import NORM_NAMES, Norm
from attacks.diagnostics import SIGNS, diagnose
from robust.audit.check import Context, Payload, Results, Shard
from robust.record import Cost, Finding, Note, Outcome
from robust.statistics import wilson

SAMPLES = 40
"""Looked at, at most, per norm; those that are right from the start."""

SHARE = 0.05
"""More than this share of samples with a sign, and it is one of the model."""

ADVICE = {
    "dead_gradients": "Ask for attacks that need no gradients, or make the preprocessing differentiable.",
    "loss_does_not_rise": "Gradients point nowhere (shattered or noisy): trust black-box figures alone.",
    "black_box_beats_white_box": "Gradients are masked: accuracy under gradient attacks overstates robustness.",
    "more_steps_break_more": "The budget is too small for this model: take the standard or thorough tier.",
    "randomised_outputs": "Average the answers (attacks.expectation.Averaged) before trusting any attack.",
    "saturated_softmax": "Other tools' attacks on the plain cross-entropy would see no gradient here.",
}


def diagnosis_shard(norm: Norm, grid: tuple[float, ...], indices: NDArray[np.int64], context: Context) -> Shard | None:
    """The shard that looks for signs at the middle radius; None where no sample is right."""
    right = [int(i) for i in indices if context.predictions[i] == context.data.labels[i]]
    few = tuple(right[:: max(1, math.ceil(len(right) / SAMPLES))])
    if not few:
        return None
    epsilon = grid[len(grid) // 2]
    return Shard(
        check="attacks",
        name=f"{NORM_NAMES[norm]} {epsilon:g} diagnosis of {len(few)} samples",
        parameters={"norm": norm, "attack": "diagnosis", "epsilon": epsilon, "control": True},
        indices=few,
    )


def diagnosis_payload(shard: Shard, context: Context) -> Payload:
    """What the shard leaves behind: ``rows`` bool ``[signs, n]``, and words."""
    norm, epsilon = shard.parameters["norm"], float(shard.parameters["epsilon"])
    found = diagnose(
        context.classifier,
        context.samples(shard.indices),
        context.labels(shard.indices),
        epsilon,
        norm,
        context.torch_generator("attacks", norm, "diagnosis", repr(epsilon)),
    )
    return {
        "signs": [symptom.sign for symptom in found.symptoms],
        "rows": np.stack([symptom.rows.cpu().numpy() for symptom in found.symptoms]),
        "details": [symptom.detail for symptom in found.symptoms],
        "masks": [symptom.masks for symptom in found.symptoms],
        "forward_passes": found.forward_passes,
        "backward_passes": found.backward_passes,
    }


def is_diagnosis(shard: Shard) -> bool:
    """Whether it looked for signs instead of attacking."""
    return bool(shard.parameters["attack"] == "diagnosis")


def diagnosis_findings(results: Results) -> list[Finding]:
    """One finding per norm and sign."""
    return [
        _finding(shard, payload, place)
        for shard, payload in results
        if is_diagnosis(shard)
        for place in range(len(payload["signs"]))
    ]


def _finding(shard: Shard, payload: Payload, place: int) -> Finding:
    sign, detail, masks = payload["signs"][place], payload["details"][place], bool(payload["masks"][place])
    rows = np.asarray(payload["rows"][place], dtype=bool)
    count, n = int(rows.sum()), len(rows)
    interval = wilson(count, n)
    if not masks:
        outcome = Outcome.MEASURED
    elif count / n <= SHARE:
        outcome = Outcome.PASS
    else:
        outcome = Outcome.FAIL if interval.low > SHARE else Outcome.INCONCLUSIVE
    shown = count / n > SHARE
    reason = f"{detail[0].upper()}{detail[1:]}." + (f" {ADVICE[sign]}" if shown else "")
    norm = shard.parameters["norm"]
    return Finding(
        check="attacks",
        metric=f"sign_{sign}",
        parameters={"norm": norm, "epsilon": float(shard.parameters["epsilon"])},
        title=f"{'Control' if masks else 'Sign'}: {SIGNS[sign]} ({NORM_NAMES[norm]})"
        if shown
        else f"{'Control' if masks else 'Sign'}: no sign that {SIGNS[sign]} ({NORM_NAMES[norm]})",
        value=count / n,
        unit="share",
        interval=interval,
        n=n,
        better="lower",
        outcome=outcome,
        reason=reason,
        control=masks,
        evidence=(Note(text=reason, level="warning"),) if shown else (),
        cost=Cost(
            forward_passes=int(payload["forward_passes"]) if not place else 0,
            backward_passes=int(payload["backward_passes"]) if not place else 0,
        ),
    )
