"""Expectation over transformation (Athalye et al. 2018): a randomised model attacked by the mean of several answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robust.errors import UsageError
from robust.subjects.protocols import Classifier


class Averaged:
    """A classifier whose ``logits`` are the mean log-probabilities of several draws; ``replay`` asks as often.

    Args:
        classifier: one that answers the same input differently.
        draws: answers per question.

    Raises:
        UsageError: no draws.
    """

    def __init__(self, classifier: Classifier, draws: int = 20) -> None:
        if draws < 1:
            raise UsageError("an expectation needs draws", wanted="at least 1", got=draws)
        self._classifier, self.draws = classifier, draws

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_classifier":
            raise AttributeError(name)
        return getattr(self._classifier, name)

    def logits(self, x: Tensor) -> Tensor:
        """``[n, *input_shape] -> [n, classes]``; gradients flow where they do in one answer."""
        answers = [torch.log_softmax(self._classifier.logits(x).float(), 1) for _ in range(self.draws)]
        return torch.stack(answers).mean(0)

    def replay(self, x: Tensor) -> Tensor:
        """The same in the model's own arithmetic."""
        answers = [torch.log_softmax(self._classifier.replay(x).float(), 1) for _ in range(self.draws)]
        return torch.stack(answers).mean(0)

    def __repr__(self) -> str:
        return f"Averaged({self._classifier!r}, draws={self.draws})"
