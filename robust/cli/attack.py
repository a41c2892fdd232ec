"""``robust attack MODEL --data ...``: which samples a tier of attacks breaks within a radius."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robust.cli.interrupts import say_interrupted, silence_output
from robust.cli.options import Assignments, Data, Device, Labels, Seed, Trust, Weights, resolve, sources
from robust.errors import UsageError

if TYPE_CHECKING:
    from robust.audit.attacking import AttackRun

EXIT_STANDS, EXIT_BROKEN, EXIT_UNDECIDED = 0, 1, 3


class NormName(StrEnum):
    """Norms that the ensemble knows."""

    LINF = "linf"
    L2 = "l2"
    L1 = "l1"


class AttackName(StrEnum):
    """The ensemble, and attacks that need no gradients (``robust.audit.attacking.BLACK_BOX``)."""

    ENSEMBLE = "ensemble"
    SQUARE = "square"
    NES = "nes"
    SPSA = "spsa"
    HOPSKIPJUMP_BALL = "hopskipjump-ball"


class TierName(StrEnum):
    """Tiers of the ensemble."""

    FAST = "fast"
    STANDARD = "standard"
    THOROUGH = "thorough"


def attack(
    model: Annotated[str, typer.Argument(help="model.onnx, package.module:function, or a file with --trust-model.")],
    eps: Annotated[list[str], typer.Option("--eps", help="Radius in input units: 8/255, 0.03; several: 2/255,8/255.")],
    data: Data = None,
    norm: Annotated[NormName, typer.Option("--norm", help="Of the balls.")] = NormName.LINF,
    tier: Annotated[TierName, typer.Option("--tier", help="fast, standard (AutoAttack's budgets) or thorough.")] = (
        TierName.STANDARD
    ),
    attack_name: Annotated[
        AttackName, typer.Option("--attack", help="ensemble, or a black-box attack alone instead of a tier.")
    ] = AttackName.ENSEMBLE,
    queries: Annotated[
        int | None, typer.Option("--queries", help="Of a black-box attack, per sample and radius.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="At most so many samples, stratified by class.")] = None,
    rows: Annotated[int, typer.Option("--rows", help="Rows of the table of broken samples.")] = 20,
    minimum: Annotated[
        float | None, typer.Option("--minimum", help="Share that must stand at every radius; judged on the interval.")
    ] = None,
    diagnosis: Annotated[bool, typer.Option(help="Look for signs of masked gradients.")] = True,
    witnesses: Annotated[Path | None, typer.Option("--witnesses", help="Write the witnesses as .npz.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write everything as JSON.")] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="--json of another model on the same data: a paired comparison.")
    ] = None,
    labels: Labels = None,
    weights: Weights = None,
    trust_model: Trust = None,
    seed: Seed = None,
    device: Device = None,
    assignments: Assignments = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Attack every sample of a data set within a radius.

    Exit status: 0 no sample was broken (or --minimum is met), 1 some were (or it is not met), 2 the input is bad,
    3 nothing was broken but there are signs of masked gradients (or --minimum is open), 130 interrupted (what was
    found is printed and written). That a sample was not broken proves nothing: see robust verify.
    """
    from robust.audit.assemble import assemble
    from robust.audit.attacking import AttackRun, Question, run_attack
    from robust.cli.attack_compare import read_comparison
    from robust.cli.verify_data import radius

    _check(limit, minimum, queries)
    epsilons = tuple(sorted({radius(part) for text in eps for part in text.split(",")}))
    question = Question(norm.value, epsilons, tier.value, diagnosis, attack_name.value, queries)
    question.make()
    named = sources(
        model=model,
        weights=weights,
        trust=trust_model,
        data=data,
        labels=labels,
        groups=None,
        reference=None,
        generator=None,
    ) | {"seed": seed, "device": device, "data.limit": limit, "data.allow_missing_classes": True}
    other = None if compare is None else read_comparison(compare, question)
    run = AttackRun(assemble(resolve(None, named=named, assignments=assignments).plan).context, question)
    ending: KeyboardInterrupt | None = None
    try:
        run_attack(run, _nothing if quiet else _say)
    except KeyboardInterrupt as error:
        ending = error
        run.notes.append("interrupted: samples that were not reached count neither way")
    status = exit_status(run, minimum)
    _report(run, status, rows, witnesses, json, other)
    if ending is not None:
        raise typer.Exit(say_interrupted(ending))
    if status:
        raise typer.Exit(status)


def _check(limit: int | None, minimum: float | None, queries: int | None) -> None:
    if limit is not None and limit < 1:
        raise UsageError("--limit is too small", wanted="at least 1", got=limit)
    if minimum is not None and not 0 <= minimum <= 1:
        raise UsageError("--minimum is no share", wanted="0 to 1", got=minimum)
    if queries is not None and queries < 3:
        raise UsageError("--queries is too small", wanted="at least 3", got=queries)


def exit_status(run: AttackRun, minimum: float | None) -> int:
    """The status that the answers deserve, over all radii."""
    from robust.statistics import wilson

    doubtful = EXIT_UNDECIDED if run.masked() or not run.complete else EXIT_STANDS
    if minimum is None:
        return EXIT_BROKEN if bool(run.broken.any() or run.wrong.any()) else doubtful
    worst = EXIT_STANDS
    for place in range(len(run.question.epsilons)):
        reached = run.attacked[place]
        if not reached.any():
            continue
        interval = wilson(int(run.stands(place).sum()), int(reached.sum()))
        if interval.high < minimum:
            return EXIT_BROKEN
        worst = EXIT_UNDECIDED if interval.low < minimum else worst
    return worst or doubtful


def _report(
    run: AttackRun, status: int, rows: int, witnesses: Path | None, json: Path | None, other: dict[str, Any] | None
) -> None:
    from robust.cli import attack_compare, attack_report

    if witnesses is not None:
        attack_report.write_witnesses(run, witnesses)
    if json is not None:
        attack_report.write_json(run, status, json)
    try:
        attack_report.print_report(run, rows)
        if other is not None:
            attack_compare.print_comparison(run, other)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        silence_output()


def _say(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rattack: {done} of {total} samples " + ("\n" if done == total else ""))
        sys.stderr.flush()


def _nothing(done: int, total: int) -> None:
    pass
