"""What may be asked of a classifier, found by asking its graph, without an audit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from robust.errors import GraphError
from robust.graph import Graph, trace
from robust.subjects import Classifier
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
        operators: ``aten.convolution`` -> how often it is in the graph; empty where there is no graph.
        questions: one entry each.
    """

    operators: dict[str, int]
    questions: tuple[Capability, ...]


def capabilities(classifier: Classifier) -> Capabilities:
    """Trace the classifier once and say what its operators allow. Never raises for what the network is."""
    gradients = Capability(
        "gradients",
        classifier.differentiable,
        "gradient attacks and fooling images" if classifier.differentiable else "a black box: only noise can attack it",
    )
    graph, why_not = _graph(classifier)
    if graph is None:
        return Capabilities(
            {}, (gradients, Capability("bounds", False, why_not), Capability("exact SMT", False, why_not))
        )
    operators = dict(sorted(Counter(node.op for node in graph.nodes).items()))
    bounds = Capability("bounds", True, "every operator has a rule: certificates by interval and CROWN bounds")
    return Capabilities(operators, (gradients, bounds, _smt(graph)))


def _graph(classifier: Classifier) -> tuple[Graph | None, str]:
    module = classifier.module()
    if module is None:
        return None, "a black box: its operations are not known"
    try:
        return trace(module, classifier.input_shape, device=classifier.device), ""
    except GraphError as error:
        return None, " ".join(str(error).split())


def _smt(graph: Graph) -> Capability:
    try:
        refuse_unsupported(graph, Size())
    except (GraphError, TooLargeError) as error:
        return Capability("exact SMT", False, " ".join(str(error).split()))
    return Capability("exact SMT", True, "piecewise linear and small: Z3, on a few samples and small radii")
