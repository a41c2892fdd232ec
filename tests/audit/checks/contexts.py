"""A context around a test double, without the audit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robust.audit.check import Check, Context, Results
from robust.data.dataset import Dataset
from robust.record import Finding
from tests.doubles import ModuleClassifier


class Mean(nn.Module):
    """Class 1 where the mean of the picture is above a limit."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1).mean(1, keepdim=True) - self.limit
        return torch.cat([score * 0, score], 1)


def dataset(samples: NDArray[Any], labels: NDArray[Any], name: str = "made") -> Dataset:
    values = tuple(map(str, range(int(labels.max()) + 1)))
    return Dataset(name, "made", samples.astype(np.float32), labels.astype(np.int64), values)


def context(
    classifier: ModuleClassifier, data: Dataset, directory: Path, *, seed: int = 0, reference: Dataset | None = None
) -> Context:
    predictions = classifier.replay(torch.from_numpy(data.samples)).argmax(1).numpy()
    return Context(
        classifier, data, reference, {}, None, seed, torch.device("cpu"), directory, predictions.astype(np.int64)
    )


def results(check: Check, settings: Any, ctx: Context) -> Results:
    return [(shard, check.run(shard, settings, ctx)) for shard in check.plan(settings, ctx)]


def findings(
    check: Check, settings: Any, ctx: Context, earlier: Mapping[str, Results] | None = None
) -> dict[str, Finding]:
    made = check.conclude(results(check, settings, ctx), settings, ctx, earlier or {})
    by_id = {finding.id: finding for finding in made}
    assert len(by_id) == len(made)
    return by_id
