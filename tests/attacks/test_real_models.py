"""The published accuracy under PGD of real networks is an upper bound for ours; their proved bound a lower one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from attacks import PGD
from attacks.fooling import GradientAscent, MapElites
from tests.doubles import ModuleClassifier

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="the shared data are not here"),
]


class Normalise(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 0.1307) / 0.3081


def mnist_cnn() -> ModuleClassifier:
    load_file = pytest.importorskip("safetensors.torch").load_file
    weights = load_file(SHARED / "models" / "mnist_cnn.safetensors")
    layers: dict[str, nn.Module] = {
        "features.0": nn.Conv2d(1, 32, 3, padding=1),
        "features.3": nn.Conv2d(32, 64, 3, padding=1),
        "classifier.0": nn.Linear(3136, 128),
        "classifier.2": nn.Linear(128, 10),
    }
    for name, layer in layers.items():
        layer.load_state_dict({k: weights[f"{name}.{k}"] for k in ("weight", "bias")})
    first, second, third, last = layers.values()
    pool, relu = nn.MaxPool2d(2), nn.ReLU()
    module = nn.Sequential(Normalise(), first, relu, pool, second, relu, pool, nn.Flatten(), third, relu, last)
    return ModuleClassifier(module.eval(), (1, 28, 28), 10)


def test_pgd_is_no_weaker_than_the_published_figure() -> None:
    """README of the data: 0.362 after a 40-step attack of size 0.1 on the first 1,000; here a sixth of them."""
    with np.load(SHARED / "mnist" / "test.npz", allow_pickle=False) as file:
        images, labels = file["images"][:1000:6], file["labels"][:1000:6]
    x = torch.from_numpy(images[:, None] / np.float32(255))
    attempt = PGD()(mnist_cnn(), x, torch.from_numpy(labels.astype(np.int64)), 0.1, torch.Generator().manual_seed(0))
    assert float(1 - attempt.success.float().mean()) < 0.362


def test_fooling_takes_fewer_evaluations_than_the_peers() -> None:
    classifier = mnist_cnn()
    for method, peers in ((GradientAscent(), 380), (MapElites(), 8500)):
        made = method(classifier, torch.Generator().manual_seed(0))
        assert bool((made.confidences >= 0.9999).all())
        assert int(made.reached.max()) < peers
