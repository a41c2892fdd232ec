"""What a fooling method is: it makes, for each class, an input that the classifier calls that class with confidence.

Nothing of the class needs to be in it (Nguyen, Yosinski and Clune 2015). Every input is replayed on the real model,
and its confidence is that of the replay.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.errors import UsageError
from robust.properties.input_sets import Box
from robust.subjects.protocols import Classifier


@dataclass(frozen=True, eq=False)
class Fooling:
    """One input for each of ``k`` classes.

    Attributes:
        inputs: float32 ``[k, *shape]``, inside the box.
        targets: class of each, int64 ``[k]``.
        confidences: softmax of the replayed logits at the target, float64 ``[k]``; NaN logits count as 0.
        reached: int64 ``[k]``: rows evaluated, for all classes together, when the class first had the wanted
            confidence; -1 if it never had it.
        evaluations: rows through the model, forward.
        backward_passes: rows whose gradient was taken.
        history: (evaluations, smallest, median confidence over classes), as the search went.
        strip: (evaluations, inputs ``[few, *shape]``), what an evolution had by then for the first of the classes.
    """

    inputs: Tensor
    targets: Tensor
    confidences: Tensor
    reached: Tensor
    evaluations: int
    backward_passes: int
    history: tuple[tuple[int, float, float], ...]
    strip: tuple[tuple[int, Tensor], ...] = ()


class FoolingMethod(ABC):
    """Base of the methods. Hyperparameters are keyword-only in the constructor."""

    name: ClassVar[str]
    needs_gradients: ClassVar[bool]

    @abstractmethod
    def __call__(
        self, classifier: Classifier, generator: torch.Generator, targets: Sequence[int] | None = None
    ) -> Fooling:
        """Make one input for each of ``targets`` (default: every class).

        Args:
            classifier: the subject.
            generator: a CPU generator; the global ones are never touched.
            targets: class indices.
        """

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def resolve_targets(classifier: Classifier, targets: Sequence[int] | None) -> Tensor:
    """The classes to fool, int64 ``[k]`` on the subject's device.

    Raises:
        UsageError: none, twice the same, or not a class.
    """
    classes = len(classifier.class_names)
    wanted = list(range(classes)) if targets is None else list(targets)
    if not wanted or len(set(wanted)) < len(wanted) or not all(0 <= target < classes for target in wanted):
        raise UsageError("fooling needs classes", wanted=f"distinct classes in 0..{classes - 1}", got=wanted[:20])
    return torch.tensor(wanted, dtype=torch.int64, device=classifier.device)


def to_box(unit: Tensor, box: Box) -> Tensor:
    """Points of the unit cube ``[n, *shape]`` as points of the box, to the last bit inside it."""
    return box.clamp(box.lower + unit * (box.upper - box.lower))


def log_confidences(logits: Tensor) -> Tensor:
    """Log-softmax in float64 ``[n, classes]``: still tells two inputs apart where float32 rounds both to 1.

    Rows with a NaN or an infinite logit become minus infinity: such an answer is no confidence.
    """
    finite = torch.isfinite(logits).all(1, keepdim=True)
    return torch.where(finite, torch.log_softmax(logits.double(), 1), -torch.inf)


def replayed_confidences(classifier: Classifier, inputs: Tensor, targets: Tensor) -> Tensor:
    """Confidence of input ``i`` in class ``targets[i]`` on the real model, float64 ``[k]``."""
    scores = log_confidences(classifier.replay(inputs).to(targets.device))
    return scores.gather(1, targets[:, None])[:, 0].exp()
