"""Networks and boxes of the bound benchmark: the shipped digits, and networks of the verification competition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.measure import ROOT
from robust.graph import trace
from robust.graph.onnx_module import OnnxModule
from verifiers import Network, Region

CPU = torch.device("cpu")
PROPERTY_2 = ((0.6, -0.5, -0.5, 0.45, -0.5), (0.679857769, 0.5, 0.5, 0.5, -0.45))
"""Lower and upper ends of the ACAS Xu property, in the network's own units."""
FILES = {
    "ACAS Xu 1_1": "acasxu/onnx/ACASXU_run2a_1_1_batch_2000.onnx.gz",
    "mnist-net_256x4": "mnist_fc/onnx/mnist-net_256x4.onnx.gz",
    "oval21 base": "oval21/onnx/cifar_base_kw.onnx.gz",
}


@dataclass(frozen=True)
class Subject:
    """A network and how to make ``n`` input boxes for it.

    Attributes:
        name: for the tables.
        boxes: what the boxes are, for the tables.
        module: as torch sees it.
        network: traced and prepared, float32.
        region: from ``n`` to that many boxes.
    """

    name: str
    boxes: str
    module: nn.Module
    network: Network
    region: Callable[[int], Region]


def subjects(shared: Path) -> list[Subject]:
    """All that are here; ``shared`` may hold ``vnncomp`` and ``data``."""
    files = {name: shared / "vnncomp" / file for name, file in FILES.items()}
    mnist = shared / "data" / "mnist" / "test.npz"
    found = [_digits()]
    if files["ACAS Xu 1_1"].is_file():
        found.append(
            _subject("ACAS Xu 1_1", "an eighth of property 2 a side", files["ACAS Xu 1_1"], _parts_of_property_2)
        )
    if files["mnist-net_256x4"].is_file() and mnist.is_file():
        images = mnist_images(mnist)[0]
        found.append(
            _subject("mnist-net_256x4", "eps 0.01", files["mnist-net_256x4"], lambda n: around(images[:n], 0.01))
        )
    if files["oval21 base"].is_file():
        found.append(_subject("oval21 base", "eps 0.02, normalised units", files["oval21 base"], noise_pictures))
    return found


def onnx_subject(path: Path) -> tuple[nn.Module, Network]:
    """A network of a file, and the same prepared for bounds."""
    module = OnnxModule(path)
    return module, Network(trace(module, module.input_shapes[0], device=CPU))


def mnist_images(path: Path) -> tuple[Tensor, Tensor]:
    """Float64 images ``[n, 784]`` in [0, 1] in a fixed random order, and their labels ``[n]``."""
    with np.load(path, allow_pickle=False) as file:
        order = np.random.default_rng(0).permutation(len(file["labels"]))
        images = torch.from_numpy(file["images"][order].astype(np.float64) / 255)
        return images.reshape(len(order), -1), torch.from_numpy(file["labels"][order].astype(np.int64))


def around(x: Tensor, radius: float) -> Region:
    """L-inf balls cut to [0, 1]."""
    return Region((x - radius).clamp(0, 1), (x + radius).clamp(0, 1))


def _subject(name: str, boxes: str, path: Path, flat: Callable[[int], Region]) -> Subject:
    module, network = onnx_subject(path)
    shape = network.graph.input_shape

    def region(n: int) -> Region:
        found = flat(n)
        return Region(found.lower.reshape(n, *shape), found.upper.reshape(n, *shape))

    return Subject(name, boxes, module, network, region)


def _digits() -> Subject:
    folder = ROOT / "examples" / "digits"
    with np.load(folder / "test.npz", allow_pickle=False) as file:
        images = torch.from_numpy(file["samples"].astype(np.float64)).flatten(1)
    return _subject("digits", "eps 0.02", folder / "classifier.onnx", lambda n: around(images[:n], 0.02))


def _parts_of_property_2(n: int) -> Region:
    lower, upper = (torch.tensor(ends, dtype=torch.float64) for ends in PROPERTY_2)
    width = (upper - lower) / 8
    generator = torch.Generator().manual_seed(0)
    start = lower + torch.rand(n, 5, generator=generator, dtype=torch.float64) * (upper - lower - width)
    return Region(start, start + width)


def noise_pictures(n: int, shape: tuple[int, ...] = (3 * 32 * 32,)) -> Region:
    """Balls of 0.02 around normal noise, in the units of a normalised picture."""
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(1)).double() * 0.5
    return Region(x - 0.02, x + 0.02)
