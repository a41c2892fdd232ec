"""Train the diabetes classifier: ``python -m examples.diabetes.train_classifier`` (seconds).

Efron et al. (2004), as scikit-learn ships it, in raw units: will disease progression after a year lie above the
median of all patients? The ONNX file takes the ten columns as they stand in the CSV files; scaling is inside.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
import pandas as pd
import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional

from examples.diabetes.model import FEATURES, HERE, diabetes_classifier
from examples.digits.model import initialise
from examples.files import GraphWriter, batch_of, save_weights

SEED = 0
EPOCHS = 40  # the best of 20, 40, 80, 150 in 5-fold cross-validation on the training part (0.743)
BATCH = 32
AGE_EDGES = (0, 40, 55, 200)
AGE_NAMES = ("under 40", "40 to 54", "55 and over")


def table() -> pd.DataFrame:
    """Ten raw features, two group columns as text, and the label column ``progression`` (0 or 1)."""
    raw = load_diabetes(as_frame=True, scaled=False)
    frame = raw.data[list(FEATURES)].copy()
    frame["sex_group"] = "sex=" + frame["sex"].astype(int).astype(str)
    frame["age_group"] = pd.cut(frame["age"], AGE_EDGES, right=False, labels=AGE_NAMES).astype(str)
    frame["progression"] = (raw.target > raw.target.median()).astype(int)
    return frame


def train(frame: pd.DataFrame) -> nn.Sequential:
    """The network on raw features: trained on standardised ones, the standardisation then folded into layer one."""
    generator = torch.Generator().manual_seed(SEED)
    x = frame[list(FEATURES)].to_numpy(np.float64)
    mean, deviation = x.mean(0), x.std(0)
    inputs = torch.from_numpy(((x - mean) / deviation).astype(np.float32))
    labels = torch.tensor(frame["progression"].tolist())
    model = diabetes_classifier()
    initialise(model, generator)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs), generator=generator)
        for start in range(0, len(inputs), BATCH):
            batch = order[start : start + BATCH]
            noisy = inputs[batch] + 0.3 * torch.randn(inputs[batch].shape, generator=generator)
            loss = functional.cross_entropy(model(noisy), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    first = model[0]
    with torch.no_grad():
        weight = first.weight.double() / torch.from_numpy(deviation)
        first.bias.copy_(first.bias.double() - weight @ torch.from_numpy(mean))
        first.weight.copy_(weight)
    return model.eval()


def main() -> None:
    frame = table()
    train_part, test_part = train_test_split(frame, test_size=142, stratify=frame["progression"], random_state=SEED)
    model = train(train_part)
    train_part.round(4).to_csv(HERE / "train.csv", index=False)
    test_part.round(4).to_csv(HERE / "test.csv", index=False)
    save_weights(model, HERE / "classifier.safetensors")
    writer = GraphWriter()
    writer.layers(model, "features", "net", "logits")
    writer.save(
        HERE / "classifier.onnx", [batch_of("features", (len(FEATURES),))], batch_of("logits", (2,)), "diabetes"
    )
    runtime = onnxruntime.InferenceSession(str(HERE / "classifier.onnx"))
    logits = runtime.run(None, {"features": test_part[list(FEATURES)].to_numpy(np.float32)})[0]
    right = logits.argmax(1) == test_part["progression"].to_numpy()
    print(f"accuracy: {right.mean():.4f} on {len(right)}")
    for group in ("sex_group", "age_group"):
        print(pd.Series(right).groupby(test_part[group].to_numpy()).agg(["mean", "size"]).to_string())


if __name__ == "__main__":
    main()
