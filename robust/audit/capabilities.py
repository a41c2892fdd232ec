"""What may be asked of a classifier, found by asking its graph, without an audit."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from robust.errors import GraphError
from robust.graph import Graph
from robust.graph.recorder import Refusal
from robust.graph.survey import survey
from robust.subjects import Classifier
from verifiers import Network, Region, lower_bounds
from verifiers.smt.encode import Size, TooLargeError, refuse_unsupported


@dataclass(frozen=True)
class Capability:
    """One kind of question.

    Attributes:
        question: ``gradients``, ``bounds`` or ``exact SMT``.
        possible: whether it can be asked.
        reason: why not, or of what; one line.
    """

    question: str
    possible: bool
    reason: str


@dataclass(frozen=True)
class Capabilities:
    """What a classifier is made of and may be asked.

    Attributes:
        operators: ``convolution`` -> how often it occurs; empty for a black box.
        questions: one entry each.
        refusals: every operator that cannot be followed, with its place and a workaround.
    """

    operators: dict[str, int]
    questions: tuple[Capability, ...]
    refusals: tuple[Refusal, ...] = ()


def capabilities(classifier: Classifier) -> Capabilities:
    """Trace the classifier once and say what its operators allow. Never raises for what the network is."""
    gradients = Capability(
        "gradients",
        classifier.differentiable,
        "gradient attacks and fooling images" if classifier.differentiable else "a black box: only noise can attack it",
    )
    module = classifier.module()
    if module is None:
        return Capabilities({}, (gradients, *_neither("a black box: its operations are not known")))
    found = survey(module, classifier.input_shape, device=classifier.device)
    if found.graph is None:
        first = found.refusals[0]
        more = f" (and {len(found.refusals) - 1} more)" if len(found.refusals) > 1 else ""
        return Capabilities(found.operators, (gradients, *_neither(f"{first.reason}{more}")), found.refusals)
    return Capabilities(found.operators, (gradients, _bounds(found.graph), _smt(found.graph)))


def _neither(why_not: str) -> tuple[Capability, Capability]:
    why_not = " ".join(why_not.split())
    return Capability("bounds", False, why_not), Capability("exact SMT", False, why_not)


def require_bounds(graph: Graph) -> None:
    """Bound one point, so that an operator without a rule for bounds says so before any work.

    Raises:
        UnsupportedOperatorError: there is one.
    """
    point = torch.zeros(1, *graph.input_shape, dtype=graph.dtype, device=graph.device)
    question = torch.zeros(1, 1, graph.outputs, dtype=graph.dtype, device=graph.device)
    lower_bounds(Network(graph), Region(point, point), question, "crown")


def _bounds(graph: Graph) -> Capability:
    try:
        require_bounds(graph)
    except GraphError as error:
        return Capability("bounds", False, " ".join(str(error).split()))
    return Capability("bounds", True, "every operator has a rule: certificates by interval and CROWN bounds")


def _smt(graph: Graph) -> Capability:
    try:
        refuse_unsupported(graph, Size())
    except (GraphError, TooLargeError) as error:
        return Capability("exact SMT", False, " ".join(str(error).split()))
    return Capability("exact SMT", True, "piecewise linear and small: Z3, on a few samples and small radii")
