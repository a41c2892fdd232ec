from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robust.data import load_samples
from robust.errors import DataFileError, DataShapeError, MissingColumnError

BYTES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def test_arrays_without_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", anything=BYTES)
    np.savez(tmp_path / "named.npz", images=BYTES, labels=np.array([0.5, np.nan]))
    np.save(tmp_path / "plain.npy", BYTES)
    for name in ("one.npz", "named.npz", "plain.npy"):
        found = load_samples(tmp_path / name)
        assert found.samples.dtype == np.float32
        assert np.array_equal(found.samples, BYTES)
        assert found.raw_uint8
        assert found.labels.tolist() == [0, 0]
        assert found.label_values == ("unlabelled",)


def test_a_folder_of_pictures_with_or_without_folders_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(BYTES[0]).save(tmp_path / "a" / "x.png")
    Image.fromarray(BYTES[1]).save(tmp_path / "y.png")
    found = load_samples(tmp_path)
    assert found.identifiers == ("a/x.png", "y.png")
    assert np.array_equal(found.samples[:, 0], BYTES)
    Image.fromarray(BYTES[1][:2]).save(tmp_path / "z.png")
    with pytest.raises(DataShapeError, match="z.png"):
        load_samples(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match="no picture"):
        load_samples(tmp_path / "empty")


def test_a_table_gives_the_named_columns_in_the_models_order(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("b,comment,a\n1,x,2\n3,y,4\n")
    assert load_samples(tmp_path / "t.csv", features=("a", "b")).samples.tolist() == [[2, 1], [4, 3]]
    assert load_samples(tmp_path / "t.csv").feature_names == ("b", "a")
    with pytest.raises(MissingColumnError, match="'c'"):
        load_samples(tmp_path / "t.csv", features=("a", "c"))


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="no file"):
        load_samples(tmp_path / "none.npz")
    np.savez(tmp_path / "two.npz", first=BYTES, second=BYTES)
    with pytest.raises(MissingColumnError, match="no array is named like the samples"):
        load_samples(tmp_path / "two.npz")
