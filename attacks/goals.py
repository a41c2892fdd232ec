"""What an attack wants of the answer: any wrong class, one class, or any unsafe set of the property language."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from robust.errors import LabelError, PropertyError
from robust.properties import UnsafeSet


class Goal(ABC):
    """One wish per sample. It is reached where ``reached`` says so, of logits in the model's own arithmetic."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def take(self, rows: Tensor) -> Goal:
        """The goal of those samples: bool ``[n]`` or int64 ``[m]``."""

    @abstractmethod
    def to(self, device: torch.device) -> Goal:
        """The same on another device."""

    @abstractmethod
    def margin(self, logits: Tensor) -> Tensor:
        """How far the logits ``[n, classes]`` are from it, ``[n]``: negative once they are beyond the boundary."""

    @abstractmethod
    def reached(self, logits: Tensor) -> Tensor:
        """Bool ``[n]``, to the last bit."""


class Untargeted(Goal):
    """Any answer but the label; no answer (a NaN among the logits) counts as well.

    Args:
        labels: true classes int64 ``[n]``.
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Untargeted:
        """The goal of those samples."""
        return Untargeted(self.labels[rows])

    def to(self, device: torch.device) -> Untargeted:
        """The same on another device."""
        return Untargeted(self.labels.to(device))

    def margin(self, logits: Tensor) -> Tensor:
        """Label's logit minus the strongest rival's; NaN counts as -inf."""
        own = logits.gather(1, self.labels[:, None])[:, 0]
        value = own - logits.scatter(1, self.labels[:, None], -torch.inf).amax(1)
        return torch.where(torch.isnan(value) | logits.isnan().any(1), -torch.inf, value)

    def reached(self, logits: Tensor) -> Tensor:
        """The answer is not the label, or there is none."""
        return (logits.argmax(1) != self.labels) | logits.isnan().any(1)


class Targeted(Goal):
    """One class, which is not the label. NaN reaches nothing.

    Args:
        labels: true classes int64 ``[n]``.
        targets: wanted classes int64 ``[n]``.

    Raises:
        LabelError: shapes differ, or a target is the label.
    """

    def __init__(self, labels: Tensor, targets: Tensor) -> None:
        if labels.shape != targets.shape or targets.dtype != torch.int64:
            raise LabelError(
                "targets do not fit the labels",
                wanted=f"int64 {list(labels.shape)}",
                got=f"{targets.dtype} {list(targets.shape)}",
            )
        if bool((labels == targets).any()):
            raise LabelError(
                "a target is the sample's own label",
                wanted="another class",
                got=f"{int((labels == targets).sum())} samples where both are the same",
                hint="take another target, or attack untargeted",
            )
        self.labels, self.targets = labels, targets

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> Targeted:
        """The goal of those samples."""
        return Targeted(self.labels[rows], self.targets[rows])

    def to(self, device: torch.device) -> Targeted:
        """The same on another device."""
        return Targeted(self.labels.to(device), self.targets.to(device))

    def margin(self, logits: Tensor) -> Tensor:
        """The strongest other logit minus the target's; NaN counts as +inf."""
        own = logits.gather(1, self.targets[:, None])[:, 0]
        value = logits.scatter(1, self.targets[:, None], -torch.inf).amax(1) - own
        return torch.where(torch.isnan(value) | logits.isnan().any(1), torch.inf, value)

    def reached(self, logits: Tensor) -> Tensor:
        """The answer is the target."""
        return (logits.argmax(1) == self.targets) & ~logits.isnan().any(1)


class Reach(Goal):
    """Outputs inside an unsafe set, the same for all samples. NaN reaches nothing.

    Args:
        unsafe: the set.
        count: number of samples.
    """

    def __init__(self, unsafe: UnsafeSet, count: int) -> None:
        self.unsafe, self.count = unsafe, count

    def __len__(self) -> int:
        return self.count

    def take(self, rows: Tensor) -> Reach:
        """The goal of those samples."""
        return Reach(self.unsafe, int(rows.sum()) if rows.dtype == torch.bool else len(rows))

    def to(self, device: torch.device) -> Reach:
        """Itself: half-spaces follow the outputs."""
        return self

    def margin(self, logits: Tensor) -> Tensor:
        """Distance to the nearest clause (``UnsafeSet.distance``); NaN counts as +inf."""
        value = self.unsafe.distance(logits)
        return torch.where(torch.isnan(value) | logits.isnan().any(1), torch.inf, value)

    def reached(self, logits: Tensor) -> Tensor:
        """The outputs lie in the set."""
        return self.unsafe.contains(logits) & ~logits.isnan().any(1)


def as_goal(wanted: Tensor | Goal, classes: int, count: int, device: torch.device) -> Goal:
    """Labels mean: any other class.

    Raises:
        LabelError: labels or targets that are no classes of the model.
        PropertyError: an unsafe set of another number of outputs.
    """
    goal = Untargeted(wanted) if isinstance(wanted, Tensor) else wanted
    for name in ("labels", "targets"):
        values = getattr(goal, name, None)
        if values is not None and (values.dtype != torch.int64 or bool(((values < 0) | (values >= classes)).any())):
            raise LabelError(f"{name} do not fit the classes", wanted=f"int64 in 0..{classes - 1}", got=values.dtype)
    if isinstance(goal, Reach) and goal.unsafe.outputs != classes:
        raise PropertyError(
            "the unsafe set is not about this model's outputs", wanted=f"{classes} outputs", got=goal.unsafe.outputs
        )
    if len(goal) != count:
        raise LabelError("there is not one goal per sample", wanted=count, got=len(goal))
    return goal.to(device)
