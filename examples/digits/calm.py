"""Train a digits classifier that is provably unsure of what shows nothing: ``python -m examples.digits.calm``.

The counterpart of a proof of absence: the loss bounds the logits over whole boxes of noise by intervals and pushes them
together, as Bitterwolf, Meinke and Hein do (Certifiably Adversarially Robust Detection of Out-of-Distribution Data,
2020). Afterwards the proof goes through, and on the shipped classifier the same sets hold fooling inputs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from examples.digits.data import HERE, split
from examples.digits.model import CLASSES, digits_classifier
from examples.files import GraphWriter, batch_of
from robust.graph import trace
from robust.properties import Box
from verifiers import Deadline, Network
from verifiers.confidence import largest_confidence

PIXELS = (1, 8, 8)


def interval(model: nn.Sequential, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of the logits over boxes ``[n, 1, 8, 8]``, differentiable (Gowal et al. 2018)."""
    middle, half = (low + high) / 2, (high - low) / 2
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            settings = (layer.stride, layer.padding)
            middle = functional.conv2d(middle, layer.weight, layer.bias, *settings)
            half = functional.conv2d(half, layer.weight.abs(), None, *settings)
        elif isinstance(layer, nn.Linear):
            middle, half = functional.linear(middle, layer.weight, layer.bias), half @ layer.weight.abs().T
        elif isinstance(layer, nn.ReLU):
            below, above = (middle - half).relu(), (middle + half).relu()
            middle, half = (below + above) / 2, (above - below) / 2
        else:
            middle, half = layer(middle), layer(half)
    return middle - half, middle + half


def unrest(low: Tensor, high: Tensor) -> Tensor:
    """How far apart two logits may be, ``log(1 + gap^2 / 2)`` as in section 3 of the paper: ``[n]``."""
    gap = high.amax(1) - low.amin(1)
    return torch.log1p(gap.square() / 2)


def boxes(count: int, radius: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise around images of one brightness, half of them grey."""
    level = torch.rand(count, 1, 1, 1, generator=generator)
    level[: count // 2] = 0.5
    middle = level.expand(count, *PIXELS)
    return (middle - radius).clamp(0, 1), (middle + radius).clamp(0, 1)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--radius", type=float, default=0.2, help="half width of the noise at the end of training")
    words.add_argument("--epochs", type=int, default=200)
    words.add_argument("--weight", type=float, default=0.03, help="of the bounded confidence in the loss")
    words.add_argument("--output", type=Path, default=Path("calm.onnx"))
    asked = words.parse_args()

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    samples, labels, others, truth = split()
    x, y = torch.from_numpy(samples.astype(np.float32)), torch.from_numpy(labels)
    model = digits_classifier()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for epoch in range(asked.epochs):
        share = min(1.0, 2 * epoch / asked.epochs)
        for batch in torch.randperm(len(x), generator=generator).split(64):
            low, high = interval(model, *boxes(32, 1.1 * share * asked.radius, generator))
            loss = functional.cross_entropy(model(x[batch]), y[batch]) + asked.weight * unrest(low, high).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval().requires_grad_(False)

    shipped = digits_classifier()
    shipped.load_state_dict(load_file(HERE / "classifier.safetensors"))
    test = torch.from_numpy(others.astype(np.float32))
    for name, network in (("shipped", shipped.eval().requires_grad_(False)), ("calm", model)):
        right = float((network(test).argmax(1).numpy() == truth).mean())
        prepared = Network(trace(network, PIXELS, device=torch.device("cpu")))
        grey = torch.full(PIXELS, 0.5)
        clock = time.perf_counter()
        sure = largest_confidence(prepared, Box(grey - asked.radius, grey + asked.radius), Deadline(30))
        print(
            f"{name}: {right:.1%} right; over noise of half width {asked.radius:g} around grey its confidence is "
            f"proved never above {sure.bound:.4f} and reaches {sure.reached:.4f} ({time.perf_counter() - clock:.1f} s)"
        )
    writer = GraphWriter()
    writer.layers(model, "image", "net", "logits")
    writer.save(asked.output, [batch_of("image", PIXELS)], batch_of("logits", (CLASSES,)), "digits, unsure of noise")
    print(f"written: {asked.output}")


if __name__ == "__main__":
    main()
