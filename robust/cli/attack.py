"""``robust attack MODEL --data ...``: which samples a tier of attacks breaks within a radius."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robust.cli.interrupts import say_interrupted, silence_output
from robust.cli.options import Assignments, Data, Device, Labels, Seed, Trust, Weights, resolve, sources
from robust.errors import UsageError

if TYPE_CHECKING:
    from robust.audit.attacking import AttackRun
    from robust.audit.check import Context
    from robust.cli.attack_pictures import Witness

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
    eps: Annotated[
        list[str] | None, typer.Option("--eps", help="Radius in input units: 8/255, 0.03; several: 2/255,8/255.")
    ] = None,
    data: Data = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--change",
            help="In place of --eps: rotation=30,shift=3; zoom, blur, elastic, brightness, contrast, hue, patch=5x5.",
        ),
    ] = None,
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
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="Write a page of what broke the model, beside the samples.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", help="Keep what is found in this file as it goes, and go on from it where it exists."),
    ] = None,
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
    """Attack every sample of a data set within a radius, or under changes that people can picture.

    Exit status: 0 no sample was broken (or --minimum is met), 1 some were (or it is not met), 2 the input is bad,
    3 nothing was broken but there are signs of masked gradients (or --minimum is open), 130 interrupted (what was
    found is printed and written). That a sample was not broken proves nothing: see robust verify.
    """
    from robust.audit.assemble import assemble

    _check(limit, minimum, queries)
    if bool(eps) == bool(change):
        raise UsageError(
            "an attack needs a radius or a change",
            wanted="--eps or --change" + (", not both" if eps else ""),
            hint="--eps 8/255 for balls around the samples, --change rotation=30 for rotations",
        )
    if change:
        of_balls = {
            "--norm": norm is not NormName.LINF,
            "--tier": tier is not TierName.STANDARD,
            "--attack": attack_name is not AttackName.ENSEMBLE,
            "--queries": queries is not None,
            "--compare": compare is not None,
            "--resume": resume is not None,
        }
        given = [name for name, stands in of_balls.items() if stands]
        if given:
            raise UsageError("an option is for balls alone", wanted="--eps with it", got=f"--change {' '.join(given)}")
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
    plan = resolve(None, named=named, assignments=assignments).plan
    outputs, watch = _Outputs(rows, witnesses, json, pictures), _nothing if quiet else _say
    if change:
        _changes(lambda: assemble(plan).context, change, minimum, outputs, watch)
    else:
        asked = _Balls(norm.value, eps or [], tier.value, diagnosis, attack_name.value, queries, resume, compare)
        _balls(lambda: assemble(plan).context, asked, minimum, outputs, watch)


@dataclass(frozen=True)
class _Balls:
    """The options that are about balls."""

    norm: Any
    eps: list[str]
    tier: Any
    diagnosis: bool
    attack: str
    queries: int | None
    resume: Path | None
    compare: Path | None


Watch = Callable[[int, int], None]


def _balls(load: Callable[[], Context], asked: _Balls, minimum: float | None, outputs: _Outputs, watch: Watch) -> None:
    from robust.audit.attack_state import restore, save_state
    from robust.audit.attacking import AttackRun, Question, run_attack
    from robust.cli.attack_compare import read_comparison
    from robust.cli.verify_data import radius

    epsilons = tuple(sorted({radius(part) for text in asked.eps for part in text.split(",")}))
    question = Question(asked.norm, epsilons, asked.tier, asked.diagnosis, asked.attack, asked.queries)
    question.make()
    other = None if asked.compare is None else read_comparison(asked.compare, question)
    run = AttackRun(load(), question)
    start = 0 if asked.resume is None else restore(run, asked.resume)

    def through(done: int, total: int) -> None:
        if asked.resume is not None:
            save_state(run, done, asked.resume)
        watch(done, total)

    ending = _until_interrupted(lambda: run_attack(run, through, start), run.notes)
    status = exit_status(run, minimum)
    _report(run, status, outputs, other)
    _leave(status, ending)


def _until_interrupted(search: Callable[[], None], notes: list[str]) -> KeyboardInterrupt | None:
    """Run a search, or as much as Ctrl-C lets it."""
    try:
        search()
    except KeyboardInterrupt as error:
        notes.append("interrupted: samples that were not reached count neither way")
        return error
    return None


def _leave(status: int, ending: KeyboardInterrupt | None) -> None:
    if ending is not None:
        raise typer.Exit(say_interrupted(ending))
    if status:
        raise typer.Exit(status)


def _changes(
    load: Callable[[], Context], texts: list[str], minimum: float | None, outputs: _Outputs, watch: Watch
) -> None:
    from robust.audit.changing import ChangesRun, run_changes
    from robust.cli import attack_changes

    run = ChangesRun(load(), texts)
    ending = _until_interrupted(lambda: run_changes(run, watch), run.notes)
    rates = [attack_changes.rate(run, found) for found in run.done]
    stands = [(each["not_broken"], each["samples"]) for each in rates if each["samples"]]
    broken = any(each["wrong"] or each["broken"] for each in rates)
    status = judged(stands, minimum, broken=broken, doubtful=not run.complete or run.blind)
    if outputs.witnesses is not None:
        attack_changes.write_changes_witnesses(run, outputs.witnesses)
    if outputs.json is not None:
        attack_changes.write_changes_json(run, status, outputs.json)
    if outputs.pictures is not None:
        found = [
            (each.text, i, each.witnesses[i], each.answers[i]) for each in run.done for i in sorted(each.witnesses)
        ]
        _pictures(run.context, found, outputs.pictures)
    _printed(lambda: attack_changes.print_changes(run))
    _leave(status, ending)


@dataclass(frozen=True)
class _Outputs:
    rows: int
    witnesses: Path | None
    json: Path | None
    pictures: Path | None


def _check(limit: int | None, minimum: float | None, queries: int | None) -> None:
    if limit is not None and limit < 1:
        raise UsageError("--limit is too small", wanted="at least 1", got=limit)
    if minimum is not None and not 0 <= minimum <= 1:
        raise UsageError("--minimum is no share", wanted="0 to 1", got=minimum)
    if queries is not None and queries < 3:
        raise UsageError("--queries is too small", wanted="at least 3", got=queries)


def exit_status(run: AttackRun, minimum: float | None) -> int:
    """The status that the answers deserve, over all radii."""
    doubtful = bool(run.masked()) or not run.complete
    counts = [
        (int(run.stands(place).sum()), int(run.attacked[place].sum())) for place in range(len(run.question.epsilons))
    ]
    broken = bool(run.broken.any() or run.wrong.any())
    return judged([pair for pair in counts if pair[1]], minimum, broken=broken, doubtful=doubtful)


def judged(stands: list[tuple[int, int]], minimum: float | None, *, broken: bool, doubtful: bool) -> int:
    """The status for ``(samples that stand, samples)`` of each radius or change."""
    from robust.statistics import wilson

    open_ = EXIT_UNDECIDED if doubtful else EXIT_STANDS
    if minimum is None:
        return EXIT_BROKEN if broken else open_
    worst = EXIT_STANDS
    for count, n in stands:
        interval = wilson(count, n)
        if interval.high < minimum:
            return EXIT_BROKEN
        worst = EXIT_UNDECIDED if interval.low < minimum else worst
    return worst or open_


def _report(run: AttackRun, status: int, outputs: _Outputs, other: dict[str, Any] | None) -> None:
    from robust.cli import attack_compare, attack_report

    if outputs.witnesses is not None:
        attack_report.write_witnesses(run, outputs.witnesses)
    if outputs.json is not None:
        attack_report.write_json(run, status, outputs.json)
    if outputs.pictures is not None:
        order = sorted(run.witnesses, key=lambda index: (run.found_at[index], run.distances[index], index))
        found = [
            (f"{run.stages[i]}, radius {run.found_at[i]:.4g}", i, run.witnesses[i], int(run.answers[i])) for i in order
        ]
        _pictures(run.context, found, outputs.pictures)

    def tables() -> None:
        attack_report.print_report(run, outputs.rows)
        if other is not None:
            attack_compare.print_comparison(run, other)

    _printed(tables)


def _pictures(context: Context, found: list[Witness], path: Path) -> None:
    from robust.cli.attack_pictures import write_pictures

    write_pictures(context, found, f"What broke {context.classifier.name}", path)


def _printed(write: Callable[[], None]) -> None:
    try:
        write()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        silence_output()


def _say(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rattack: {done} of {total} samples " + ("\n" if done == total else ""))
        sys.stderr.flush()


def _nothing(done: int, total: int) -> None:
    pass
