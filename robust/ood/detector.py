"""The detector's nouns: what a model shows of its inputs, and a score of them.

*A larger score means more abnormal.* Papers that score "confidence" are negated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from robust.errors import NonFiniteError, UsageError
from robust.subjects.protocols import Classifier


@dataclass(frozen=True, eq=False)
class Activations:
    """What a classifier shows of ``n`` inputs.

    Attributes:
        logits: float64 ``[n, classes]``.
        features: float64 ``[n, d]``, the input of the last affine layer; None where the model shows none.
    """

    logits: Tensor
    features: Tensor | None

    def __len__(self) -> int:
        return len(self.logits)


class Detector(Protocol):
    """One method. ``fit`` on data the model knows, then ``score`` anything."""

    @property
    def name(self) -> str:
        """Key in plans and records."""
        ...

    @property
    def needs_features(self) -> bool:
        """Whether logits alone are not enough."""
        ...

    def fit(self, reference: Activations, labels: Tensor) -> None:
        """Learn what is normal: activations of known data and their class indices int64 ``[n]``."""
        ...

    def score(self, activations: Activations) -> Tensor:
        """Abnormality, float64 ``[n]``.

        Raises:
            UsageError: it was not fitted, or it needs features and there are none.
        """
        ...


def activations_of(classifier: Classifier, samples: Tensor, *, batch: int = 256, what: str = "samples") -> Activations:
    """Logits and features of ``samples [n, *input_shape]``, in batches, without gradients.

    Raises:
        NonFiniteError: the model answers with NaN or infinity.
    """
    logits: list[Tensor] = []
    features: list[Tensor] = []
    with torch.no_grad():
        for part in torch.split(samples, batch):
            inputs = part.to(classifier.device)
            logits.append(classifier.replay(inputs).double())
            shown = classifier.features(inputs)
            if shown is not None:
                features.append(shown.double())
    found = Activations(torch.cat(logits), torch.cat(features) if features else None)
    for name, tensor in (("logits", found.logits), ("features", found.features)):
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            raise NonFiniteError(
                f"the model answers {what} with NaN or infinite {name}",
                wanted=f"finite {name} everywhere in the declared input box",
                got=f"{int((~torch.isfinite(tensor)).any(dim=1).sum())} of {len(tensor)} inputs without",
                hint="look for overflow, or declare the box that the model is meant for",
            )
    return found


def features_of(activations: Activations, name: str) -> Tensor:
    """The features, or an error that names the detector which wanted them."""
    if activations.features is None:
        raise UsageError(
            f"the detector {name} needs features and the model shows none",
            wanted="a model whose last affine layer is known",
            hint="use a detector of logits: maximum_softmax, energy",
        )
    return activations.features


def not_fitted(name: str) -> UsageError:
    """The error of a detector that was asked before it was fitted."""
    return UsageError(f"the detector {name} was asked for scores before it was fitted", hint="call fit first")
