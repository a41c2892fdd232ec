"""The networks of the attack benchmark: a small convolutional network, trained plainly and by PGD, made on first use."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import SHARED
from robust.subjects.torch_classifier import TorchClassifier

TRAINING_RADIUS = 0.2
EPOCHS = {"standard": 6, "adversarial": 14}
BATCH = 100


def digits(name: str) -> tuple[Tensor, Tensor]:
    """Images float32 ``[n, 1, 28, 28]`` in [0, 1] and labels of ``train`` or ``test``."""
    with np.load(SHARED.parent / "mnist" / f"{name}.npz", allow_pickle=False) as file:
        images = torch.from_numpy(file["images"][:, None].astype(np.float32) / 255)
        return images, torch.from_numpy(file["labels"].astype(np.int64))


def network(kind: str) -> nn.Sequential:
    """The trained network, from the temporary folder where an earlier run left it.

    Args:
        kind: ``standard`` or ``adversarial`` (Madry et al. 2018, L-inf radius 0.2, 10 steps).
    """
    file = Path(tempfile.gettempdir()) / f"robust-audit-benchmark-{kind}.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = _untrained()
        if file.is_file():
            module.load_state_dict(torch.load(file, weights_only=True))
        else:
            _train(module, kind)
            torch.save(module.state_dict(), file)
    return module.eval()


def classifier(kind: str) -> TorchClassifier:
    """The network as a subject."""
    return TorchClassifier(network(kind), (1, 28, 28), output="logits", name=f"small CNN, {kind}")


def _untrained() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


def _train(module: nn.Sequential, kind: str) -> None:
    x, y = digits("train")
    epochs = EPOCHS[kind]
    optimiser = torch.optim.Adam(module.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=epochs * len(x) // BATCH)
    for epoch in range(epochs):
        radius = TRAINING_RADIUS * min(1.0, (epoch + 1) / 6) if kind == "adversarial" else 0.0
        for rows in torch.randperm(len(x)).split(BATCH):
            batch = _attacked(module, x[rows], y[rows], radius) if radius else x[rows]
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(batch), y[rows]).backward()
            optimiser.step()
            schedule.step()
        print(f"{kind}: epoch {epoch + 1} of {epochs}", flush=True)


def _attacked(module: nn.Module, x: Tensor, y: Tensor, radius: float) -> Tensor:
    point = (x + radius * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(10):
        point.requires_grad_()
        (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(module(point), y), point)
        point = (point.detach() + radius / 4 * gradient.sign()).clamp(x - radius, x + radius).clamp(0, 1)
    return point.detach()
