"""From everything that is known of every ball to findings: the sandwich as far as it closes, and what closed it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from attacks.balls import NORM_NAMES, Norm
from robust.audit.check import Context, Results
from robust.audit.checks.branching_witnesses import newly_broken
from robust.audit.checks.certificate_controls import TOLERANCE, agreement
from robust.audit.checks.sandwich import Mask
from robust.audit.decided import PROVED, SPLITTING, Sources, Standing, evidence
from robust.record import Finding, Interval, Outcome, Table
from robust.statistics import wilson

MOST_ROWS = 50


def findings(
    results: Results,
    sources: Sources,
    grids: Mapping[Norm, tuple[float, ...]],
    context: Context,
    images: int,
    undecided: tuple[int, int],
) -> list[Finding]:
    """Robust accuracy of every radius, the samples that only branch and bound broke, what it was asked, and controls.

    Args:
        results: of the check.
        sources: of all checks that decide samples.
        grids: norm -> radii.
        context: subject and data.
        images: witnesses shown per norm.
        undecided: how many balls were so before, and how many of them still are.
    """
    found: list[Finding] = []
    standings: list[Standing] = []
    for norm, radii in grids.items():
        population = sources.population(norm, radii)
        if not population.any():
            continue
        known = [sources.standing(norm, epsilon) for epsilon in radii]
        standings += known
        middle = len(radii) // 2
        rates = [_robust(one, population, headline=place == middle) for place, one in enumerate(known)]
        shown = (evidence(context, population, known), _table(norm, population, known))
        found += [rates[0].model_copy(update={"evidence": shown}), *rates[1:]]
        found += newly_broken(results, norm, context, images)
    found.append(_asked(results, *undecided))
    found += _in_runs(results)
    found.append(_contradictions(standings))
    if results:
        tolerance = float(getattr(context.classifier, "agreement_tolerance", TOLERANCE))
        found.append(agreement("branching", results, tolerance))
    return found


def _robust(known: Standing, population: Mask, *, headline: bool) -> Finding:
    total, proved = int(population.sum()), int((known.proved & population).sum())
    broken = int((known.broken & population).sum())
    closed = proved + broken == total
    low, high = wilson(proved, total).low, wilson(total - broken, total).high
    return Finding(
        check="branching",
        metric="robust_accuracy",
        parameters={"norm": known.norm, "epsilon": known.epsilon},
        title=f"Robust accuracy within {NORM_NAMES[known.norm]} {known.epsilon:g}, by every proof and every witness",
        value=proved / total if closed else None,
        unit="share",
        interval=Interval(low=low, high=high, method="wilson" if closed else "proofs and witnesses"),
        n=total,
        better="higher",
        protocol={
            "norm": known.norm,
            "epsilon": known.epsilon,
            "interval": "Wilson low of proved to high of not broken",
            "value": "where every sample is decided",
        },
        headline=headline,
    )


def _table(norm: Norm, population: Mask, standings: list[Standing]) -> Table:
    rows = []
    for known in standings:
        counts = [int((mask & population).sum()) for mask in (known.proved, known.open, known.broken)]
        by = [int((population & (known.engines == SPLITTING) & mask).sum()) for mask in (known.proved, known.broken)]
        rows.append((known.epsilon, int(population.sum()), *counts, *by))
    return Table(
        title=f"What is known within {NORM_NAMES[norm]} balls, by all engines",
        columns=(
            "epsilon",
            "samples",
            "proved to stay right",
            "undecided",
            "broken, or wrong from the start",
            "proved by branch and bound",
            "broken by branch and bound",
        ),
        rows=tuple(rows),
    )


def _asked(results: Results, wanted: int, left: int) -> Finding:
    asked = sum(len(radii) for shard, _ in results for radii in shard.parameters["epsilons"])
    hurried = sum(int(np.asarray(payload["timed_out"]).sum()) for _, payload in results)
    said = []
    if asked < wanted:
        said.append(f"{asked} of {wanted} were asked about: checks.branching.balls and its budget allow no more")
    if hurried:
        said.append(
            f"for {hurried} the wall clock of checks.branching.seconds struck: another run may decide others of them"
        )
    return Finding(
        check="branching",
        metric="newly_decided",
        title="Balls that attacks and bounds left undecided, and that are decided now",
        value=float(wanted - left),
        unit="balls",
        n=wanted,
        better="higher",
        headline=asked < wanted or hurried > 0,
        reason="; ".join(said),
    )


def _in_runs(results: Results) -> list[Finding]:
    """How many of the proofs of this check hold in every float32 run, too."""
    proved = [np.asarray(payload["verdict"]) == PROVED for _, payload in results]
    total = sum(int(mask.sum()) for mask in proved)
    if not total:
        return []
    count = sum(
        int((mask & np.asarray(payload["runs"], dtype=bool)).sum())
        for mask, (_, payload) in zip(proved, results, strict=True)
    )
    return [
        Finding(
            check="branching",
            metric="proved_in_runs",
            title="Of the balls proved here over the real numbers, those proved in every float32 run",
            value=count / total,
            unit="share",
            n=total,
            better="higher",
        )
    ]


def _contradictions(standings: list[Standing]) -> Finding:
    """The control: nothing is proved by one engine and broken by another."""
    rows = tuple(
        (known.norm, known.epsilon, int(sample)) for known in standings for sample in np.flatnonzero(known.contradicted)
    )
    decided = sum(int((known.proved | known.contradicted).sum()) for known in standings)
    return Finding(
        check="branching",
        metric="contradictions",
        title="Balls that one engine proves and another breaks",
        value=float(len(rows)),
        unit="balls",
        n=decided,
        better="lower",
        control=True,
        outcome=Outcome.FAIL if rows else Outcome.PASS,
        reason=f"{len(rows)} balls are proved and yet broken: an engine is unsound"
        if rows
        else "no proved ball holds a witness of any engine, or a drawn point that is answered wrongly",
        evidence=(Table(title="Contradictions", columns=("norm", "epsilon", "sample"), rows=rows[:MOST_ROWS]),)
        if rows
        else (),
    )
