"""The weight-randomisation sanity check (Adebayo et al. 2018, *Sanity Checks for Saliency Maps*, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robust.explanation.rank_correlation import rank_correlation


def shuffled_weights(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Shuffle the entries of every parameter and float buffer within itself, in place: what was learnt is gone, the
    scale stays. Buffers too, because exported programs keep weights there.

    Args:
        module: changed and returned; give a copy.
        generator: on the CPU.
    """
    with torch.no_grad():
        for parameter in [*module.parameters(), *module.buffers()]:
            if parameter.is_floating_point() and parameter.numel() > 1:
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return module


def unrelated_correlation(maps: Tensor) -> Tensor:
    """The null of the sanity check: each map against another sample's map of the same model, ``[n]``.

    Maps of all samples resemble each other where all pictures do (an empty border, say). A map that is no more like
    that of shuffled weights than like a stranger's owes its pattern to the weights.
    """
    return rank_correlation(maps, maps.roll(1, 0))
