"""Everything about the real data that generated samples are held against, prepared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.data.dataset import Dataset
from robust.errors import DataShapeError
from robust.generation.judge import Judge, fit_judge
from robust.generation.neighbours import nearest
from robust.properties.input_sets import Box
from robust.statistics import wilson


@dataclass(frozen=True, eq=False)
class Bench:
    """A judge with its own marks on held-out real samples.

    Attributes:
        judge: trained on the known samples.
        names: one per label.
        right: held-out samples it names rightly.
        count: held-out samples.
        commonest: share of the commonest label among them: what guessing would reach.
        real_counts: how often it gives each label to held-out real samples ``[labels]``.
    """

    judge: Judge
    names: tuple[str, ...]
    right: int
    count: int
    commonest: float
    real_counts: NDArray[np.int64]

    @property
    def competent(self) -> bool:
        """Better than always giving the commonest label, with confidence."""
        return wilson(self.right, self.count).low > self.commonest


@dataclass(frozen=True, eq=False)
class CopyGround:
    """Distances of the copy test, in box units: inputs scaled to [0, 1] and flattened."""

    training: Tensor
    held_out: NDArray[np.float64]
    held_out_neighbours: Tensor


@dataclass(frozen=True, eq=False)
class RealSide:
    """What the measures need to know of the real data.

    Attributes:
        box: of the inputs.
        known: real samples that are not the target ``[r, *shape]``: the training data, or half of the evaluation data.
        known_labels: ``[r]``.
        target_features: features of the held-out samples ``[m, d]``.
        target_labels: ``[m]``.
        feature_map: samples ``[n, *shape]`` to features ``[n, d]``.
        layer: what the features are, in words.
        bench: the judge of classes.
        groups: a judge per sensitive column.
        copy_ground: None without training data.
    """

    box: Box
    known: Tensor
    known_labels: NDArray[np.int64]
    target_features: Tensor
    target_labels: NDArray[np.int64]
    feature_map: Callable[[Tensor], Tensor]
    layer: str
    bench: Bench
    groups: Mapping[str, Bench]
    copy_ground: CopyGround | None

    def scaled(self, samples: Tensor) -> Tensor:
        """Flat float32 ``[n, d]`` in box units."""
        return to_box_units(samples, self.box)


def to_box_units(samples: Tensor, box: Box) -> Tensor:
    """``[n, *shape]`` to ``[n, d]`` with every coordinate's box at [0, 1]; a coordinate without width is left at 0."""
    lower, width = box.lower.to(samples), (box.upper - box.lower).to(samples)
    return ((samples - lower) / torch.where(width > 0, width, torch.ones_like(width))).flatten(1)


def real_side(
    data: Dataset,
    reference: Dataset | None,
    class_names: tuple[str, ...],
    box: Box,
    feature_map: Callable[[Tensor], Tensor],
    layer: str,
    rng: np.random.Generator,
    device: torch.device,
) -> RealSide:
    """Prepare the real side.

    With ``reference`` (training data) the target is all of ``data``, and the copy test is possible. Without it ``data``
    is cut in two at random: one half to know, one half as target.

    Raises:
        DataShapeError: the reference has samples of another shape than the data.
    """
    target, known = data, reference
    if known is None:
        order = rng.permutation(len(data))
        known, target = data.take(np.sort(order[::2])), data.take(np.sort(order[1::2]))
    elif known.sample_shape != data.sample_shape:
        raise DataShapeError(
            f"{known.source}: training samples differ in shape from the evaluation samples",
            wanted=data.sample_shape,
            got=known.sample_shape,
        )
    known_samples, target_samples = _tensor(known, device), _tensor(target, device)
    known_flat, target_flat = to_box_units(known_samples, box), to_box_units(target_samples, box)
    inputs, held_out = _array(known_flat), _array(target_flat)
    groups = {}
    for column in sorted(set(known.groups) & set(target.groups)):
        names = tuple(np.unique(known.groups[column]).tolist())
        if len(names) > 1 and set(np.unique(target.groups[column]).tolist()) <= set(names):
            codes, target_codes = (np.searchsorted(names, side.groups[column]) for side in (known, target))
            groups[column] = _bench(inputs, codes, held_out, target_codes, names, rng)
    ground = None
    if reference is not None:
        distances, rows = nearest(target_flat, known_flat)
        ground = CopyGround(known_flat, _array(distances[:, 0]), rows[:, 0])
    return RealSide(
        box=box,
        known=known_samples,
        known_labels=known.labels,
        target_features=feature_map(target_samples),
        target_labels=target.labels,
        feature_map=feature_map,
        layer=layer,
        bench=_bench(inputs, known.labels, held_out, target.labels, class_names, rng),
        groups=groups,
        copy_ground=ground,
    )


def _bench(
    inputs: NDArray[np.float64],
    labels: NDArray[np.int64],
    held_out: NDArray[np.float64],
    held_out_labels: NDArray[np.int64],
    names: tuple[str, ...],
    rng: np.random.Generator,
) -> Bench:
    judge = fit_judge(inputs, labels, rng)
    given = judge(held_out)
    return Bench(
        judge=judge,
        names=names,
        right=int((given == held_out_labels).sum()),
        count=len(given),
        commonest=float(np.bincount(held_out_labels).max() / len(given)),
        real_counts=np.bincount(given, minlength=len(names)),
    )


def _tensor(data: Dataset, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(data.samples, dtype=np.float32)).to(device)


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.detach().to("cpu", torch.float64).numpy()
