"""Witnesses kept as a regression set: inputs that broke a model once, asked of it, or of its successor, again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robust.audit.assemble import load_subject
from robust.audit.plan import ModelPlan
from robust.errors import DataFileError, LabelError, ModelShapeError
from robust.subjects.protocols import Classifier
from robust.subjects.range_scaled import RangeScaled

BLOCK = 500
"""Inputs that are asked together."""
_NEEDED = ("adversarials", "labels", "answers", "indices", "box_lower", "box_upper", "scaled")


@dataclass(frozen=True, eq=False)
class Witnesses:
    """What ``robust attack --witnesses`` kept.

    Attributes:
        path: of the file.
        inputs: float32 ``[n, *shape]`` in the units of the attack.
        labels: int64 ``[n]``, the right classes.
        answers: int64 ``[n]``, what the model answered then.
        indices: int64 ``[n]``, places of the samples that they were made from.
        box: lower and upper end of the model's own input box.
        scaled: inputs are shares of that box.
    """

    path: Path
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    indices: NDArray[np.int64]
    box: tuple[NDArray[np.float32], NDArray[np.float32]]
    scaled: bool

    def __len__(self) -> int:
        return len(self.inputs)


def units_of(classifier: Classifier) -> dict[str, NDArray[Any]]:
    """The arrays of a file of witnesses that say what its numbers mean."""
    scaled = isinstance(classifier, RangeScaled)
    box = classifier.inner.input_box if isinstance(classifier, RangeScaled) else classifier.input_box
    return {
        "box_lower": box.lower.cpu().numpy().astype(np.float32),
        "box_upper": box.upper.cpu().numpy().astype(np.float32),
        "scaled": np.array(scaled),
    }


def read_witnesses(path: Path) -> Witnesses:
    """A file of witnesses.

    Raises:
        DataFileError: it cannot be read, or is something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _NEEDED}
        found = Witnesses(
            path,
            arrays["adversarials"].astype(np.float32),
            arrays["labels"].astype(np.int64),
            arrays["answers"].astype(np.int64),
            arrays["indices"].astype(np.int64),
            (arrays["box_lower"].astype(np.float32), arrays["box_upper"].astype(np.float32)),
            bool(arrays["scaled"].item()),
        )
        count = len(found.inputs)
        agree = len(found.labels) == len(found.answers) == len(found.indices) == count
        agree = agree and found.inputs.shape[1:] == found.box[0].shape == found.box[1].shape
        if not agree or not np.isfinite(found.inputs).all():
            raise ValueError("its arrays do not fit each other, or hold NaN")
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DataFileError(
            f"cannot read the witnesses {path}", wanted="a file that `robust attack --witnesses` wrote", got=error
        ) from error
    return found


def classifier_for(witnesses: Witnesses, plan: ModelPlan, device: str) -> Classifier:
    """The model that a plan names, in the witnesses' units.

    Raises:
        SubjectError: of its kinds.
        ModelShapeError: it takes inputs of another shape.
        LabelError: it has fewer classes than the witnesses' labels.
    """
    low, high = (end.astype(np.float64) for end in witnesses.box)
    shape = None if plan.source.endswith(".onnx") else low.shape
    classifier = load_subject(plan, device, (low.tolist(), high.tolist()), shape)
    if tuple(classifier.input_shape) != low.shape:
        raise ModelShapeError(
            f"the model takes other inputs than those of {witnesses.path}",
            wanted=list(low.shape),
            got=list(classifier.input_shape),
        )
    if len(witnesses) and int(witnesses.labels.max()) >= len(classifier.class_names):
        raise LabelError(
            f"the model has fewer classes than the labels of {witnesses.path}",
            wanted=f"more than {int(witnesses.labels.max())}",
            got=len(classifier.class_names),
        )
    return RangeScaled(classifier) if witnesses.scaled else classifier


def answers_to(classifier: Classifier, witnesses: Witnesses) -> NDArray[np.int64]:
    """The classes int64 ``[n]`` that the deployed model answers now; -1 where it answers NaN."""
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, len(witnesses), BLOCK):
        logits = classifier.replay(torch.from_numpy(witnesses.inputs[start : start + BLOCK]))
        answers = torch.where(logits.isnan().any(1), -1, logits.argmax(1))
        found.append(answers.cpu().numpy().astype(np.int64))
    return np.concatenate(found)
