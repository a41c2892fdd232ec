"""Findings of the check ``attacks``: pure functions of what its shards left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attacks.balls import NORM_NAMES, Norm
from robust.audit.attack_classes import class_table
from robust.audit.attack_diagnosis import diagnosis_findings, is_diagnosis
from robust.audit.attack_evidence import accuracy_plot, accuracy_table, worst_samples
from robust.audit.check import Context, Results
from robust.record import Cost, Evidence, Finding, Note, Outcome
from robust.statistics import wilson

if TYPE_CHECKING:
    from robust.audit.checks.attacks import AttackSettings, Key, Mask

ATTACK_NAMES = {
    "pgd": "PGD",
    "fgsm": "FGSM",
    "ensemble": "the ensemble",
    "square": "Square",
    "noise": "uniform noise",
    "all": "all attacks",
}
CONTROLS = ("noise",)
CONTROL_P, DOUBT_P = 0.05, 0.25
DEAD_SHARE = 0.05
"""More than this share of samples without a single usable gradient, and gradient attacks say little."""


def attack_findings(
    results: Results, masks: Mapping[Key, Mask], settings: AttackSettings, context: Context
) -> list[Finding]:
    """All findings of the check, in the order of the plan: per norm the worst case, each attack, the controls."""
    findings: list[Finding] = []
    for norm in settings.norms:
        grid = sorted({epsilon for n, _, epsilon in masks if n == norm})
        names: list[str] = [name for name in dict.fromkeys(settings.attacks) if (norm, name, grid[0]) in masks]
        real = [name for name in names if name not in CONTROLS]
        shown = ["all", *names] if real else names
        evidence = _evidence(norm, shown, grid, results, masks, settings, context)
        if any(name not in CONTROLS and name not in names for name in settings.attacks):
            findings.append(_no_gradients(norm, context, () if real else evidence, headline=not real))
            evidence = evidence if real else ()
        headline = grid[len(grid) // 2]
        for name in shown:
            for epsilon in grid:
                first = name == shown[0] and epsilon == headline
                findings.append(
                    _accuracy(norm, name, epsilon, results, masks, evidence if first else (), first and bool(real))
                )
        if real and len(real) < len(names):
            findings.append(_noise_control(norm, grid, real, masks))
    findings.append(_clean_control([each for each in results if not is_diagnosis(each[0])], context))
    findings += diagnosis_findings(results)
    sanity = [(shard, payload) for shard, payload in results if shard.parameters["attack"] == "sanity"]
    if sanity:
        findings.append(_sanity(sanity, context))
        findings.append(_dead(results))
    return findings


def _evidence(
    norm: Norm,
    names: list[str],
    grid: list[float],
    results: Results,
    masks: Mapping[Key, Mask],
    settings: AttackSettings,
    context: Context,
) -> tuple[Evidence, ...]:
    clean = np.asarray(context.predictions == context.data.labels)
    covered = masks[norm, names[0], grid[0]].covered
    own = [(shard, payload) for shard, payload in results if shard.parameters["norm"] == norm]
    return (
        accuracy_plot(norm, names, grid, masks, clean),
        accuracy_table(norm, names, grid, masks, clean),
        class_table(norm, names[0], grid[len(grid) // 2], masks, context),
        Note(
            text=f"{int(covered.sum())} samples were attacked, or found wrong from the start. The curves are upper "
            "bounds on robust accuracy, against these attacks only: a sample that was not broken is not thereby safe."
        ),
        *worst_samples(norm, own, settings.images, context),
    )


def _accuracy(
    norm: Norm,
    name: str,
    epsilon: float,
    results: Results,
    masks: Mapping[Key, Mask],
    evidence: tuple[Evidence, ...],
    headline: bool,
) -> Finding:
    mask = masks[norm, name, epsilon]
    n, right = int(mask.covered.sum()), int(mask.robust.sum())
    own = [
        (shard.parameters, payload)
        for shard, payload in results
        if shard.parameters["norm"] == norm
        and shard.parameters["epsilon"] == epsilon
        and shard.parameters["attack"] in ((name,) if name != "all" else ATTACK_NAMES)
    ]
    return Finding(
        check="attacks",
        metric="accuracy_under_attack",
        parameters={"norm": norm, "attack": name, "epsilon": epsilon},
        title=f"Accuracy under {ATTACK_NAMES[name]} within {NORM_NAMES[norm]} {epsilon:g}"
        + (" (control)" if name in CONTROLS else ""),
        value=right / n,
        unit="share",
        interval=wilson(right, n),
        n=n,
        better="higher",
        protocol=_protocol([parameters for parameters, _ in own], n),
        reason="An upper bound on robust accuracy: nothing here says that a stronger attack finds no more.",
        headline=headline,
        evidence=evidence,
        cost=Cost(
            forward_passes=sum(int(payload["forward_passes"]) for _, payload in own),
            backward_passes=sum(int(payload["backward_passes"]) for _, payload in own),
        ),
    )


def _protocol(parameters: list[Mapping[str, Any]], n: int) -> dict[str, str | int | float | bool]:
    protocol: dict[str, str | int | float | bool] = {"samples": n, "success": "replayed, any wrong answer"}
    for each in parameters:
        name = each["attack"]
        for key, value in each["hyperparameters"].items():
            protocol[f"{name} {key}"] = "2.5 / steps" if value is None else value
        protocol[f"{name} engine"] = each["engine"]
        if name == "pgd":
            protocol["pgd loss"] = "cross-entropy, margin, in turn"
            protocol["pgd success"] = "any iterate"
    return protocol


def _no_gradients(norm: Norm, context: Context, evidence: tuple[Evidence, ...], *, headline: bool) -> Finding:
    return Finding(
        check="attacks",
        metric="accuracy_under_attack",
        parameters={"norm": norm, "attack": "gradient attacks"},
        title=f"Accuracy under gradient attacks in {NORM_NAMES[norm]} balls",
        unit="share",
        better="higher",
        outcome=Outcome.NOT_ASSESSED,
        reason=f"Gradient attacks need gradients, and {context.classifier.name} gives none; noise alone is no attack.",
        headline=headline,
        evidence=evidence,
    )


def _noise_control(norm: Norm, grid: list[float], gradient: list[str], masks: Mapping[Key, Mask]) -> Finding:
    """Noise may not break more samples than the gradient attacks.

    Exact sign test over the samples where they differ: below ``CONTROL_P`` it fails, below ``DOUBT_P`` it is open.
    Accuracy under all attacks counts what noise broke in any case.
    """
    worst: tuple[float, int, int, float] = (1.0, 0, 0, grid[0])
    more = False
    for epsilon in grid:
        noise = masks[norm, "noise", epsilon].robust
        guided: NDArray[np.bool_] = np.logical_and.reduce([masks[norm, name, epsilon].robust for name in gradient])
        only_noise, only_guided = int((guided & ~noise).sum()), int((~guided & noise).sum())
        if only_noise > only_guided:
            more = True
            p = float(stats.binomtest(only_noise, only_noise + only_guided, alternative="greater").pvalue)
            worst = min(worst, (p, only_noise, only_guided, epsilon))
    p, only_noise, only_guided, epsilon = worst
    if not more:
        outcome, reason = Outcome.PASS, "At no epsilon does noise break more samples than the gradient attacks."
    else:
        outcome = Outcome.FAIL if p < CONTROL_P else Outcome.INCONCLUSIVE if p < DOUBT_P else Outcome.PASS
        reason = (
            f"At epsilon {epsilon:g} noise breaks {only_noise} samples that gradient attacks do not, against "
            f"{only_guided} the other way (sign test, p = {p:.2g}): "
            + ("within chance." if outcome is Outcome.PASS else "gradients are masked, or the attack is broken.")
        )
    return Finding(
        check="attacks",
        metric="noise_control",
        parameters={"norm": norm},
        title=f"Control: noise is no stronger than gradient attacks ({NORM_NAMES[norm]})",
        value=float(only_noise),
        unit="samples",
        better="lower",
        outcome=outcome,
        reason=reason,
        control=True,
    )


def _clean_control(results: Results, context: Context) -> Finding:
    right = np.asarray(context.predictions == context.data.labels)
    differ = {
        index
        for shard, payload in results
        for index, clean in zip(shard.indices, payload["clean"], strict=True)
        if bool(clean) != bool(right[index])
    }
    seen = {index for shard, _ in results for index in shard.indices}
    return Finding(
        check="attacks",
        metric="clean_control",
        title="Control: at epsilon 0 the accuracy is the clean accuracy",
        value=float(len(differ)),
        unit="samples",
        n=len(seen),
        better="lower",
        outcome=Outcome.FAIL if differ else Outcome.PASS,
        reason=f"{len(differ)} of {len(seen)} samples are judged otherwise by the attacks than by the audit's own "
        "predictions.",
        control=True,
    )


def _sanity(sanity: Results, context: Context) -> Finding:
    """Within half the width of the box the centre of the box is in reach of every sample; it has one answer only."""
    robust = np.concatenate([np.asarray(payload["robust"], bool) for _, payload in sanity])
    labels = context.data.labels[np.concatenate([np.asarray(shard.indices) for shard, _ in sanity])]
    ceiling = float(np.unique(labels, return_counts=True)[1].max()) / len(labels)
    right, n = int(robust.sum()), len(robust)
    interval = wilson(right, n)
    rule = (
        f"the centre of the box lies in every ball and gets one answer, so true robust accuracy is at most the "
        f"share {ceiling:.3g} of the commonest class"
    )
    if right / n <= ceiling:
        outcome, reason = Outcome.PASS, f"PGD breaks enough: {rule}."
    else:
        outcome = Outcome.FAIL if interval.low > ceiling else Outcome.INCONCLUSIVE
        reason = f"PGD fails where success is certain: {rule}. Gradients are masked; trust no number of this check."
    epsilon = float(sanity[0][0].parameters["epsilon"])
    return Finding(
        check="attacks",
        metric="gradient_sanity",
        parameters={"norm": "linf", "epsilon": epsilon},
        title="Control: PGD within half the input box",
        value=right / n,
        unit="share",
        interval=interval,
        n=n,
        better="lower",
        outcome=outcome,
        reason=reason,
        control=True,
    )


def _dead(results: Results) -> Finding:
    dead: dict[int, bool] = {}
    for shard, payload in results:
        if not shard.parameters["control"]:
            for i in np.flatnonzero(payload["attacked"]):
                index = shard.indices[i]
                dead[index] = dead.get(index, True) and bool(payload["dead"][i])
    n, count = len(dead), sum(dead.values())
    if not n:
        outcome, reason = Outcome.PASS, "No sample had to be attacked: all were wrong from the start."
    elif count / n <= DEAD_SHARE:
        outcome, reason = Outcome.PASS, f"{n - count} of {n} samples gave gradients that an attack can follow."
    else:
        outcome = Outcome.FAIL if wilson(count, n).low > DEAD_SHARE else Outcome.INCONCLUSIVE
        reason = (
            f"For {count} of {n} samples every gradient was zero or not finite: gradients are masked, and that "
            "accuracy stays high under gradient attacks says nothing. Ask for attacks that need no gradients."
        )
    return Finding(
        check="attacks",
        metric="dead_gradients",
        title="Control: gradients are alive",
        value=count / n if n else 0.0,
        unit="share",
        interval=wilson(count, n) if n else None,
        n=n,
        better="lower",
        outcome=outcome,
        reason=reason,
        control=True,
        evidence=() if outcome is Outcome.PASS else (Note(text=reason, level="warning"),),
    )
