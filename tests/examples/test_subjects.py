"""The shipped subjects: what their READMEs claim, on the committed files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from examples.diabetes.model import FEATURES, diabetes_classifier
from examples.digits import train_classifier, train_generator
from examples.digits.data import split
from examples.digits.model import DigitsDecoder, digits_classifier, digits_decoder

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS, DIABETES = EXAMPLES / "digits", EXAMPLES / "diabetes"


def trained(module: nn.Module, weights: Path) -> nn.Module:
    module.load_state_dict(load_file(str(weights)))
    return module.eval().requires_grad_(False)


def onnx_answers(path: Path, **inputs: np.ndarray) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(str(path)).run(None, inputs)[0])


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    with np.load(DIGITS / "test.npz", allow_pickle=False) as file:
        return file["samples"], file["labels"]


def test_digits_split_is_the_committed_one_and_disjoint(digits: tuple[np.ndarray, np.ndarray]) -> None:
    samples, labels, test_samples, test_labels = split()
    with np.load(DIGITS / "train.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["samples"], samples)
        np.testing.assert_array_equal(file["labels"], labels)
    np.testing.assert_array_equal(digits[0], test_samples)
    np.testing.assert_array_equal(digits[1], test_labels)
    rows = np.concatenate([samples, test_samples]).reshape(1797, 64)
    assert len(np.unique(rows, axis=0)) == 1797


def test_digits_classifier_is_as_accurate_as_said(digits: tuple[np.ndarray, np.ndarray]) -> None:
    samples, labels = digits
    logits = onnx_answers(DIGITS / "classifier.onnx", image=samples)
    assert logits.shape == (500, 10)
    accuracy = float((logits.argmax(1) == labels).mean())
    assert accuracy == pytest.approx(0.974, abs=0.0021)
    assert "| right after the attack | 0.974 |" in (DIGITS / "README.md").read_text()


def test_digits_classifier_torch_and_onnx_agree(digits: tuple[np.ndarray, np.ndarray]) -> None:
    network = trained(digits_classifier(), DIGITS / "classifier.safetensors")
    expected = network(torch.from_numpy(digits[0])).numpy()
    np.testing.assert_allclose(onnx_answers(DIGITS / "classifier.onnx", image=digits[0]), expected, atol=1e-4)
    one = onnx_answers(DIGITS / "classifier.onnx", image=digits[0][:1])
    np.testing.assert_allclose(one, expected[:1], atol=1e-4)


def test_digits_decoder_makes_the_class_asked_for() -> None:
    latents = np.random.default_rng(3).standard_normal((500, 8)).astype(np.float32)
    asked = np.arange(500, dtype=np.int64) % 10
    images = onnx_answers(DIGITS / "decoder.onnx", latent=latents, condition=asked)
    assert images.shape == (500, 1, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1
    decoder = trained(digits_decoder(), DIGITS / "decoder.safetensors")
    expected = decoder(torch.from_numpy(latents), torch.from_numpy(asked)).numpy()
    np.testing.assert_allclose(images, expected, atol=1e-5)
    train, labels, _, _ = split()
    judge = KNeighborsClassifier(3).fit(train.reshape(-1, 64), labels)
    assert (judge.predict(images.reshape(-1, 64)) == asked).mean() > 0.95


def test_digits_readme_gives_the_figures_of_the_scripts(digits: tuple[np.ndarray, np.ndarray]) -> None:
    readme = (DIGITS / "README.md").read_text()
    network = trained(digits_classifier(), DIGITS / "classifier.safetensors")
    assert isinstance(network, nn.Sequential)
    found = train_classifier.figures(network, *digits)
    for row, key in (("right after the attack", "attacked"), ("proved by intervals", "proved")):
        told = next(line for line in readme.splitlines() if line.startswith(f"| {row}")).split("|")[3:-1]
        measured = [found[f"{key} at {epsilon}"] for epsilon in (0.01, 0.02, 0.05, 0.1)]
        assert measured == pytest.approx([float(cell) for cell in told], abs=0.006)
    decoder = trained(digits_decoder(), DIGITS / "decoder.safetensors")
    assert isinstance(decoder, DigitsDecoder)
    made = train_generator.figures(decoder, *digits)
    assert made["judge agrees with the class asked for"] == pytest.approx(0.9925, abs=0.003)
    assert "in 0.9925 of them" in readme
    assert made["pixel standard deviation within a class"] == pytest.approx(0.127, abs=0.001)


def test_diabetes_classifier_is_as_accurate_as_said() -> None:
    table = pd.read_csv(DIABETES / "test.csv")
    features = table[list(FEATURES)].to_numpy(np.float32)
    logits = onnx_answers(DIABETES / "classifier.onnx", features=features)
    right = pd.Series(logits.argmax(1) == table["progression"].to_numpy())
    readme = (DIABETES / "README.md").read_text()
    told = dict(re.findall(r"^\| (all|sex=\d) \| \d+ \| ([0-9.]+) \|", readme, flags=re.MULTILINE))
    assert right.mean() == pytest.approx(float(told["all"]), abs=0.0075)
    for group, rate in right.groupby(table["sex_group"].to_numpy()).mean().items():
        assert rate == pytest.approx(float(told[str(group)]), abs=0.015)
    network = trained(diabetes_classifier(), DIABETES / "classifier.safetensors")
    np.testing.assert_allclose(logits, network(torch.from_numpy(features)).numpy(), atol=1e-3)


def test_committed_files_stay_small() -> None:
    files = [*DIGITS.iterdir(), *DIABETES.iterdir()]
    total = sum(path.stat().st_size for path in files if path.is_file())
    assert 100_000 < total < 400_000
