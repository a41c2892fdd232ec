"""Train the conditional VAE of the digits: ``python -m examples.digits.train_generator`` (under a minute on one core).

Only the decoder is kept. Binary cross entropy on pixel levels, KL divergence weighted by ``BETA`` (Higgins et al.
2017); both encoder and decoder see the class.
"""

from __future__ import annotations

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.nn import functional

from examples.digits.data import HERE, split
from examples.digits.model import CLASSES, LATENT, DigitsDecoder, digits_decoder, initialise
from examples.files import GraphWriter, batch_of, save_weights

SEED = 0
EPOCHS = 400
BETA = 0.2
BATCH = 64


class Encoder(nn.Module):
    """Image and class to mean and log variance of the code."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64 + CLASSES, 192), nn.ReLU(), nn.Linear(192, 2 * LATENT))

    def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        code = self.net(torch.cat([image.flatten(1), functional.one_hot(label, CLASSES).float()], 1))
        mean, log_variance = code.chunk(2, 1)
        return mean, log_variance


def train(samples: np.ndarray, labels: np.ndarray) -> DigitsDecoder:
    generator = torch.Generator().manual_seed(SEED)
    encoder, decoder = Encoder(), digits_decoder()
    initialise(encoder, generator)
    initialise(decoder, generator)
    x, y = torch.from_numpy(samples), torch.from_numpy(labels)
    steps = EPOCHS * (len(x) // BATCH)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            mean, log_variance = encoder(x[batch], y[batch])
            noise = torch.randn(mean.shape, generator=generator)
            image = decoder(mean + (log_variance / 2).exp() * noise, y[batch])
            misfit = functional.binary_cross_entropy(image, x[batch], reduction="sum")
            divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
            loss = (misfit + BETA * divergence) / len(batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return decoder.eval()


def export(decoder: DigitsDecoder) -> None:
    writer = GraphWriter()
    code = writer.layer(decoder.code, "latent", "code")
    table = writer.constant("condition.weight", decoder.condition.weight.detach().numpy())
    bias = writer.node("Gather", (table, "condition"), "condition.row", axis=0)
    hidden = writer.node("Add", (code, bias), "hidden")
    writer.layers(decoder.body, hidden, "body", "image")
    inputs = [batch_of("latent", (LATENT,)), batch_of("condition", (), TensorProto.INT64)]
    writer.save(HERE / "decoder.onnx", inputs, batch_of("image", (1, 8, 8)), "digits decoder")


def figures(decoder: DigitsDecoder, samples: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Agreement of an independent judge (support vector machine) with the class asked for, and pixel spread."""
    from sklearn.svm import SVC

    train_samples, train_labels, _, _ = split()
    judge = SVC(gamma=1.0 / 64 / float(train_samples.var())).fit(train_samples.reshape(-1, 64), train_labels)
    asked = torch.arange(CLASSES).repeat_interleave(200)
    with torch.no_grad():
        latents = torch.randn(len(asked), LATENT, generator=torch.Generator().manual_seed(SEED))
        images = decoder(latents, asked).flatten(1).numpy()
    return {
        "judge on held-out digits": float((judge.predict(samples.reshape(-1, 64)) == labels).mean()),
        "judge agrees with the class asked for": float((judge.predict(images) == asked.numpy()).mean()),
        "pixel standard deviation within a class": float(
            np.mean([images[asked.numpy() == label].std(0).mean() for label in range(CLASSES)])
        ),
        "the same of held-out digits": float(
            np.mean([samples.reshape(-1, 64)[labels == label].std(0).mean() for label in range(CLASSES)])
        ),
    }


def main() -> None:
    samples, labels, test_samples, test_labels = split()
    decoder = train(samples, labels)
    save_weights(decoder, HERE / "decoder.safetensors")
    export(decoder)
    for name, value in figures(decoder, test_samples, test_labels).items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    main()
