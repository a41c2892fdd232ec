"""The two networks of the digits example. Factories give the shape of the network; its trained numbers are in the
safetensors file of the same name: ``examples.digits.model:digits_classifier`` with ``classifier.safetensors``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 10
LATENT = 8


def digits_classifier() -> nn.Sequential:
    """Images ``[n, 1, 8, 8]`` in [0, 1] to logits ``[n, 10]``; 224 ReLUs."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, CLASSES),
    )


class DigitsDecoder(nn.Module):
    """Decoder of a conditional variational autoencoder (Kingma and Welling 2014; Sohn, Lee and Yan 2015).

    The class enters as a bias of the first layer, so that for a fixed class the decoder is affine layers and ReLUs.
    """

    def __init__(self, hidden: int = 96) -> None:
        super().__init__()
        self.code = nn.Linear(LATENT, hidden)
        self.condition = nn.Embedding(CLASSES, hidden)
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 64),
            nn.Sigmoid(),
            nn.Unflatten(1, (1, 8, 8)),
        )

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        """Codes ``[n, 8]`` (standard normal) and classes int64 ``[n]`` to images ``[n, 1, 8, 8]`` in [0, 1]."""
        image: Tensor = self.body(self.code(latent) + self.condition(condition))
        return image


def digits_decoder() -> DigitsDecoder:
    """The decoder, not yet trained."""
    return DigitsDecoder()


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """He's uniform start (He et al. 2015) from ``generator``, so that torch's global generator is left alone."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1 and "condition" not in name:
            nn.init.kaiming_uniform_(parameter, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
