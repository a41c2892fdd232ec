"""The door: what is let in and what is refused, by arithmetic that can be checked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.data import Dataset, fit_to_box, load_data, match_labels
from robust.errors import ChanceAccuracyError, DisagreementError, ModelShapeError, NonFiniteError
from robust.subjects import TorchClassifier, accept, load_classifier
from robust.subjects.acceptance import check_chance
from tests.subjects.tiny import linear

SHARED = Path(__file__).parents[2].parent / "shared"


def threshold() -> TorchClassifier:
    """Class 1 where x > 0.5."""
    return TorchClassifier(linear([[0.0], [2.0]], [1.0, 0.0]), (1,), name="threshold")


def table(count: int = 60, flip: bool = False) -> Dataset:
    samples = np.linspace(0, 1, count, dtype=np.float32)[:, None]
    labels = ((samples[:, 0] > 0.5) != flip).astype(np.int64)
    return Dataset("t", "t.npz", samples, labels, ("0", "1"))


def test_predictions_of_a_sound_model() -> None:
    assert accept(threshold(), table()).tolist() == table().labels.tolist()


def test_swapped_labels_are_refused_with_likely_causes() -> None:
    with pytest.raises(ChanceAccuracyError, match=r"0-255[\s\S]*order of labels") as caught:
        accept(threshold(), table(flip=True))
    assert "accuracy 0.000" in str(caught.value)


def test_always_the_commonest_class_is_refused_although_mostly_right() -> None:
    labels = np.array([0] * 95 + [1] * 5)
    with pytest.raises(ChanceAccuracyError, match=r"balanced 0\.500"):
        check_chance(np.zeros(100, np.int64), labels, 2, "m")
    finds_rare = np.array([0] * 75 + [1] * 20 + [1] * 5)  # 80 % right, below the majority's 95 %
    check_chance(finds_rare, labels, 2, "m")


def test_worse_than_uniform_is_refused_even_if_it_looks() -> None:
    """Right on the one sample of a rare class, wrong on the rest: balanced accuracy alone must not pass it."""
    labels = np.array([0] * 98 + [1] * 2)
    predictions = np.array([1] * 98 + [1] * 2)
    with pytest.raises(ChanceAccuracyError):
        check_chance(predictions, labels, 2, "m")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(2, 12), st.integers(50, 400), st.integers(0, 2**31))
def test_perfect_models_pass_and_blind_ones_do_not(classes: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    check_chance(labels, labels, classes, "m")
    with pytest.raises(ChanceAccuracyError):
        check_chance(np.full(count, labels[0]), labels, classes, "m")


def test_false_acceptance_of_blind_guessing_is_near_the_level() -> None:
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(1000):
        labels, guesses = rng.choice(3, 200, p=[0.7, 0.2, 0.1]), rng.choice(3, 200, p=[0.7, 0.2, 0.1])
        try:
            check_chance(guesses, labels, 3, "m")
        except ChanceAccuracyError:
            continue
        passed += 1
    assert passed <= 40  # two tests at 1 % each, and chance


def test_shapes_and_classes() -> None:
    data = table()
    with pytest.raises(ModelShapeError, match=r"samples \[1\]"):
        accept(TorchClassifier(nn.Linear(3, 2), (3,)), data)
    three = Dataset("t", "t", data.samples, data.labels + 1, ("0", "1", "2"))
    with pytest.raises(ModelShapeError, match="fewer classes"):
        accept(threshold(), three)


class Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        z = torch.log(x - 0.25)
        return torch.cat([z, -z], 1)


class BatchMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        z = x - x.mean(0, keepdim=True)
        return torch.cat([-z, z], 1)


def test_nan_answers_name_the_first_sample() -> None:
    with pytest.raises(NonFiniteError, match="for sample 0"):
        accept(TorchClassifier(Odd(), (1,), output="logits"), table())


def test_answers_that_depend_on_the_batch() -> None:
    with pytest.raises(DisagreementError, match="alone and in a batch"):
        accept(TorchClassifier(BatchMean(), (1,)), table())


class Liar(TorchClassifier):
    def replay(self, x: Tensor) -> Tensor:
        return super().replay(x) + 0.01


def test_two_runtimes_that_disagree() -> None:
    with pytest.raises(DisagreementError, match=r"a difference of 0\.01"):
        accept(Liar(linear([[0.0], [2.0]], [1.0, 0.0]), (1,)), table())


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared models are not here")
@pytest.mark.parametrize(
    ("model", "accuracy"),
    [("mnist_cnn", 0.9860), ("mnist_lenet", 0.9840), ("mnist_wk17a", 0.9740), ("mnist_convex_eps01", 0.9730)],
)
def test_published_accuracy_of_real_models(model: str, accuracy: float) -> None:
    classifier = load_classifier(SHARED / f"data/models/{model}.onnx")
    data = match_labels(fit_to_box(load_data(SHARED / "data/mnist/test.npz"), classifier), 10)
    assert (accept(classifier, data) == data.labels).mean() == pytest.approx(accuracy, abs=1e-9)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared models are not here")
def test_a_wrong_order_of_labels_of_a_real_model_is_refused() -> None:
    classifier = load_classifier(SHARED / "data/models/mnist_cnn.onnx")
    data = fit_to_box(load_data(SHARED / "data/mnist/test.npz"), classifier)
    rolled = match_labels(data, 10, labels_order=[*range(1, 10), 0])
    with pytest.raises(ChanceAccuracyError):
        accept(classifier, rolled.take(np.arange(0, 2000, 10)))


class Moody(nn.Module):
    """A threshold model with something wrong: noise, a memory of its calls, or an eye on the batch size."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.calls = fault, 0
        self.layer = linear([[0.0], [2.0]], [1.0, 0.0])

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        logits: Tensor = self.layer(x)
        if self.fault == "noise":
            return logits + 0.01 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(self.calls))
        if self.fault == "dropout":
            return nn.functional.dropout(logits, 0.02, training=True)
        if self.fault == "memory":
            return logits + 1e-3 * self.calls
        return logits if len(x) > 10 else -logits


@pytest.mark.parametrize(
    ("fault", "word"),
    [("noise", "second time"), ("dropout", "second time"), ("memory", "second time"), ("batch", "alone")],
)
def test_a_model_that_does_not_answer_for_itself_is_refused_by_name(fault: str, word: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        subject = TorchClassifier(Moody(fault), (1,), name=fault, output="logits")
        with pytest.raises(DisagreementError, match=word):
            accept(subject, table())
