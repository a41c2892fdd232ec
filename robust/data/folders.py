"""Pictures in one folder per class, read with Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robust.data.dataset import Dataset
from robust.errors import DataFileError, DataShapeError, EmptyClassError

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}


def load_folder(path: Path) -> Dataset:
    """Read ``path/<class>/<picture>`` in sorted order as ``[n, channels, height, width]``, still 0-255.

    Grey pictures have one channel and all others three (transparency is refused, palettes are resolved).
    All must agree in size and channels.

    Raises:
        DataFileError: no class folders, or a picture that cannot be read.
        EmptyClassError: a class folder without pictures.
        DataShapeError: pictures that differ in size or channels; names the file.
    """
    folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    if not folders:
        raise DataFileError(f"{path} has no class folders", wanted="one folder of pictures per class", got="none")
    pictures: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    names: list[str] = []
    for place, folder in enumerate(folders):
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _ENDINGS and file.is_file())
        if not files:
            raise EmptyClassError(f"{folder} holds no picture", wanted=f"files ending in {', '.join(sorted(_ENDINGS))}")
        for file in files:
            picture = _read(file)
            if pictures and picture.shape != pictures[0].shape:
                raise _differs(file, path / names[0], pictures[0].shape, picture.shape)
            pictures.append(picture)
            labels.append(place)
            names.append(file.relative_to(path).as_posix())
    return Dataset(
        name=path.name,
        source=str(path),
        samples=np.stack(pictures).astype(np.float32),
        labels=np.array(labels, dtype=np.int64),
        label_values=tuple(folder.name for folder in folders),
        identifiers=tuple(names),
        raw_uint8=True,
    )


def load_pictures(path: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Every picture below a folder, whatever its folder is called: ``[n, channels, height, width]`` and names.

    Raises:
        DataFileError: no picture, or one that cannot be read.
        DataShapeError: pictures that differ in size or channels.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _ENDINGS and file.is_file())
    if not files:
        raise DataFileError(f"{path} holds no picture", wanted=f"files ending in {', '.join(sorted(_ENDINGS))}")
    pictures = [_read(file) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape != pictures[0].shape:
            raise _differs(file, files[0], pictures[0].shape, picture.shape)
    return np.stack(pictures), tuple(file.relative_to(path).as_posix() for file in files)


def _differs(file: Path, first: Path, wanted: tuple[int, ...], got: tuple[int, ...]) -> DataShapeError:
    return DataShapeError(
        f"{file} differs from {first}",
        wanted=f"channels, height, width {wanted}",
        got=got,
        hint="bring all pictures to one size and one number of channels",
    )


def _read(file: Path) -> NDArray[np.uint8]:
    """One picture as ``[channels, height, width]``."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.mode in {"RGBA", "LA", "PA"} or image.mode.startswith(("I", "F")):
                raise DataShapeError(
                    f"{file} is a picture of a kind that is not read",
                    wanted="8-bit grey or RGB without transparency",
                    got=f"mode {image.mode}",
                    hint="convert it to grey or RGB first",
                )
            grey = image.mode in {"L", "1"}
            array = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise DataFileError(f"cannot read the picture {file}", got=error) from error
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
