from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from torch import nn

from robust.errors import DataShapeError, NonFiniteError, UsageError
from robust.ood import (
    Activations,
    Energy,
    Mahalanobis,
    MaximumSoftmax,
    NearestNeighbours,
    RelativeMahalanobis,
    activations_of,
    energy_score,
    maximum_softmax_score,
    neighbour_score,
)
from robust.ood.panel import DETECTORS, WORDS, fit_panel, score_panel
from tests.doubles import DoubleClassifier, Table


def features(n: int = 80, d: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    mixing = rng.normal(size=(d, d))
    return torch.from_numpy(rng.normal(size=(n, d)) @ mixing + 3 * rng.normal(size=(3, d))[labels]), torch.from_numpy(
        labels
    )


def shown(f: torch.Tensor) -> Activations:
    return Activations(f[:, :3].contiguous(), f)


def test_maximum_softmax_is_the_confidence_without_saturation() -> None:
    logits = torch.tensor([[0.0, np.log(3.0)], [2.0, 2.0], [0.0, 60.0], [0.0, 90.0]], dtype=torch.float64)
    scores = maximum_softmax_score(logits)
    confidence = torch.sigmoid(-scores)
    assert confidence[:2].tolist() == pytest.approx([0.75, 0.5])
    torch.testing.assert_close(confidence, logits.softmax(1).amax(1))
    assert scores[3] < scores[2] < scores[0] < scores[1]
    assert maximum_softmax_score(torch.zeros(1, 5)).item() == pytest.approx(np.log(4))


def test_energy_by_hand_and_its_limit() -> None:
    logits = torch.tensor([[0.0, np.log(3.0)]], dtype=torch.float64)
    assert energy_score(logits).item() == pytest.approx(-np.log(4.0))
    assert energy_score(logits, 2.0).item() == pytest.approx(-2 * np.log(1 + np.sqrt(3.0)))
    assert energy_score(logits * 1e4).item() == pytest.approx(-1e4 * np.log(3.0))  # the maximum, without overflow
    with pytest.raises(UsageError, match="positive"):
        Energy(temperature=0.0)


def test_mahalanobis_is_ten_lines_of_numpy_and_sklearns_covariance() -> None:
    f, labels = features()
    test, _ = features(40, seed=1)
    detector = Mahalanobis()
    detector.fit(shown(f), labels)
    array, classes, other = f.numpy(), labels.numpy(), test.numpy()
    means = np.stack([array[classes == c].mean(axis=0) for c in range(3)])
    centred = array - means[classes]
    precision = np.linalg.inv(centred.T @ centred / len(array))
    reference = [min((x - m) @ precision @ (x - m) for m in means) for x in other]
    assert detector.score(shown(test)).tolist() == pytest.approx(reference, rel=1e-6)
    sklearn = EmpiricalCovariance(assume_centered=True).fit(centred)
    assert detector.precision is not None
    np.testing.assert_allclose(detector.precision.numpy(), sklearn.precision_, rtol=1e-6, atol=1e-9)


def test_mahalanobis_with_dead_units_and_labels_with_gaps() -> None:
    f, labels = features()
    dead = torch.cat([f, torch.zeros(len(f), 2, dtype=f.dtype)], dim=1)
    plain, padded = Mahalanobis(), Mahalanobis()
    plain.fit(shown(f), labels)
    padded.fit(shown(dead), labels * 5)
    torch.testing.assert_close(plain.score(shown(f)), padded.score(shown(dead)), rtol=1e-8, atol=1e-8)
    with pytest.raises(DataShapeError, match="label each"):
        Mahalanobis().fit(shown(f), labels[:-1])


def test_distances_do_not_change_under_linear_maps_of_the_features() -> None:
    f, labels = features()
    map_ = torch.from_numpy(np.random.default_rng(4).normal(size=(6, 6)))
    for kind in (Mahalanobis, RelativeMahalanobis):
        before, after = kind(), kind()
        before.fit(shown(f), labels)
        after.fit(shown(f @ map_ + 7), labels)
        torch.testing.assert_close(before.score(shown(f)), after.score(shown(f @ map_ + 7)), rtol=1e-6, atol=1e-6)


def test_relative_mahalanobis_by_numpy() -> None:
    f, labels = features()
    array, classes = f.numpy(), labels.numpy()
    means = np.stack([array[classes == c].mean(axis=0) for c in range(3)])
    precision = np.linalg.inv(np.cov((array - means[classes]).T, bias=True))
    background = np.linalg.inv(np.cov(array.T, bias=True))
    centre = array.mean(axis=0)
    expected = [
        min((x - m) @ precision @ (x - m) for m in means) - (x - centre) @ background @ (x - centre) for x in array
    ]
    detector = RelativeMahalanobis()
    detector.fit(shown(f), labels)
    assert detector.score(shown(f)).tolist() == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_neighbours_against_sklearn_and_in_blocks() -> None:
    f, labels = features()
    test, _ = features(50, seed=2)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    distances, _ = NearestNeighbors(n_neighbors=5).fit(unit(f.numpy())).kneighbors(unit(test.numpy()))
    assert neighbour_score(test, f, 5, rows=7).tolist() == pytest.approx(distances[:, -1].tolist(), rel=1e-6)
    few = NearestNeighbours(neighbours=1000)
    few.fit(shown(f), labels)
    assert few.score(shown(test)).tolist() == pytest.approx(neighbour_score(test, f, 80).tolist())
    with pytest.raises(UsageError, match="80"):
        neighbour_score(test, f, 81)


@pytest.mark.parametrize("name", list(DETECTORS))
def test_the_convention_of_all_larger_is_more_abnormal(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 3, 90))
    known = torch.eye(6, dtype=torch.float64)[labels] * 8 + torch.from_numpy(rng.normal(size=(90, 6))) * 0.3
    strange = torch.from_numpy(rng.normal(size=(50, 6)))
    detector = DETECTORS[name]()
    detector.fit(shown(known), labels)
    assert detector.name == name
    assert detector.score(shown(strange)).median() > detector.score(shown(known)).median()
    assert repr(detector)
    assert WORDS[name]


@pytest.mark.parametrize("kind", [Mahalanobis, RelativeMahalanobis, NearestNeighbours])
def test_distances_say_what_they_miss(kind: type[Mahalanobis]) -> None:
    f, labels = features()
    with pytest.raises(UsageError, match="before it was fitted"):
        kind().score(shown(f))
    with pytest.raises(UsageError, match="shows none"):
        kind().fit(Activations(f, None), labels)


def test_a_panel_leaves_out_what_needs_features() -> None:
    f, labels = features()
    panel = fit_panel(list(DETECTORS), Activations(f, None), labels)
    assert list(panel) == ["maximum_softmax", "energy"]
    assert {name: scores.shape for name, scores in score_panel(panel, shown(f)).items()} == {
        "maximum_softmax": (80,),
        "energy": (80,),
    }
    assert isinstance(panel["maximum_softmax"], MaximumSoftmax)


def test_activations_in_batches_are_those_of_one_pass_and_nan_is_an_error() -> None:
    classifier = DoubleClassifier(nn.Linear(4, 5), nn.Linear(5, 3), (4,), 3)
    x = torch.rand(23, 4, generator=torch.Generator().manual_seed(0))
    batched, whole = activations_of(classifier, x, batch=5), activations_of(classifier, x, batch=50)
    torch.testing.assert_close(batched.logits, whole.logits, rtol=1e-5, atol=1e-6)
    assert batched.features is not None
    assert batched.features.shape == (23, 5)
    assert batched.logits.dtype == torch.float64
    with pytest.raises(NonFiniteError, match="1 of 23"):
        activations_of(DoubleClassifier(None, Table(2), (4,), 2), torch.cat([x[:22], x[:1] * torch.nan]))
