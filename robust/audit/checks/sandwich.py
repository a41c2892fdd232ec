"""Certificates and attacks over one axis: robust accuracy is no smaller than the one and no larger than the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.balls import NORM_NAMES, Norm
from robust.audit.check import Results
from robust.record import Band, Curve, CurvePlot, Finding, Interval, Outcome, Table
from robust.statistics import wilson

Mask = NDArray[np.bool_]
SANITY = "sanity"
"""The attack check's control far outside the grid: no part of the sandwich."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Per-sample answers of both sides, by what was asked. Every mask has one place per evaluation sample.

    Attributes:
        asked: samples that certificates were asked for.
        proofs: (method, norm, epsilon) -> certified; closed: certified further out is certified here.
        attacked: (attack, norm, epsilon, control) -> (asked, robust).
        tried: (norm, epsilon) -> right at the points that the certificates' own control drew from the balls.
    """

    asked: Mask
    proofs: Mapping[tuple[str, Norm, float], Mask]
    attacked: Mapping[tuple[str, Norm, float, bool], tuple[Mask, Mask]]
    tried: Mapping[tuple[Norm, float], Mask] = field(default_factory=dict)

    @classmethod
    def collect(cls, certificates: Results, attacks: Results, samples: int) -> Answers:
        """From the payloads of both checks."""
        everyone = np.zeros(samples, dtype=bool)
        proofs: dict[tuple[str, Norm, float], Mask] = {}
        tried: dict[tuple[Norm, float], Mask] = {}
        for shard, payload in certificates:
            ball: tuple[Norm, float] = (shard.parameters["norm"], float(shard.parameters["epsilon"]))
            tried.setdefault(ball, np.ones(samples, dtype=bool))[list(shard.indices)] &= payload.get("tried", True)
            key = (shard.parameters["method"], shard.parameters["norm"], float(shard.parameters["epsilon"]))
            proofs.setdefault(key, np.zeros(samples, dtype=bool))[list(shard.indices)] = payload["certified"]
            everyone[list(shard.indices)] = True
        attacked: dict[tuple[str, Norm, float, bool], tuple[Mask, Mask]] = {}
        for shard, payload in attacks:
            p = shard.parameters
            if "robust" not in payload or p["attack"] == SANITY:
                continue
            name = (str(p["attack"]), p["norm"], float(p["epsilon"]), bool(p.get("control", False)))
            asked, robust = attacked.setdefault(name, (np.zeros(samples, dtype=bool), np.zeros(samples, dtype=bool)))
            asked[list(shard.indices)] = True
            robust[list(shard.indices)] = payload["robust"]
        return cls(everyone, _closed(proofs), attacked, tried)

    def certified(self, method: str, norm: Norm, epsilon: float) -> Mask:
        """Certified at this radius by one method."""
        return self.proofs.get((method, norm, epsilon), np.zeros_like(self.asked))

    def proved(self, norm: Norm, epsilon: float) -> Mask:
        """Certified at this radius or further out by any method."""
        return self._any([mask for (_, n, e), mask in self.proofs.items() if n == norm and e >= epsilon])

    def broken(self, norm: Norm, epsilon: float) -> Mask:
        """Not right within this radius under some attack (a control too: what noise breaks is broken)."""
        answers = [pair for (_, n, e, _), pair in self.attacked.items() if n == norm and e <= epsilon]
        return self._any([asked & ~robust for asked, robust in answers])

    def missed(self, norm: Norm, epsilon: float) -> Mask:
        """Not right at a point that the certificates' own control drew within this radius."""
        return self._any([~mask for (n, e), mask in self.tried.items() if n == norm and e <= epsilon])

    def drawn(self, norm: Norm, epsilon: float) -> Mask:
        """Points of the ball were drawn and replayed."""
        known = any(n == norm and e <= epsilon for n, e in self.tried)
        return self.asked & known

    def challenged(self, norm: Norm, epsilon: float) -> Mask:
        """An attack that is no control was run on it within this radius."""
        attacks = [(e, control, a) for (_, n, e, control), (a, _) in self.attacked.items() if n == norm]
        return self._any([asked for e, control, asked in attacks if e <= epsilon and not control])

    def _any(self, masks: list[Mask]) -> Mask:
        return np.logical_or.reduce(masks) if masks else np.zeros_like(self.asked)


def _closed(proofs: Mapping[tuple[str, Norm, float], Mask]) -> dict[tuple[str, Norm, float], Mask]:
    return {
        (method, norm, epsilon): np.logical_or.reduce(
            [mask for (m, n, e), mask in proofs.items() if (m, n) == (method, norm) and e >= epsilon]
        )
        for method, norm, epsilon in proofs
    }


def enclosures(check: str, answers: Answers, norm: Norm, radii: tuple[float, ...]) -> list[Finding]:
    """Robust accuracy as an interval per radius: certificate below, attack above; both with sampling error.

    Only samples that both sides were asked about count. Radii without an attack have no enclosure.
    """
    findings: list[Finding] = []
    rows: list[tuple[float, int, int, int, int]] = []
    for epsilon in radii:
        both = answers.asked & answers.challenged(norm, epsilon)
        total = int(both.sum())
        if not total:
            continue
        proved = int((answers.proved(norm, epsilon) & both).sum())
        standing = int((~answers.broken(norm, epsilon) & both).sum())
        low, high = wilson(proved, total).low, wilson(max(standing, proved), total).high
        rows.append((epsilon, total, proved, standing - proved, total - standing))
        findings.append(
            Finding(
                check=check,
                metric="robust_accuracy",
                parameters={"norm": norm, "epsilon": epsilon},
                title=f"Robust accuracy within {NORM_NAMES[norm]} {epsilon:g}, between certificate and attack",
                unit="share",
                interval=Interval(low=low, high=high, method="certificate and attack"),
                n=total,
                better="higher",
                protocol={"norm": norm, "epsilon": epsilon, "interval": "Wilson low of certified to high of attacked"},
            )
        )
    if findings:
        findings[0] = findings[0].model_copy(update={"evidence": (_known(norm, rows),)})
    return findings


def _known(norm: Norm, rows: list[tuple[float, int, int, int, int]]) -> Table:
    """What is known of how many samples, a row per radius."""
    return Table(
        title=f"What is known within {NORM_NAMES[norm]} balls",
        columns=("epsilon", "samples", "proved to stay right", "undecided", "broken, or wrong from the start"),
        rows=tuple(rows),
        caption="Undecided: neither proved nor broken.",
    )


def contradictions(check: str, answers: Answers) -> Finding:
    """The control: no sample is certified and yet broken within the same or a smaller radius.

    By an attack, or at one of the points that the certificates' own control drew from the ball.
    """
    found: list[tuple[str, float, int]] = []
    compared = np.zeros_like(answers.asked)
    for norm, epsilon in sorted({(n, e) for _, n, e in answers.proofs}):
        proved = answers.proved(norm, epsilon)
        bad = proved & (answers.broken(norm, epsilon) | answers.missed(norm, epsilon))
        compared |= proved & (answers.challenged(norm, epsilon) | answers.drawn(norm, epsilon))
        found += [(norm, epsilon, int(index)) for index in np.flatnonzero(bad)]
    count = len({(norm, index) for norm, _, index in found})
    return Finding(
        check=check,
        metric="contradictions",
        title="Samples that are certified and yet broken, by an attack or at a drawn point",
        value=float(count),
        unit="samples",
        n=int(compared.sum()),
        better="lower",
        control=True,
        outcome=Outcome.FAIL if count else Outcome.PASS,
        reason=(
            f"{count} certified samples were broken within their certified radius: a bound or an attack is unsound"
            if count
            else "no certified sample was broken within its certified radius, by any attack or at any drawn point"
        ),
        evidence=(Table(title="Contradictions", columns=("norm", "epsilon", "sample"), rows=tuple(found[:50])),)
        if found
        else (),
    )


def curve_plot(answers: Answers, norm: Norm, right: Mask) -> CurvePlot:
    """Certified accuracy of each method and accuracy under each attack over the radius.

    Args:
        answers: of both checks.
        norm: which balls.
        right: samples answered rightly without perturbation: the point at radius 0.
    """
    common = _common(answers, norm)
    drawn = common if common.any() else answers.asked
    curves = []
    for method in dict.fromkeys(m for m, n, _ in answers.proofs if n == norm):
        points = {e: mask[drawn] for (m, n, e), mask in answers.proofs.items() if (m, n) == (method, norm)}
        curves.append(_curve(f"certified, {method}", "certificate", points, right[drawn]))
    for attack, control in dict.fromkeys((a, c) for a, n, _, c in answers.attacked if n == norm and common.any()):
        pairs = {e: p for (a, n, e, c), p in answers.attacked.items() if (a, n, c) == (attack, norm, control)}
        points = {e: robust[drawn] for e, (_, robust) in pairs.items()}
        curves.append(_curve(f"under attack, {attack}", "control" if control else "attack", points, right[drawn]))
    return CurvePlot(
        title=f"Robust accuracy within {NORM_NAMES[norm]} balls",
        x_label="epsilon (input units)",
        y_label="share of samples",
        curves=tuple(curves),
        y_range=(0.0, 1.0),
        caption=f"Of the {int(drawn.sum())} samples that every curve was asked about. Robust accuracy lies no lower "
        "than the certificates and no higher than the attacks; what is between them is undecided. Bands are 95 % "
        "Wilson intervals.",
    )


def _common(answers: Answers, norm: Norm) -> Mask:
    """Samples that certificates and every attack at every radius were asked about: curves of different samples cannot
    be compared."""
    attacked = [asked for (_, n, _, _), (asked, _) in answers.attacked.items() if n == norm]
    common: Mask = np.logical_and.reduce([answers.asked, *attacked])
    return common


def _curve(label: str, role: Any, points: dict[float, Mask], clean: Mask) -> Curve:
    known = {e: mask for e, mask in sorted({0.0: clean, **points}.items()) if len(mask)}
    intervals = [wilson(int(mask.sum()), len(mask)) for mask in known.values()]
    return Curve(
        label=label,
        x=tuple(known),
        y=tuple(float(mask.mean()) for mask in known.values()),
        band=Band(low=tuple(i.low for i in intervals), high=tuple(i.high for i in intervals)),
        role=role,
    )
