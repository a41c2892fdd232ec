from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robust.errors import DataRangeError, ModelShapeError, NonFiniteError
from robust.generation.controls import memoriser, mode_dropper, one_per_class
from robust.generation.sampling import class_quota, draw, fit_into_box
from robust.properties.input_sets import Box
from tests.generation.doubles import TinyGenerator

UNIT = Box(torch.zeros(3), torch.ones(3))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_samples_do_not_depend_on_the_batch() -> None:
    subject = TinyGenerator(lambda z, c: torch.cat([z, z[:, :1] + c[:, None]], 1), (3,), conditions=4)
    asked = np.arange(10) % 4
    torch.testing.assert_close(
        draw(subject, 10, asked, seeded(), batch=3), draw(subject, 10, asked, seeded(), batch=100)
    )


def test_wrong_shape_and_nan_are_named() -> None:
    with pytest.raises(ModelShapeError, match="tiny generator"):
        draw(TinyGenerator(lambda z, c: z, (3,)), 4, None, seeded())
    with pytest.raises(NonFiniteError, match="4 of 4"):
        draw(TinyGenerator(lambda z, c: z.repeat(1, 2)[:, :3] / 0 * 0, (3,)), 4, None, seeded())


def test_box_cuts_a_little_and_refuses_much() -> None:
    inside, outside = fit_into_box(torch.tensor([[0.0, 1.009, 0.5]]), UNIT, "g")
    assert outside == 0.0
    assert inside.tolist() == [[0.0, 1.0, 0.5]]
    many = torch.full((100, 3), 0.5)
    many[0, 0] = -2.0
    cut, outside = fit_into_box(many, UNIT, "g")
    assert outside == pytest.approx(1 / 300)
    assert cut.min() == 0.0
    with pytest.raises(DataRangeError, match="box of the data") as caught:
        fit_into_box(torch.linspace(-1, 1, 30).reshape(10, 3), UNIT, "g")
    assert "tanh" in (caught.value.hint or "")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 200), st.integers(0, 99))
def test_class_quota_keeps_proportions(labels: list[int], count: int, seed: int) -> None:
    given_labels = np.array(labels)
    asked = class_quota(given_labels, count, np.random.default_rng(seed))
    assert len(asked) == count
    rounds = count / len(labels)
    for label, size in zip(*np.unique(given_labels, return_counts=True), strict=True):
        assert int(rounds) * size <= (asked == label).sum() <= (int(rounds) + 1) * size


def test_controls_have_the_faults_they_should() -> None:
    rng = np.random.default_rng(0)
    real, labels = torch.rand(60, 3, generator=seeded()), np.repeat([0, 1, 2], [30, 20, 10])
    copied, names = memoriser(real, labels, UNIT, 50, rng)
    gaps = torch.cdist(copied, real).min(1).values
    assert 0 < gaps.max() < 0.15
    assert (labels[torch.cdist(copied, real).argmin(1).numpy()] == names).mean() > 0.8
    single, names = one_per_class(real, labels, np.array([0, 2, 0, 2, 7]))
    assert names.tolist() == [0, 2, 0, 2]
    torch.testing.assert_close(single, real[[0, 50, 0, 50]])
    assert set(mode_dropper(real, labels, 200, rng)[1].tolist()) == {1, 2}
    assert set(mode_dropper(real[:40], labels[:40], 200, rng)[1].tolist()) == {1}
