"""``robust replay MODEL WITNESSES``: do inputs that broke a model once still break it?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robust.cli.options import Assignments, Device, Trust, Weights, resolve, sources

EXIT_FIXED, EXIT_BROKEN = 0, 1


def replay(
    model: Annotated[str, typer.Argument(help="model.onnx, package.module:function, or a file with --trust-model.")],
    witnesses: Annotated[list[Path], typer.Argument(help="Files that robust attack --witnesses wrote.")],
    rows: Annotated[int, typer.Option("--rows", help="Rows of the table of those that are still wrong.")] = 20,
    weights: Weights = None,
    trust_model: Trust = None,
    device: Device = None,
    assignments: Assignments = None,
) -> None:
    """Ask a model about witnesses again: a regression test of what attacks found before.

    Exit status: 0 all are answered rightly now, 1 some are not, 2 the input is bad. That old witnesses are answered
    rightly says nothing of new ones: attack the model as well.
    """
    from reports.text import one_line
    from robust.audit.regression import answers_to, classifier_for, read_witnesses
    from robust.cli.attack_report import write_table

    named = sources(
        model=model, weights=weights, trust=trust_model, data=None, labels=None, groups=None, reference=None,
        generator=None,
    ) | {"device": device}  # fmt: skip
    plan = resolve(None, named=named, assignments=assignments).plan
    broken = 0
    for path in witnesses:
        kept = read_witnesses(path)
        classifier = classifier_for(kept, plan.model, plan.device)
        names, answers = classifier.class_names, answers_to(classifier, kept)
        wrong = (answers != kept.labels).nonzero()[0].tolist()
        broken += len(wrong)
        typer.echo(f"{one_line(str(path))}: {len(wrong)} of {len(kept)} witnesses are still answered wrongly")
        told = [names[answer] if answer >= 0 else "NaN" for answer in answers.tolist()]
        cells = [
            [str(kept.indices[i]), *map(one_line, (names[kept.labels[i]], names[kept.answers[i]], told[i]))]
            for i in wrong[:rows]
        ]
        if cells:
            write_table(["sample", "label", "answered then", "answers now"], cells)
        if len(wrong) > rows > 0:
            typer.echo(f"and {len(wrong) - rows} more (--rows shows more)")
    raise typer.Exit(EXIT_BROKEN if broken else EXIT_FIXED)
