"""Every form of data, and every way of being refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from robust.data import load_data, match_labels
from robust.errors import (
    DataError,
    DataFileError,
    DataRangeError,
    DataShapeError,
    DataTypeError,
    EmptyClassError,
    LabelError,
    MissingColumnError,
    UsageError,
)

SHARED = Path(__file__).parents[2].parent / "shared"
BYTES = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize(
    ("samples", "labels"), [("images", "labels"), ("x", "y"), ("X", "target"), ("x_test", "y_test")]
)
def test_npz_keys_are_found_by_name(samples: str, labels: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **{samples: BYTES, labels: [4, 2], "index": [0, 1]})
    data = load_data(tmp_path / "d.npz")
    assert data.samples.dtype == np.float32
    assert data.samples[1, 2, 2] == 17
    assert data.raw_uint8
    assert (data.labels.tolist(), data.label_values) == ([1, 0], ("2", "4"))


def test_npz_with_several_candidates_lists_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x_train=BYTES, y_train=[0, 1], x_test=BYTES[:1], y_test=[1])
    with pytest.raises(MissingColumnError, match=r"several[\s\S]*x_test uint8\[1, 3, 3\]"):
        load_data(tmp_path / "d.npz")
    data = load_data(tmp_path / "d.npz", samples="x_test")  # labels follow the suffix
    assert data.label_values == ("1",)
    with pytest.raises(MissingColumnError, match="'images'"):
        load_data(tmp_path / "d.npz", samples="images")


def test_npz_groups_by_key_and_by_feature(tmp_path: Path) -> None:
    x = np.float32([[1, 30], [0, 60], [1, 20]])
    np.savez(tmp_path / "d.npz", x=x, y=[0, 1, 1], race=["a", "b", "a"])
    data = load_data(tmp_path / "d.npz", groups=["race", "sex=0", "age=1"], bins={"age": [25, 50]})
    assert data.groups["race"].tolist() == ["a", "b", "a"]
    assert data.groups["sex"].tolist() == ["1", "0", "1"]
    assert data.groups["age"].tolist() == ["25 to < 50", ">= 50", "< 25"]
    assert data.samples.shape == (3, 2)
    with pytest.raises(MissingColumnError, match="no feature 7"):
        load_data(tmp_path / "d.npz", groups=["sex=7"])


def test_npz_errors(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="no file"):
        load_data(tmp_path / "none.npz")
    np.savez(tmp_path / "pickled.npz", x=np.array([{}, {}], dtype=object), y=[0, 1])
    with pytest.raises(DataFileError, match="never loaded"):
        load_data(tmp_path / "pickled.npz")
    np.savez_compressed(tmp_path / "whole.npz", x=np.random.default_rng(0).random((9, 9)), y=np.arange(9))
    whole = (tmp_path / "whole.npz").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.npz").write_bytes(whole[:length])
        with pytest.raises(DataFileError, match=r"cut\.npz"):
            load_data(tmp_path / "cut.npz")
    for x, y, error in (
        (np.array(["a", "b"]), [0, 1], DataTypeError),
        (np.zeros(3), [0, 1, 2], DataShapeError),
        (np.zeros((3, 2)), [0, 1], DataShapeError),
        (np.zeros((0, 2)), [], DataShapeError),
        (np.zeros((2, 2)), [0.5, 1], LabelError),
    ):
        np.savez(tmp_path / "bad.npz", x=x, y=y)
        with pytest.raises(error, match=r"bad\.npz"):
            load_data(tmp_path / "bad.npz")


def test_an_npy_with_the_wrong_ending_is_a_typed_error(tmp_path: Path) -> None:
    with (tmp_path / "d.npz").open("wb") as stream:
        np.save(stream, np.zeros((2, 2)))
    with pytest.raises(DataFileError, match=r"d\.npz"):
        load_data(tmp_path / "d.npz")


def test_npy_with_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.float32([[1, 2], [3, 4]]))
    np.save(tmp_path / "y.npy", np.array([1, 0]))
    (tmp_path / "y.txt").write_text("b\na\n")
    assert load_data(tmp_path / "x.npy", labels=tmp_path / "y.npy").labels.tolist() == [1, 0]
    assert load_data(tmp_path / "x.npy", labels=tmp_path / "y.txt").label_values == ("a", "b")
    with pytest.raises(UsageError, match="without labels"):
        load_data(tmp_path / "x.npy")


def picture(path: Path, mode: str, size: tuple[int, int], colour: int | tuple[int, ...]) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, colour).save(path)


def test_folder_of_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "dog/2.png", "RGB", (4, 3), (10, 20, 30))
    picture(tmp_path / "cat/1.png", "RGB", (4, 3), (1, 2, 3))
    (tmp_path / "cat/notes.txt").write_text("no picture")
    data = load_data(tmp_path)
    assert data.samples.shape == (2, 3, 3, 4)
    assert data.samples[1, :, 0, 0].tolist() == [10, 20, 30]
    assert (data.label_values, data.labels.tolist()) == (("cat", "dog"), [0, 1])
    assert data.identifiers == ("cat/1.png", "dog/2.png")
    assert data.raw_uint8


def test_folder_errors(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="class folders"):
        load_data(tmp_path)
    picture(tmp_path / "a/1.png", "L", (3, 3), 7)
    assert load_data(tmp_path).samples.shape == (1, 1, 3, 3)
    picture(tmp_path / "b/2.png", "L", (4, 3), 7)
    with pytest.raises(DataShapeError, match=r"2\.png differs"):
        load_data(tmp_path)
    (tmp_path / "b/2.png").write_bytes(b"no picture")
    with pytest.raises(DataFileError, match=r"2\.png"):
        load_data(tmp_path)
    (tmp_path / "b/2.png").unlink()
    with pytest.raises(EmptyClassError, match="holds no picture"):
        load_data(tmp_path)
    picture(tmp_path / "b/3.png", "RGBA", (3, 3), (1, 2, 3, 4))
    with pytest.raises(DataShapeError, match="RGBA"):
        load_data(tmp_path)


FRAME = pd.DataFrame(
    {
        "age": [20, 30, 40, 50],
        "sex": ["f", "m", "f", "m"],
        "score": [0.5, 1.5, 2.5, 3.5],
        "label": ["no", "yes", "no", "yes"],
    }
)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "tsv"])
def test_tables(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    data = load_data(path, groups=["sex", "age"], bins={"age": 2})
    assert data.feature_names == ("age", "score")
    assert data.samples.tolist() == [[20, 0.5], [30, 1.5], [40, 2.5], [50, 3.5]]
    assert data.labels.tolist() == [0, 1, 0, 1]
    assert data.groups["sex"].tolist() == ["f", "m", "f", "m"]
    assert data.groups["age"].tolist() == ["< 35", "< 35", ">= 35", ">= 35"]
    assert load_data(path, features=["score"], groups={"gender": "sex"}).samples.shape == (4, 1)


def test_table_errors(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    FRAME.to_csv(path, index=False)
    for options, error, words in (
        ({"labels": "lable"}, MissingColumnError, "did you mean 'label'"),
        ({"features": ["agee"]}, MissingColumnError, "did you mean 'age'"),
        ({"groups": ["race"]}, MissingColumnError, "sensitive column"),
        ({"features": ["sex"]}, DataTypeError, "not numeric"),
        ({"samples": "x"}, UsageError, "means nothing"),
    ):
        with pytest.raises(error, match=words):
            load_data(path, **options)  # type: ignore[arg-type]
    FRAME.rename(columns={"label": "income"}).to_csv(path, index=False)
    with pytest.raises(MissingColumnError, match="which column holds the labels"):
        load_data(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError):
        load_data(path)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,label\n1,2\n" * 99)[:20])
    with pytest.raises(DataFileError, match=r"cut\.csv"):
        load_data(tmp_path / "cut.csv.gz")


def test_missing_cells(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,g,y\n1,x,0\n?,x,1\n3,,1\n")
    with pytest.raises(DataRangeError, match="a: 1"):
        load_data(tmp_path / "t.csv")
    data = load_data(tmp_path / "t.csv", missing="drop", groups=["g"])
    assert data.samples.tolist() == [[1], [3]]
    assert data.identifiers == ("0", "2")
    assert data.groups["g"].tolist() == ["x", "(missing)"]
    assert any("1 of 3 rows" in note for note in data.notes)


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("digits", (1797, 1, 8, 8), 10),
        ("breast_cancer", (569, 30), 2),
        ("wine", (178, 13), 3),
        ("diabetes", (442, 10), 2),
    ],
)
def test_builtin_sets(name: str, shape: tuple[int, ...], classes: int) -> None:
    data = load_data(f"builtin:{name}")
    assert data.samples.shape == shape
    assert len(data.label_values) == classes == len(np.unique(data.labels))
    assert data.digest == load_data(f"builtin:{name}").digest


def test_diabetes_has_its_sex_and_age() -> None:
    data = load_data("builtin:diabetes")
    assert data.labels.sum() == 221  # half of 442 lie above the median
    assert sorted(np.unique(data.groups["sex"], return_counts=True)[1]) == [207, 235]
    assert len(np.unique(data.groups["age"])) == 3
    sex = data.samples[:, data.feature_names.index("sex")]
    assert len(np.unique(sex[data.groups["sex"] == "sex 1"])) == 1
    assert list(load_data("builtin:diabetes", groups=["sex"]).groups) == ["sex"]
    with pytest.raises(UsageError, match="'race'"):
        load_data("builtin:diabetes", groups=["race"])


@pytest.mark.parametrize(
    ("name", "first"), [("breast_cancer", "malignant"), ("diabetes", "slow"), ("wine", "class_0"), ("digits", "0")]
)
def test_builtin_labels_keep_their_own_order(name: str, first: str) -> None:
    data = load_data(f"builtin:{name}")
    matched = match_labels(data, len(data.label_values))
    assert matched.label_values[0] == first
    assert matched.labels.tolist() == data.labels.tolist()


def test_unknown_sources(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="digits, breast_cancer"):
        load_data("builtin:mnist")
    (tmp_path / "d.mat").write_bytes(b"")
    with pytest.raises(DataFileError, match="ending"):
        load_data(tmp_path / "d.mat")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
def test_real_tables() -> None:
    adult = load_data(SHARED / "data/tabular/adult.csv.gz", labels="income", groups=["sex"])
    women = adult.groups["sex"] == "Female"
    assert adult.labels[women].mean() == pytest.approx(0.1095, abs=5e-5)
    assert adult.labels[~women].mean() == pytest.approx(0.3057, abs=5e-5)
    credit = load_data(SHARED / "data/tabular/german.csv.gz", labels="credit", groups=["sex"])
    assert (credit.labels == 0).sum() == 700
    assert (credit.groups["sex"] == "female").sum() == 310
