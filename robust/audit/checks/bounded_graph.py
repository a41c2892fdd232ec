"""The operation graph of a subject, for the checks that prove something about it."""

from __future__ import annotations

from robust.audit.capabilities import require_bounds
from robust.audit.check import NotAssessedError
from robust.errors import GraphError
from robust.graph import Graph, trace
from robust.subjects.protocols import Classifier


class BoundedGraphs:
    """Traces each classifier once."""

    def __init__(self) -> None:
        self._graphs: dict[str, Graph] = {}

    def of(self, classifier: Classifier, what: str) -> Graph:
        """The graph.

        Args:
            classifier: the subject.
            what: needs it, for the error: ``certificates``.

        Raises:
            NotAssessedError: a black box, or an operator without a rule.
        """
        if classifier.digest not in self._graphs:
            module = classifier.module()
            if module is None:
                raise NotAssessedError(
                    f"{what} need the network's operations, and this subject is a black box",
                    hint="give the model as ONNX, torch module or exported program",
                )
            try:
                graph = trace(module, classifier.input_shape, device=classifier.device, box=classifier.input_box)
                require_bounds(graph)
            except GraphError as error:
                raise NotAssessedError(
                    f"the network cannot be read as an operation graph: {error.message}",
                    wanted=error.wanted,
                    got=error.got,
                    hint=error.hint,
                ) from error
            self._graphs[classifier.digest] = graph
        return self._graphs[classifier.digest]
