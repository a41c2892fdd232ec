"""From what a network puts out to logits: any scores whose softmax is the confidence."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust.errors import ModelShapeError, UsageError

OutputKind = Literal["auto", "logits", "probabilities", "binary"]
_TINY = 1e-30
_EDGE = 1e-7


class Rows(nn.Module):
    """``[n]``, ``[n, K]`` or ``[n, K, 1, 1]`` to ``[n, K]``."""

    def forward(self, outputs: Tensor) -> Tensor:
        """Flatten what is not a row per sample."""
        if outputs.ndim == 1:
            return outputs.unsqueeze(1)
        return outputs if outputs.ndim == 2 else outputs.flatten(1)


class LogProbabilities(nn.Module):
    """Probabilities ``[n, K]`` to logits: their logarithm, cut off at 1e-30."""

    def forward(self, p: Tensor) -> Tensor:
        """``[n, K]`` to ``[n, K]``."""
        return torch.log(p.clamp_min(_TINY))


class LogOdds(nn.Module):
    """Probability ``[n, 1]`` of the second class to its log-odds, cut off at 1e-7 from 0 and 1."""

    def forward(self, p: Tensor) -> Tensor:
        """``[n, 1]`` to ``[n, 1]``."""
        p = p.clamp(_EDGE, 1.0 - _EDGE)
        return torch.log(p) - torch.log(1.0 - p)


class TwoClasses(nn.Module):
    """A score ``[n, 1]`` to logits ``[0, score]``: softmax gives ``1 - sigmoid(score)`` and ``sigmoid(score)``."""

    columns: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor([[0.0], [1.0]]))

    def forward(self, score: Tensor) -> Tensor:
        """``[n, 1]`` to ``[n, 2]``."""
        return F.linear(score, self.columns)


def check_output(output: str) -> None:
    """Raise UsageError unless ``output`` is one of the kinds."""
    if output not in ("auto", "logits", "probabilities", "binary"):
        raise UsageError("output has an unknown value", wanted="auto, logits, probabilities or binary", got=output)


def make_head(
    outputs: Tensor, output: OutputKind, stripped: str | None, where: str
) -> tuple[nn.Sequential, tuple[str, ...]]:
    """The module from raw outputs to logits, and notes on what it assumes.

    Args:
        outputs: what the (stripped) network answers for probes, ``[n, ...]``.
        output: what the user says they are.
        stripped: the activation that was taken off the end (``Softmax``, ``LogSoftmax``, ``Sigmoid``), or None.
        where: the model, for messages.

    Raises:
        ModelShapeError: no scores per class, or more than one where a binary score was promised.
    """
    check_output(output)
    rows = Rows()(outputs)
    if rows.shape[1] < 1 or len(rows) != len(outputs):
        raise ModelShapeError(f"{where}: the outputs are no scores", wanted="[n, classes]", got=list(outputs.shape))
    if output == "binary" and rows.shape[1] != 1:
        raise ModelShapeError(f"{where}: the output is not one binary score", wanted="[n, 1]", got=list(outputs.shape))
    notes = [f"the closing {stripped} was taken off: logits are its input"] if stripped else []
    modules: list[nn.Module] = [Rows()]
    if rows.shape[1] == 1:
        if (output == "probabilities" and not stripped) or (
            output != "logits" and _all_probabilities(rows) and not stripped
        ):
            modules.append(LogOdds())
            notes.append("the single output lies in [0, 1] and was read as the probability of the second class")
        notes.append("the single output is a binary score z: logits are [0, z]")
        modules.append(TwoClasses())
    elif stripped == "Sigmoid":
        notes.append("each output had a Sigmoid of its own: confidences here are a softmax over the scores before it")
    elif not stripped and output != "logits" and (output == "probabilities" or _sum_to_one(rows)):
        modules.append(LogProbabilities())
        notes.append("the outputs are probabilities: logits are their logarithm, cut off at 1e-30")
    return nn.Sequential(*modules), tuple(notes)


def _all_probabilities(rows: Tensor) -> bool:
    known = rows[torch.isfinite(rows)]
    return bool(len(known) and (known >= 0).all() and (known <= 1).all())


def _sum_to_one(rows: Tensor) -> bool:
    known = rows[torch.isfinite(rows).all(1)]
    return bool(len(known) and (known >= 0).all() and ((known.sum(1) - 1).abs() < 1e-3).all())
