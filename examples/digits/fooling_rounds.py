"""Does training on fooling images help? ``python -m examples.digits.fooling_rounds`` (half a minute on one core).

The experiment of Nguyen, Yosinski and Clune (2015, section 3.4): fool a network, add a class for fooling images, train
on what was found, and fool the new network again, for some rounds. On MNIST every new network was fooled as before.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from attacks.fooling import MapElites
from examples.digits.data import split
from examples.digits.model import CLASSES, digits_classifier
from robust.subjects import TorchClassifier

PER_ROUND = 6
"""Searches of each round, with seeds of their own: images of the fooling class."""


def network(outputs: int) -> nn.Sequential:
    model = digits_classifier()
    last = model[-1]
    assert isinstance(last, nn.Linear)
    model[-1] = nn.Linear(last.in_features, outputs)
    return model


def train(model: nn.Sequential, x: Tensor, y: Tensor, epochs: int, generator: torch.Generator) -> None:
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            optimiser.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()
    model.eval()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--epochs", type=int, default=60)
    words.add_argument("--evaluations", type=int, default=20_000, help="inputs shown in each search")
    asked = words.parse_args()

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    samples, labels, others, truth = split()
    x, y = torch.from_numpy(samples.astype(np.float32)), torch.from_numpy(labels)
    test, wanted = torch.from_numpy(others.astype(np.float32)), torch.from_numpy(truth)
    fooling = torch.zeros(0, *x.shape[1:])
    for number in range(asked.rounds + 1):
        model = network(CLASSES + (number > 0))
        inputs, classes = torch.cat([x, fooling]), torch.cat([y, torch.full((len(fooling),), CLASSES)])
        train(model, inputs, classes, asked.epochs, generator)
        subject = TorchClassifier(model, (1, 8, 8), name=f"round {number}")
        method = MapElites(evaluations=asked.evaluations)
        found = [
            method(subject, torch.Generator().manual_seed(100 * number + seed), range(CLASSES))
            for seed in range(PER_ROUND)
        ]
        sure = torch.cat([one.confidences for one in found])
        with torch.no_grad():
            right = float((model(test).argmax(1) == wanted).float().mean())
            known = (model(fooling).argmax(1) == CLASSES).float().mean() if len(fooling) else None
        old = "" if known is None else f", {float(known):.0%} of the old fooling images seen through"
        share = float((sure >= 0.99).float().mean())
        print(
            f"round {number}: {right:.1%} of the digits right{old}; fooled anew: median confidence "
            f"{float(sure.median()):.4f}, {share:.0%} of the classes at 0.99 or more",
            flush=True,
        )
        fooling = torch.cat([fooling, *(one.inputs for one in found)])


if __name__ == "__main__":
    main()
