"""Torch modules as classifiers: numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from robust.errors import ModelShapeError, NonFiniteError, UsageError
from robust.subjects import CallableClassifier, Classifier, TorchClassifier
from tests.subjects.tiny import Ending, Functional, linear, two_by_two

X = torch.tensor([[0.25, 0.5], [1.0, 0.0]])


def test_logits_by_hand_and_protocol() -> None:
    classifier = TorchClassifier(two_by_two(), (2,))
    assert isinstance(classifier, Classifier)
    assert classifier.logits(X).tolist() == [[0.25, 1.0], [1.0, 0.0]]
    assert classifier.class_names == ("0", "1")
    assert classifier.parameters == 6
    assert classifier.notes == ()
    assert classifier.input_box.upper.tolist() == [1, 1]


def test_the_module_given_is_left_alone() -> None:
    module = nn.Sequential(two_by_two(), nn.Dropout(0.5), nn.Softmax(1)).train()
    before = torch.get_rng_state()
    classifier = TorchClassifier(module, (2,))
    classifier.logits(X.clone().requires_grad_()).sum().backward()
    assert torch.equal(before, torch.get_rng_state())
    assert module.training
    assert isinstance(module[2], nn.Softmax)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
    own = classifier.module()
    assert own is not None
    assert not own.training
    assert not any(parameter.requires_grad for parameter in own.parameters())


def test_preprocessing_is_inside_and_gradients_are_in_input_units() -> None:
    classifier = TorchClassifier(two_by_two(), (2,), (0, 255), scale=0.5, mean=[1.0, 2.0], std=[2.0, 4.0])
    x = torch.tensor([[10.0, 20.0]], requires_grad=True)
    answer = classifier.logits(x)
    assert answer.tolist() == [[2.0, 4.0]]  # (10/2 - 1)/2 and 2 * (20/2 - 2)/4
    answer[0, 1].backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0, 0.25]]


def test_channels_are_reversed_after_normalisation() -> None:
    flat = nn.Sequential(nn.Flatten(), linear([[1.0, 10.0, 100.0], [0.0, 0.0, 0.0]]))
    classifier = TorchClassifier(flat, (3, 1, 1), mean=[1, 2, 3], channel_order="bgr")
    x = torch.tensor([1.0, 3.0, 6.0]).reshape(1, 3, 1, 1)
    assert classifier.logits(x)[0, 0].item() == 3 * 1 + 1 * 10 + 0 * 100


@pytest.mark.parametrize(("end", "name"), [(nn.Softmax(1), "Softmax"), (nn.LogSoftmax(1), "LogSoftmax")])
def test_a_closing_softmax_is_taken_off(end: nn.Module, name: str) -> None:
    for module in (Ending(end), nn.Sequential(two_by_two(), end), nn.Sequential(nn.Sequential(two_by_two(), end))):
        classifier = TorchClassifier(module, (2,))
        assert classifier.logits(X).tolist() == [[0.25, 1.0], [1.0, 0.0]]
        assert name in classifier.notes[0]


def test_probabilities_that_cannot_be_stripped_become_logarithms() -> None:
    classifier = TorchClassifier(Functional("softmax"), (2,))
    logits = classifier.logits(X)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], torch.tensor([0.75, -1.0]))
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(2))
    assert any("logarithm" in note for note in classifier.notes)


@pytest.mark.parametrize("squeeze", [True, False])
def test_a_binary_score(squeeze: bool) -> None:
    tail = [nn.Flatten(0)] if squeeze else []
    classifier = TorchClassifier(nn.Sequential(linear([[3.0, -2.0]], [0.5]), *tail), (2,), output="binary")
    assert classifier.logits(X).tolist() == [[0.0, 0.25], [0.0, 3.5]]


def test_a_closing_sigmoid_is_taken_off_and_a_functional_one_inverted() -> None:
    taken = TorchClassifier(nn.Sequential(linear([[3.0, -2.0]]), nn.Sigmoid()), (2,))
    assert taken.logits(X).tolist() == [[0.0, -0.25], [0.0, 3.0]]
    inverted = TorchClassifier(Functional("sigmoid"), (2,))
    torch.testing.assert_close(inverted.logits(X), torch.tensor([[0.0, 0.75], [0.0, -1.0]]))


def test_said_to_be_logits_is_believed() -> None:
    classifier = TorchClassifier(nn.Sequential(two_by_two(), nn.Softmax(1)), (2,), output="logits")
    torch.testing.assert_close(classifier.logits(X).sum(1), torch.ones(2))


def test_features_are_the_input_of_the_last_affine_layer() -> None:
    first, last = linear([[1.0, -1.0], [2.0, 0.0], [0.0, 1.0]]), linear([[1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    classifier = TorchClassifier(nn.Sequential(first, nn.ReLU(), last, nn.Softmax(1)), (2,))
    features = classifier.features(X)
    assert features is not None
    assert features.tolist() == [[0.0, 0.5, 0.5], [1.0, 2.0, 0.0]]
    convolution = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    pictures = torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    found = TorchClassifier(convolution, (1, 5, 5)).features(pictures)
    assert found is not None
    torch.testing.assert_close(found, convolution[:4](pictures).detach())


def test_boxes_per_feature_and_per_channel() -> None:
    assert TorchClassifier(two_by_two(), (2,), ([0, -1], [5, 1])).input_box.lower.tolist() == [0, -1]
    box = TorchClassifier(nn.Sequential(nn.Flatten(), nn.Linear(8, 2)), (2, 2, 2), ([0, -1], 1.0)).input_box
    assert box.lower[:, 0, 0].tolist() == [0, -1]
    with pytest.raises(ModelShapeError, match="end of the input box"):
        TorchClassifier(two_by_two(), (2,), ([0, 1, 2], 3.0))


def test_a_nan_weight_is_named() -> None:
    module = nn.Sequential(two_by_two())
    module[0].bias.data[1] = math.nan
    with pytest.raises(NonFiniteError, match=r"'0\.bias'"):
        TorchClassifier(module, (2,))


def test_wrong_sizes_are_typed() -> None:
    with pytest.raises(ModelShapeError, match="does not take inputs"):
        TorchClassifier(two_by_two(), (3,))
    with pytest.raises(ModelShapeError, match="row per sample"):
        TorchClassifier(nn.Flatten(0), (3,))
    with pytest.raises(ModelShapeError, match="class names"):
        TorchClassifier(two_by_two(), (2,), class_names=["a"])
    with pytest.raises(ModelShapeError, match="not of the model's shape"):
        TorchClassifier(two_by_two(), (2,)).logits(torch.zeros(1, 3))
    with pytest.raises(UsageError, match="std"):
        TorchClassifier(two_by_two(), (2,), std=0.0)


def test_digest_follows_everything_that_matters() -> None:
    def digest(module: nn.Module, **options: object) -> str:
        return TorchClassifier(module, (2,), **options).digest  # type: ignore[arg-type]

    base = digest(two_by_two())
    assert base == digest(two_by_two())
    changed = two_by_two()
    changed.weight.data[0, 0] += 1e-6  # type: ignore[union-attr, operator]
    others = [
        digest(changed),
        digest(two_by_two(), mean=0.1),
        digest(two_by_two(), input_box=(0, 2)),
        digest(nn.Sequential(two_by_two(), nn.ReLU())),
        digest(nn.Sequential(two_by_two(), nn.LeakyReLU(0.1))),
        digest(nn.Sequential(two_by_two(), nn.LeakyReLU(0.2))),
        digest(Functional("softmax")),
        digest(Functional("sigmoid")),
    ]
    assert len({base, *others}) == len(others) + 1


def test_double_weights_are_read_in_float32_with_a_note() -> None:
    classifier = TorchClassifier(two_by_two().double(), (2,))
    assert classifier.logits(X).dtype == torch.float32
    assert "float64" in classifier.notes[0]


def test_a_function_of_numpy_arrays() -> None:
    classifier = CallableClassifier(lambda x: np.stack([1 - x[:, 0], x[:, 0]], 1), (2,))
    assert isinstance(classifier, Classifier)
    assert not classifier.differentiable
    assert classifier.module() is None
    assert classifier.features(X) is None
    torch.testing.assert_close(classifier.logits(X)[0], torch.tensor([0.75, 0.25]).log())
    with pytest.raises(ModelShapeError, match="fails on a batch"):
        CallableClassifier(lambda x: x @ np.eye(5), (2,))
