"""Networks whose reason is known by construction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 8
PATTERN = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def detector() -> nn.Module:
    """Class 1 answers a diagonal of two bright pixels beside two dark ones, wherever it is; class 0 is constant."""
    convolution = nn.Conv2d(1, 1, 2)
    module = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(49, 2))
    with torch.no_grad():
        convolution.weight.copy_((2 * PATTERN - 1)[None, None])
        convolution.bias.fill_(-1.0)
        module[3].weight.copy_(torch.stack([torch.zeros(49), torch.full((49,), 6.0)]))
        module[3].bias.zero_()
    return module.eval().requires_grad_(False)


def planted(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Grey noise ``[n, 1, 8, 8]`` with the diagonal at a random place, and its mask ``[n, 8, 8]``."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.3 * torch.rand(count, 1, SIDE, SIDE, generator=generator)
    masks = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    for place, (row, column) in enumerate(torch.randint(0, SIDE - 1, (count, 2), generator=generator).tolist()):
        x[place, 0, row : row + 2, column : column + 2] = PATTERN
        masks[place, row : row + 2, column : column + 2] = True
    return x, masks


def pixel_reader() -> nn.Module:
    """Class 1 is ten times the pixel (2, 5); no other pixel matters."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 2))
    with torch.no_grad():
        module[1].weight.zero_()
        module[1].bias.zero_()
        module[1].weight[1, 2 * SIDE + 5] = 10.0
    return module.eval().requires_grad_(False)
