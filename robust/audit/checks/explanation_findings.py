"""Findings of the check ``explanations``: pure functions of what its shards left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from robust.audit.check import Context, Payload, Results
from robust.audit.checks.explanation_evidence import evidence_of
from robust.explanation.rank_correlation import rank_correlation
from robust.record import Finding, Outcome
from robust.statistics import bootstrap, median_interval

if TYPE_CHECKING:
    from robust.audit.checks.explanations import ExplanationsSettings

CHECK = "explanations"
NOT_SANE = "guided_grad_cam"
"""Known to keep its fine structure when weights are shuffled (Adebayo et al. 2018): no control of this check."""

FEWEST = 6
"""Samples that the controls need: of fewer, no order statistic bounds a median at 95 %."""

Protocol = dict[str, str | int | float | bool]


def findings(
    results: Results, settings: ExplanationsSettings, context: Context, refused: Mapping[str, str]
) -> list[Finding]:
    """Per method: faithfulness, agreement with occlusion, stability; then the controls."""
    names = {str(shard.parameters["method"]): shard.name for shard, _ in results}
    made = {str(shard.parameters["method"]): payload for shard, payload in results}
    random, indices = made.pop("random"), results[0][0].indices
    protocol: Protocol = {"class": "predicted", "baseline": "mean of the data", "points": settings.points}
    evidence = evidence_of(made, random, names, refused, indices, settings.images, context)
    found: list[Finding] = []
    for method, payload in made.items():
        title = f"Faithfulness of {names[method]}: insertion less deletion, median over samples"
        one = _median(title, "faithfulness", {"method": method}, payload["score"], protocol)
        found.append(one.model_copy(update={"evidence": evidence, "headline": True}))
        evidence = ()
        found += _agreement(method, names, made, protocol)
        found += _stability(method, names[method], payload, settings, protocol)
    if settings.methods is not None:
        found += [_not_assessed(method, reason) for method, reason in refused.items()]
    found += [_weights(m, names[m], payload, settings) for m, payload in made.items() if "shuffled" in payload]
    return [*found, _random_maps(made, random, names, context)]


def _median(title: str, metric: str, parameters: Protocol, values: NDArray[np.float64], protocol: Protocol) -> Finding:
    return Finding(
        check=CHECK,
        metric=metric,
        parameters=parameters,
        title=title,
        value=float(np.median(values)),
        interval=median_interval(values),
        n=len(values),
        better="higher",
        protocol=protocol,
    )


def _agreement(method: str, names: Mapping[str, str], made: Mapping[str, Payload], protocol: Protocol) -> list[Finding]:
    if method == "occlusion" or "occlusion" not in made:
        return []
    maps, occluded = (torch.from_numpy(np.asarray(made[m]["maps"])) for m in (method, "occlusion"))
    title = f"Rank correlation of {names[method]} with occlusion, median over samples"
    values = rank_correlation(maps, occluded).numpy()
    return [_median(title, "occlusion_agreement", {"method": method}, values, protocol)]


def _stability(
    method: str, name: str, payload: Payload, settings: ExplanationsSettings, protocol: Protocol
) -> list[Finding]:
    words = {"noise": "random noise", "attack": "one gradient step against the answer"}
    return [
        _median(
            f"Rank correlation of {name} before and after {said} of {settings.change:g} of the range, median",
            "map_stability",
            {"method": method, "change": change},
            payload[f"under_{change}"],
            {**protocol, "share": settings.change},
        )
        for change, said in words.items()
        if f"under_{change}" in payload
    ]


def _weights(method: str, name: str, payload: Payload, settings: ExplanationsSettings) -> Finding:
    """Adebayo et al. (2018): maps of shuffled weights must be nearer to strangers' maps than to the map itself."""
    shuffled, strangers = np.asarray(payload["shuffled"]), float(np.median(payload["strangers"]))
    limit, interval = (1 + strangers) / 2, median_interval(shuffled)
    outcome = Outcome.PASS if interval.high < limit else Outcome.FAIL if interval.low > limit else Outcome.INCONCLUSIVE
    if len(shuffled) < FEWEST:
        outcome = Outcome.INCONCLUSIVE
    if not payload["answers_moved"]:
        outcome = Outcome.NOT_ASSESSED
    words = {
        Outcome.NOT_ASSESSED: "Shuffling changes no answer: the model keeps its weights where they were not found",
        Outcome.PASS: "The maps change when the weights are shuffled",
        Outcome.FAIL: "The maps hardly change when the weights are shuffled: they show the input, not the model",
        Outcome.INCONCLUSIVE: "Too few samples to say whether the maps change when the weights are shuffled",
    }
    control = method != NOT_SANE
    return Finding(
        check=CHECK,
        metric="shuffled_correlation",
        parameters={"method": method},
        title=f"{'Control: ' if control else ''}rank correlation of {name} with that of shuffled weights, median",
        value=float(np.median(shuffled)) if payload["answers_moved"] else None,
        interval=interval if payload["answers_moved"] else None,
        n=len(shuffled),
        better="lower",
        protocol={"shuffles": settings.shuffles},
        outcome=outcome if control else Outcome.MEASURED,
        reason=f"{words[outcome]}. Maps of two samples have {strangers:.2f}; halfway from there to 1 is {limit:.2f}.",
        control=control,
    )


def _random_maps(made: Mapping[str, Payload], random: Payload, names: Mapping[str, str], context: Context) -> Finding:
    """Random maps must be less faithful than the best method's, in the mean of the differences: samples whose answer is
    that of the baseline gain nothing by any map, and would hide the others in a median."""
    best = max(made, key=lambda method: float(np.median(made[method]["score"])))
    ahead = np.asarray(made[best]["score"]) - np.asarray(random["score"])
    gain = bootstrap(lambda drawn: float(ahead[drawn].mean()), [len(ahead)], context.rng(CHECK, "random maps"))
    outcome = Outcome.PASS if gain.low > 0 else Outcome.FAIL if gain.high < 0 else Outcome.INCONCLUSIVE
    if len(ahead) < FEWEST:
        outcome = Outcome.INCONCLUSIVE
    words = {
        Outcome.PASS: "lead random maps",
        Outcome.FAIL: "are less faithful than random maps: no map of this model can be believed",
        Outcome.INCONCLUSIVE: "cannot be told from random maps on these samples",
    }
    return Finding(
        check=CHECK,
        metric="random_maps",
        title="Control: faithfulness of random maps, median over samples",
        value=float(np.median(random["score"])),
        interval=median_interval(random["score"]),
        n=len(random["score"]),
        better="lower",
        outcome=outcome,
        reason=f"Maps by {names[best]} {words[outcome]}: mean lead {gain.low:.3f} to {gain.high:.3f}.",
        control=True,
    )


def _not_assessed(method: str, reason: str) -> Finding:
    return Finding(
        check=CHECK,
        metric="faithfulness",
        parameters={"method": method},
        title=f"Faithfulness of {method.replace('_', ' ')}",
        better="higher",
        outcome=Outcome.NOT_ASSESSED,
        reason=reason,
    )
