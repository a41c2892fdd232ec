"""``robust fool MODEL``: inputs that show nothing and that the model calls a class with near certainty."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robust.cli.interrupts import say_interrupted
from robust.cli.options import Device, InputBox, InputShape, Trust, Weights, read_shape
from robust.errors import UsageError

if TYPE_CHECKING:
    from robust.audit.fooling_run import FoolingRun
    from robust.subjects import Classifier

EXIT_NONE, EXIT_FOOLED = 0, 1
METHODS = ("gradient", "direct", "cppn")


def fool(
    model: Annotated[str, typer.Argument(help="model.onnx, package.module:function, or a file with --trust-model.")],
    method: Annotated[
        list[str] | None, typer.Option("--method", help="gradient, direct or cppn. Repeatable. Default: all three.")
    ] = None,
    classes: Annotated[str, typer.Option("--classes", help="all, or numbers and names: 0,3,cat.")] = "all",
    budget: Annotated[
        str, typer.Option("--budget", help="60s or 2min for all methods, or inputs shown by each evolution: 20000.")
    ] = "40000",
    confidence: Annotated[float, typer.Option("--confidence", help="At which a class is done.")] = 0.9999,
    fooled_at: Annotated[float, typer.Option("--fooled-at", help="From here on a class counts as fooled.")] = 0.99,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for fooling.npz and gallery.html.")] = Path(
        "fooling"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from fooling.npz in that folder.")] = False,
    transfer: Annotated[str | None, typer.Option("--transfer", help="A second model, shown what was made.")] = None,
    input_box: InputBox = (0.0, 1.0),
    input_shape: InputShape = None,
    seed: Annotated[int, typer.Option("--seed", help="All randomness comes from it.")] = 0,
    weights: Weights = None,
    trust_model: Trust = None,
    device: Device = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Make fooling inputs of every class: a gallery, and an .npz whose confidences are replayed on the model.

    Exit status: 0 no class was fooled (which proves nothing), 1 some were, 2 the input is bad, 130 interrupted (what
    was made is written, and --resume goes on).
    """
    methods = tuple(dict.fromkeys(method or METHODS))
    if set(methods) - set(METHODS):
        raise UsageError("--method names no method", wanted=", ".join(METHODS), got=", ".join(methods))
    if not 0 < confidence <= 1 or not 0 < fooled_at <= 1:
        raise UsageError("a confidence is no probability", wanted="above 0 and at most 1", got=(confidence, fooled_at))
    evaluations, seconds = read_budget(budget)
    options: dict[str, Any] = {
        "input_box": input_box, "input_shape": read_shape(input_shape), "trust": bool(trust_model),
        "device": device or "cpu",
    }  # fmt: skip
    from attacks.attack import gives_gradients
    from robust.audit.fooling_run import FoolingRun
    from robust.subjects import load_classifier

    subject = load_classifier(model, weights=weights, **options)
    other = None if transfer is None else load_classifier(transfer, **options)
    if other is not None and other.class_names != subject.class_names:
        raise UsageError("the two models have other classes", wanted=subject.class_names, got=other.class_names)
    notes = [*subject.notes]
    if "gradient" in methods and not gives_gradients(subject, _middle(subject)):
        if methods == ("gradient",):
            raise UsageError(f"{model} gives no gradients", wanted="--method direct or --method cppn")
        notes.append("the model gives no gradients: the method gradient was left out")
        methods = tuple(name for name in methods if name != "gradient")
    run = FoolingRun(subject, methods, read_classes(classes, subject), confidence, evaluations, seconds, seed)
    path = output / "fooling.npz"
    if resume:
        run.resume(path)
    ending: KeyboardInterrupt | None = None
    try:
        run.run(_nothing if quiet else _say)
    except KeyboardInterrupt as error:
        ending = error
        notes.append("interrupted: --resume goes on")
    fooled = _written(run, other, output, fooled_at, notes)
    if ending is not None:
        raise typer.Exit(say_interrupted(ending))
    raise typer.Exit(EXIT_FOOLED if fooled else EXIT_NONE)


def read_budget(text: str) -> tuple[int, float | None]:
    """Inputs that each evolution may show to the model, and seconds for all methods together (None: no limit).

    Raises:
        UsageError: neither.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|)", text.strip())
    if found and not found[2] and found[1].isdigit() and int(found[1]) > 0:
        return int(found[1]), None
    if found and found[2] and float(found[1]) > 0:
        return 10**12, float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]]
    raise UsageError("cannot read --budget", wanted="60s, 2min, 1h, or a number of inputs: 20000", got=text)


def read_classes(text: str, subject: Classifier) -> list[int]:
    """Class numbers.

    Raises:
        UsageError: no such class.
    """
    names = list(subject.class_names)
    if text.strip() == "all":
        return list(range(len(names)))
    found = []
    for part in (part.strip() for part in text.split(",")):
        if part in names:
            found.append(names.index(part))
        elif part.isdigit() and int(part) < len(names):
            found.append(int(part))
        else:
            raise UsageError("--classes names no such class", wanted=f"all, or some of {names[:20]}", got=part)
    return list(dict.fromkeys(found))


def _middle(subject: Classifier) -> Any:
    box = subject.input_box
    return (box.lower / 2 + box.upper / 2)[None].to(subject.device)


def _written(run: FoolingRun, other: Classifier | None, output: Path, fooled_at: float, notes: list[str]) -> bool:
    """Files and table; whether any class is fooled."""
    from reports import render_evidence_page
    from reports.files import write_atomically
    from robust.audit.fooling_run import confidences_of
    from robust.audit.run_directory import keep_file
    from robust.audit.witnesses import npz_bytes
    from robust.cli.fool_report import evidence_of, print_table, summary_of

    output.mkdir(parents=True, exist_ok=True)
    keep_file(output / "fooling.npz", npz_bytes(run.arrays()))
    moved = {} if other is None else {name: confidences_of(other, found) for name, found in run.made.items()}
    lines = [*summary_of(run, moved, fooled_at), *notes]
    title = f"Fooling inputs of {run.classifier.name}"
    write_atomically(output / "gallery.html", render_evidence_page(title, lines, evidence_of(run, moved)))
    print_table(run, moved)
    for line in (*lines, f"written: {output / 'gallery.html'}, {output / 'fooling.npz'}"):
        typer.echo(line)
    return any(bool((found.confidences >= fooled_at).any()) for found in run.made.values())


def _say(method: str, used: int, done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{method}: {used:,} inputs shown, {done} of {total} classes done   ")
        sys.stderr.flush()


def _nothing(method: str, used: int, done: int, total: int) -> None:
    pass
