"""Train the digits classifier against rotations: ``python -m examples.digits.harden`` (under a minute on one core).

The story of a finding: an attack shows that the classifier, hardened against small changes of every pixel, breaks under
rotations; it is trained against both; the same attack, and the old witnesses, show what became of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from attacks.changes.named import change_of
from attacks.training import InBall, UnderChange, adversarial_training
from examples.digits.data import HERE, split
from examples.digits.model import digits_classifier
from examples.files import GraphWriter, batch_of


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--against", default="rotation=15", help="a change in the words of `robust attack --change`")
    words.add_argument("--epsilon", type=float, default=0.06, help="L-infinity radius that is kept up beside it")
    words.add_argument("--epochs", type=int, default=40)
    words.add_argument("--output", type=Path, default=Path("hardened.onnx"))
    asked = words.parse_args()

    samples, labels, _, _ = split()
    x, y = torch.from_numpy(samples.astype(np.float32)), torch.from_numpy(labels)
    model = digits_classifier()
    model.load_state_dict(load_file(HERE / "classifier.safetensors"))
    trained = adversarial_training(
        model,
        x,
        y,
        (InBall(asked.epsilon), UnderChange(change_of(asked.against))),
        epochs=asked.epochs,
        learning_rate=3e-3,
        watch=lambda epoch, loss: print(f"epoch {epoch}: loss {loss:.4f}") if epoch % 10 == 0 else None,
    )
    assert isinstance(trained, torch.nn.Sequential)
    writer = GraphWriter()
    writer.layers(trained, "image", "net", "logits")
    writer.save(asked.output, [batch_of("image", (1, 8, 8))], batch_of("logits", (10,)), "digits, hardened")
    print(f"written: {asked.output}")


if __name__ == "__main__":
    main()
