"""Every operator of a model that cannot be followed, not the first alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from robust.errors import GraphError
from robust.graph.escapes import recording
from robust.graph.graph import Graph
from robust.graph.onnx_file import OnnxFile, read_onnx
from robust.graph.onnx_plan import unread_nodes
from robust.graph.recorder import Recorder, Refusal
from robust.graph.running import evaluating, watching_places
from robust.graph.trace import samples_of, trace
from robust.properties.input_sets import Box


@dataclass(frozen=True)
class Survey:
    """What a model is made of.

    Attributes:
        operators: how often each operator that has a rule occurs, by name; without the input.
        refusals: what has none, once per operator and place, in the order in which the model comes to it.
        graph: where nothing was refused.
    """

    operators: dict[str, int]
    refusals: tuple[Refusal, ...]
    graph: Graph | None = None


def survey(module: nn.Module, input_shape: Sequence[int], *, device: torch.device, box: Box | None = None) -> Survey:
    """Trace a module; where that fails, run it once more and note everything that stands in the way.

    Args:
        module, input_shape, device, box: as ``trace`` takes them.
    """
    try:
        graph = trace(module, input_shape, device=device, box=box)
    except GraphError as error:
        failure = error
    else:
        return Survey(_counted(node.op for node in graph.nodes[1:]), (), graph)
    recorder = Recorder(samples_of(module, input_shape, device, box)(2), survey=True)
    with evaluating(module), torch.no_grad():
        try:
            with watching_places(module, recorder.places), recording(recorder):
                module(recorder.x)
        except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, GraphError) as error:
            recorder.refusals.append(Refusal("", recorder.place, f"the model stops: {error}", failure.hint or ""))
    found = tuple(recorder.refusals) or (Refusal("", "the model itself", failure.message, failure.hint or ""),)
    return Survey(_counted(step.op for step in recorder.steps[1:]), found)


def survey_onnx(file: OnnxFile | str | Path) -> Survey:
    """The operators of an ONNX file by their ONNX names: those that are read, and every node that is not."""
    file = file if isinstance(file, OnnxFile) else read_onnx(file)
    unread = unread_nodes(file, file.outputs[0].name)
    names = {node.name for node in unread}
    refusals = tuple(
        Refusal(node.op, f"node {node.name!r}", error.message, error.hint or "") for node, error in unread.items()
    )
    return Survey(_counted(node.op for node in file.nodes if node.name not in names), refusals)


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
