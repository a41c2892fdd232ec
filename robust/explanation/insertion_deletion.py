"""Insertion and deletion curves (Petsiuk, Das and Saenko 2018, *RISE*, section 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.explanation.maps import check_request


@dataclass(frozen=True)
class Curves:
    """Confidence in the explained class while places go in the order of the map.

    Attributes:
        shares: ``[steps + 1]``, share of places changed, from 0 to 1.
        insertion: ``[n, steps + 1]``, from the baseline to the sample, most important places first.
        deletion: ``[n, steps + 1]``, from the sample to the baseline, most important places first.
    """

    shares: Tensor
    insertion: Tensor
    deletion: Tensor

    @property
    def score(self) -> Tensor:
        """Area under insertion less area under deletion, float64 ``[n]``: higher is more faithful, 0 says nothing."""
        return torch.trapezoid(self.insertion - self.deletion, self.shares, dim=1)


def insertion_deletion(
    logits: Callable[[Tensor], Tensor], x: Tensor, classes: Tensor, maps: Tensor, baseline: Tensor, *, steps: int = 16
) -> Curves:
    """Both curves for every sample.

    Args:
        logits: ``[n, *shape] -> [n, classes]``; confidence is its softmax.
        x: ``[n, *shape]``.
        classes: int64 ``[n]``.
        maps: ``[n, H, W]`` for pictures ``[C, H, W]``, else of the shape of ``x``. Of equal values the first place goes
            first.
        baseline: ``[*shape]``, what a deleted place becomes.
        steps: points of the curves beside the first; no more than there are places.
    """
    check_request(x, classes)
    order = maps.to(x.device).flatten(1).argsort(dim=1, descending=True, stable=True)
    places = order.argsort(dim=1).view(maps.shape)
    places = places.unsqueeze(1) if maps.ndim == x.ndim - 1 else places
    count = order.shape[1]
    shares = torch.linspace(0, 1, min(steps, count) + 1, dtype=torch.float64)
    inserted, deleted = [], []
    for share in shares:
        first = places < round(float(share) * count)
        inserted.append(_confidence(logits, torch.where(first, x, baseline), classes))
        deleted.append(_confidence(logits, torch.where(first, baseline, x), classes))
    return Curves(shares, torch.stack(inserted, 1), torch.stack(deleted, 1))


def _confidence(logits: Callable[[Tensor], Tensor], x: Tensor, classes: Tensor) -> Tensor:
    with torch.no_grad():
        confidences = logits(x).double().softmax(1).cpu()
    return confidences[torch.arange(len(x)), classes.cpu()]
