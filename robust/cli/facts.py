"""``robust facts``: what holds of a whole small network over its input box, and whether two networks agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from robust.cli.options import Device, InputBox, InputShape, Trust, Weights, read_shape
from robust.errors import ModelShapeError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from robust.subjects import Classifier

EXIT_YES, EXIT_NO, EXIT_UNKNOWN = 0, 1, 3


def facts(
    model: Annotated[str, typer.Argument(help="model.onnx, package.module:function, or a file with --trust-model.")],
    other: Annotated[str | None, typer.Argument(help="A second model, to be compared with the first.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Whether no logit of the two differs by so much or more.")
    ] = None,
    input_box: InputBox = (0.0, 1.0),
    input_shape: InputShape = None,
    timeout: Annotated[float, typer.Option(help="Seconds in all.")] = 60.0,
    weights: Weights = None,
    trust_model: Trust = None,
    device: Device = None,
) -> None:
    """Ranges of logits, largest confidence and states of rectifiers over the input box; or whether two models agree.

    Exit status: 0 answered (agree), 1 the two networks differ, 2 the input is bad, 3 something is unknown.
    """
    if (other is None) != (tolerance is None):
        raise UsageError("two models are compared within a tolerance", wanted="MODEL OTHER --tolerance T")
    if not 0 < timeout < float("inf"):
        raise UsageError("--timeout is no time", wanted="seconds above 0", got=timeout)
    shape = read_shape(input_shape)
    options: dict[str, Any] = {
        "input_box": input_box, "input_shape": shape, "trust": bool(trust_model), "device": device or "cpu",
    }  # fmt: skip
    from robust.subjects import load_classifier

    subject = load_classifier(model, weights=weights, **options)
    if other is not None and tolerance is not None:
        raise typer.Exit(_compare(subject, load_classifier(other, **options), tolerance, timeout))
    raise typer.Exit(_describe(subject, timeout))


def _module(subject: Classifier) -> nn.Module:
    module = subject.module()
    if module is None:
        raise UsageError(f"{subject.source} is a black box: its operations are not known")
    return module


def _compare(first: Classifier, second: Classifier, tolerance: float, timeout: float) -> int:
    from robust.record import Verdict
    from verifiers.deadline import Deadline
    from verifiers.network_facts import equivalent

    if first.input_shape != second.input_shape:
        raise ModelShapeError("the two models take other inputs", wanted=first.input_shape, got=second.input_shape)
    found = equivalent(_module(first), _module(second), first.input_box, tolerance, Deadline(timeout))
    if found.verdict is Verdict.VERIFIED:
        typer.echo(f"agree: no logit differs by {tolerance:g} or more anywhere in the box")
        return EXIT_YES
    if found.witness is not None:
        apart = float((first.replay(found.witness[None]) - second.replay(found.witness[None])).abs().max())
        typer.echo(f"differ: a logit differs by {apart:.6g} at")
        typer.echo(" ".join(f"{value:.9g}" for value in found.witness.flatten().tolist()))
        return EXIT_NO
    typer.echo(f"unknown: {found.reason}")
    return EXIT_UNKNOWN


def _describe(subject: Classifier, timeout: float) -> int:
    from robust.graph import trace
    from verifiers import Network
    from verifiers.confidence import largest_confidence
    from verifiers.deadline import Deadline
    from verifiers.network_facts import NeuronState, neurons, output_range

    box, deadline = subject.input_box, Deadline(timeout)
    network = Network(trace(_module(subject), subject.input_shape, device=subject.device, box=box))
    if len(subject.class_names) > 1:
        sure = largest_confidence(network, box, deadline.within(deadline.left / 3))
        typer.echo(
            f"confidence: proved never above {sure.bound:.6g}, reaches {sure.reached:.6g} in class "
            f"{subject.class_names[sure.label]}{f' ({sure.reason})' if sure.reason else ''}"
        )
    for index, name in enumerate(subject.class_names):
        share = deadline.within(deadline.left / 2 / (len(subject.class_names) - index))
        found = output_range(network, box, index, share)
        typer.echo(
            f"logit {name}: proved within [{found.low:.6g}, {found.high:.6g}], "
            f"reaches {found.low_reached:.6g} and {found.high_reached:.6g}"
        )
    unknown = 0
    for layer in neurons(network, box, deadline):
        counts = {state: layer.states.count(state) for state in NeuronState}
        unknown += counts[NeuronState.UNKNOWN]
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        typer.echo(f"rectifiers at {layer.place}: {said}")
        for state, verb in ((NeuronState.DEAD, "never fire"), (NeuronState.LINEAR, "always fire")):
            places = [str(place) for place, one in enumerate(layer.states) if one is state]
            if places:
                typer.echo(f"  {verb}: {', '.join(places[:20])}{', ...' if len(places) > 20 else ''}")
        for one, twin in layer.twins:
            typer.echo(f"  {twin} is a multiple of {one}")
    return EXIT_UNKNOWN if unknown else EXIT_YES
