"""Findings of the check ``fooling``: pure functions of what its shards left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robust.audit.check import Context, Payload, Results
from robust.audit.fooling_evidence import gallery, per_class, progress
from robust.audit.fooling_names import METHOD_NAMES
from robust.audit.fooling_realism import REALISM, realism_finding
from robust.audit.fooling_told import confidence_plot, detected, map_galleries, strips
from robust.audit.witnesses import keep_witnesses
from robust.record import Cost, Evidence, Finding, Interval, Note, Outcome
from robust.statistics import median_interval, wilson

if TYPE_CHECKING:
    from robust.audit.checks.fooling import FoolingSettings

Protocol = dict[str, str | int | float | bool]


def fooling_findings(results: Results, settings: FoolingSettings, context: Context) -> list[Finding]:
    """Per method: confidence, share of classes fooled, evaluations, distance; then the controls."""
    others = ("noise", REALISM)
    made = {str(s.parameters["method"]): p for s, p in results if s.parameters["method"] not in others}
    protocols = {str(s.parameters["method"]): _protocol(dict(s.parameters)) for s, _ in results}
    noise = next(payload for shard, payload in results if shard.parameters["method"] == "noise")
    evidence = _evidence(made, noise, settings, context)
    findings: list[Finding] = []
    for method, payload in made.items():
        findings += _of_method(method, payload, protocols[method], settings, evidence)
        evidence = ()
    for method in settings.methods:
        if method not in made:
            findings.append(_not_assessed(method, context))
    findings += detected(made, noise)
    findings += [realism_finding(p, context) for s, p in results if s.parameters["method"] == REALISM]
    if len(noise["data_nearest"]):
        findings.append(_data_distance(noise))
    findings.append(_noise_control(made, noise, settings))
    findings.append(_replay_control(made, settings))
    return findings


def _of_method(
    method: str, payload: Payload, protocol: Protocol, settings: FoolingSettings, evidence: tuple[Evidence, ...]
) -> list[Finding]:
    findings = [
        _confidence(method, payload, protocol, evidence),
        _fooled_share(method, payload, protocol, settings),
        _distance(method, payload, protocol),
    ]
    if (np.asarray(payload["reached"]) >= 0).all():
        findings.append(_evaluations(method, payload, protocol, settings))
    return findings


def _confidence(method: str, payload: Payload, protocol: Protocol, evidence: tuple[Evidence, ...]) -> Finding:
    confidences = np.asarray(payload["confidences"])
    return Finding(
        check="fooling",
        metric="fooling_confidence",
        parameters={"method": method},
        title=f"Confidence in fooling inputs by {METHOD_NAMES[method]}, median over classes",
        value=float(np.median(confidences)),
        unit="share",
        interval=median_interval(confidences),
        n=len(confidences),
        better="lower",
        protocol=protocol,
        headline=True,
        evidence=evidence,
        cost=Cost(forward_passes=int(payload["evaluations"]), backward_passes=int(payload["backward_passes"])),
    )


def _fooled_share(method: str, payload: Payload, protocol: Protocol, settings: FoolingSettings) -> Finding:
    confidences = np.asarray(payload["confidences"])
    n, fooled = len(confidences), int((confidences >= settings.fooled_at).sum())
    return Finding(
        check="fooling",
        metric="fooled_share",
        parameters={"method": method, "confidence": settings.fooled_at},
        title=f"Classes fooled at {settings.fooled_at:g} or more by {METHOD_NAMES[method]}",
        value=fooled / n,
        unit="share",
        interval=wilson(fooled, n),
        n=n,
        better="lower",
        protocol=protocol,
    )


def _distance(method: str, payload: Payload, protocol: Protocol) -> Finding:
    nearest = np.asarray(payload["nearest"])
    return Finding(
        check="fooling",
        metric="fooling_distance",
        parameters={"method": method},
        title=f"Distance from fooling inputs by {METHOD_NAMES[method]} to the nearest sample, median over classes",
        value=float(np.median(nearest)),
        unit="input units (L2)",
        interval=median_interval(nearest),
        n=len(payload["confidences"]),
        protocol=protocol,
    )


def _evaluations(method: str, payload: Payload, protocol: Protocol, settings: FoolingSettings) -> Finding:
    return Finding(
        check="fooling",
        metric="fooling_evaluations",
        parameters={"method": method},
        title=f"Inputs shown to the model by {METHOD_NAMES[method]} until every class had {settings.confidence:g}",
        value=float(np.asarray(payload["reached"]).max()),
        unit="evaluations",
        n=len(payload["confidences"]),
        better="higher",
        protocol=protocol,
    )


def _protocol(parameters: dict[str, Any]) -> Protocol:
    targets = parameters.pop("targets")
    return {**parameters, "classes": len(targets), "confidence": "softmax of the replayed logits"}


def _evidence(
    made: dict[str, Payload], noise: Payload, settings: FoolingSettings, context: Context
) -> tuple[Evidence, ...]:
    evidence: list[Evidence] = []
    total, fooled = len(context.classifier.class_names), len(noise["confidences"])
    if fooled < total:
        evidence.append(Note(text=f"{fooled} of the {total} classes were tried, evenly spaced: the plan's limit."))
    evidence += gallery(made, settings.gallery, context.classifier, context.data.feature_names)
    evidence += [*strips(made, context.classifier), *map_galleries(made, settings.gallery, context.classifier)]
    evidence += [progress(made), confidence_plot(made, noise)]
    evidence.append(per_class(made, noise, context))
    for method, payload in made.items():
        evidence.append(
            keep_witnesses(
                context.directory,
                f"fooling-{method.replace('_', '-')}",
                {key: np.asarray(payload[key]) for key in ("inputs", "targets", "confidences")},
                title=f"Fooling inputs by {METHOD_NAMES[method]}",
                count=len(payload["inputs"]),
                caption="One input per class, with the confidence of its replay on the model.",
            )
        )
    return tuple(evidence)


def _not_assessed(method: str, context: Context) -> Finding:
    return Finding(
        check="fooling",
        metric="fooling_confidence",
        parameters={"method": method},
        title=f"Confidence in fooling inputs by {METHOD_NAMES[method]}",
        unit="share",
        better="lower",
        outcome=Outcome.NOT_ASSESSED,
        reason=f"Gradient ascent needs gradients, and {context.classifier.name} gives none.",
    )


def _data_distance(noise: Payload) -> Finding:
    apart: NDArray[np.float64] = np.asarray(noise["data_nearest"])
    against = "reference sample" if noise["data_against"] == "reference" else "other evaluation sample"
    return Finding(
        check="fooling",
        metric="data_distance",
        title=f"The yardstick: distance from evaluation samples to the nearest {against}, median",
        value=float(np.median(apart)),
        unit="input units (L2)",
        interval=median_interval(apart),
        n=len(apart),
        protocol={"against": str(noise["data_against"])},
    )


def _noise_control(made: dict[str, Payload], noise: Payload, settings: FoolingSettings) -> Finding:
    """A search ends at the wanted confidence, so it owes no more than that, however lucky the random inputs are."""
    random = float(np.median(noise["confidences"]))
    owed = min(random, settings.confidence - 0.01)
    worse = [m for m, payload in made.items() if float(np.median(payload["confidences"])) < owed]
    interval: Interval = median_interval(noise["confidences"])
    sure = float((np.asarray(noise["largest"]) >= 0.99).mean())
    return Finding(
        check="fooling",
        metric="noise_confidence",
        parameters={"inputs": int(noise["evaluations"])},
        title="Control: the best of random inputs, median over classes",
        value=random,
        unit="share",
        interval=interval,
        n=len(noise["confidences"]),
        better="lower",
        outcome=Outcome.FAIL if worse else Outcome.PASS,
        reason=(
            f"{', '.join(METHOD_NAMES[m] for m in worse)} found less than random inputs: "
            "the search is broken, or the gradients are masked."
            if worse
            else "Every search found what random inputs give, or what it was asked for."
        )
        + f" The model is 99 % sure of {sure:.1%} of the random inputs.",
        control=True,
    )


def _replay_control(made: dict[str, Payload], settings: FoolingSettings) -> Finding:
    lost = outside = count = 0
    for payload in made.values():
        claimed = np.asarray(payload["reached"]) >= 0
        lost += int((claimed & (np.asarray(payload["confidences"]) < settings.confidence - 0.01)).sum())
        outside += int((~np.asarray(payload["in_box"], bool)).sum())
        count += len(claimed)
    return Finding(
        check="fooling",
        metric="replay_control",
        title="Control: fooling inputs replay on the model and lie in its box",
        value=float(lost + outside),
        unit="inputs",
        n=count,
        better="lower",
        outcome=Outcome.FAIL if lost or outside else Outcome.PASS,
        reason=f"Of {count} inputs {lost} lost more than 0.01 of confidence in the replay, {outside} are outside.",
        control=True,
    )
