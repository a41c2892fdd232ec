from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from robust.errors import DataShapeError
from robust.generation import neighbours
from robust.generation.neighbours import nearest, nearest_fellows


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(3, 25), st.integers(1, 6), st.integers(1, 3))
def test_agrees_with_another_implementation(seed: int, n: int, m: int, width: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries, base = rng.normal(size=(n, width)), rng.normal(size=(m, width)) + 100.0
    expected, rows = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(base).kneighbors(queries)
    found, indices = nearest(torch.from_numpy(queries), torch.from_numpy(base), k=k)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    np.testing.assert_array_equal(indices.numpy(), rows)


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(23, 4)))
    whole = nearest_fellows(values, k=2)
    monkeypatch.setattr(neighbours, "BLOCK_NUMBERS", 50)
    torch.testing.assert_close(nearest_fellows(values, k=2), whole)


def test_a_copy_is_at_exactly_zero_and_no_row_is_its_own_fellow() -> None:
    base = torch.tensor([[0.1, 0.2], [0.1, 0.2], [7.0, 0.2]])
    assert nearest(base[2:], base)[0].item() == 0.0
    assert nearest_fellows(base)[:, 0].tolist() == pytest.approx([0.0, 0.0, 6.9])
    assert nearest_fellows(base, rows=torch.tensor([2]))[:, 0].tolist() == pytest.approx([6.9])


def test_refuses_too_few_and_other_widths() -> None:
    with pytest.raises(DataShapeError, match="too few"):
        nearest_fellows(torch.zeros(3, 2), k=3)
    with pytest.raises(DataShapeError, match="base"):
        nearest(torch.zeros(3, 2), torch.zeros(3, 4))
