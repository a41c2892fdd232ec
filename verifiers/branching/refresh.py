"""Bounds of later neurons, computed again inside of domains: a split changes all that comes after it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from verifiers.branching.domains import Domains
from verifiers.branching.layout import Layout, open_neurons
from verifiers.linear_bounds import LinearBounds
from verifiers.memory import Effort

ROUNDING = 1e-10
"""By this share of a neuron's largest value at the root its new bounds are moved outward."""
EMPTY = 1e-6
"""By this share of it bounds must cross before a domain is called empty."""


def refreshed(layout: Layout, domains: Domains, since: int, effort: Effort) -> Domains:
    """Domains with bounds of the nodes after ``since`` computed again by CROWN, in float64, where neurons are open.

    Args:
        layout: of the domains.
        domains: ``n``.
        since: node whose bounds have changed.
        effort: limits.
    """
    count = len(domains)
    lower, upper = domains.lower.clone(), domains.upper.clone()
    region = layout.root.region.take(torch.zeros(count, dtype=torch.int64, device=lower.device))
    for index, columns in layout.columns.items():
        if index <= since or index in layout.network.affine_prefix:
            continue
        effort.check()
        linear = LinearBounds(layout.network, region, layout.bounds(lower, upper, torch.float64), layout.root.rules)
        open_ = open_neurons(linear, index)[:, layout.places[index]]
        most = int(open_.sum(1).max())
        if not most:
            continue
        picked = open_.to(torch.uint8).topk(most, dim=1).indices
        places = layout.places[index][picked]
        ends = linear.minimum(layout.network.signed_elements(index, places))
        ends = torch.nan_to_num(ends, nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)
        slack = ROUNDING * layout.reach[index][places]
        low, high = lower[:, columns], upper[:, columns]
        low.scatter_(1, picked, torch.maximum(low.gather(1, picked), ends[:, :most] - slack))
        high.scatter_(1, picked, torch.minimum(high.gather(1, picked), slack - ends[:, most:]))
    return replace(domains, lower=lower, upper=upper)


def settled(layout: Layout, domains: Domains) -> tuple[Domains, Tensor]:
    """The domains with their bounds in order, and which of them are empty: bool ``[n]``."""
    reach = torch.cat([layout.reach[index][places] for index, places in layout.places.items()])
    empty = (domains.lower - domains.upper > EMPTY * reach).any(1)
    low, high = torch.minimum(domains.lower, domains.upper), torch.maximum(domains.lower, domains.upper)
    return replace(domains, lower=low, upper=high), empty
