"""Train the digits classifier: ``python -m examples.digits.train_classifier`` (about half a minute on one core).

The loss mixes cross entropy on images after projected gradient descent (Madry et al. 2018) with cross entropy on the
worst logits of interval bounds (Gowal et al. 2018), both in an L-infinity ball that grows to ``EPSILON``. So bounds
can prove something, and the gap between what attacks break and what bounds prove stays visible.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.digits.data import HERE, split
from examples.digits.model import digits_classifier, initialise
from examples.files import GraphWriter, batch_of, save_arrays, save_weights

SEED = 0
EPOCHS = 120
EPSILON = 0.06
INTERVAL_WEIGHT = 0.15
BATCH = 64


def attack(model: nn.Module, x: Tensor, y: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Five steps of projected gradient descent from a random start in the ball, cut to [0, 1]."""
    low, high = (x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1)
    moved = low + (high - low) * torch.rand(x.shape, generator=generator)
    for _ in range(5):
        moved.requires_grad_(True)
        (slope,) = torch.autograd.grad(functional.cross_entropy(model(moved), y), moved)
        moved = (moved.detach() + epsilon / 2 * slope.sign()).clamp(low, high)
    return moved


def worst_logits(model: nn.Sequential, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """Interval bounds: the lower bound of the right logit and the upper bounds of all others, ``[n, 10]``."""
    low, high = (x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1)
    for layer in model:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            centre, radius = (low + high) / 2, (high - low) / 2
            middle = layer(centre)
            if isinstance(layer, nn.Linear):
                spread = functional.linear(radius, layer.weight.abs())
            else:
                spread = functional.conv2d(radius, layer.weight.abs(), stride=layer.stride, padding=layer.padding)
            low, high = middle - spread, middle + spread
        else:
            low, high = layer(low), layer(high)
    right = functional.one_hot(y, low.shape[1]).bool()
    return torch.where(right, low, high)


def train(samples: np.ndarray, labels: np.ndarray) -> nn.Sequential:
    generator = torch.Generator().manual_seed(SEED)
    model = digits_classifier()
    initialise(model, generator)
    x, y = torch.from_numpy(samples), torch.from_numpy(labels)
    steps = EPOCHS * (len(x) // BATCH)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    step = 0
    for _ in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            grown = min(1.0, 2 * step / steps)
            moved = attack(model, x[batch], y[batch], EPSILON * grown, generator)
            loss = (1 - INTERVAL_WEIGHT * grown) * functional.cross_entropy(model(moved), y[batch])
            bound = worst_logits(model, x[batch], y[batch], EPSILON * grown)
            loss = loss + INTERVAL_WEIGHT * grown * functional.cross_entropy(bound, y[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            step += 1
    return model.eval()


def figures(model: nn.Sequential, samples: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, accuracy after the attack above, and share proved by interval bounds, at several epsilons."""
    x, y = torch.from_numpy(samples), torch.from_numpy(labels)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        found = {"accuracy": float((model(x).argmax(1) == y).float().mean())}
    for epsilon in (0.01, 0.02, 0.05, 0.1):
        moved = attack(model, x, y, epsilon, generator)
        with torch.no_grad():
            found[f"attacked at {epsilon}"] = float((model(moved).argmax(1) == y).float().mean())
            proved = worst_logits(model, x, y, epsilon).argmax(1) == y
            found[f"proved at {epsilon}"] = float(proved.float().mean())
    return found


def main() -> None:
    samples, labels, test_samples, test_labels = split()
    model = train(samples, labels)
    save_arrays(HERE / "train.npz", samples, labels)
    save_arrays(HERE / "test.npz", test_samples, test_labels)
    save_weights(model, HERE / "classifier.safetensors")
    writer = GraphWriter()
    writer.layers(model, "image", "net", "logits")
    writer.save(HERE / "classifier.onnx", [batch_of("image", (1, 8, 8))], batch_of("logits", (10,)), "digits")
    for name, value in figures(model, test_samples, test_labels).items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    main()
