"""The networks of the verification competition: read, traced, and compared with onnxruntime. Skipped where absent."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from robust.graph import Graph, trace
from robust.graph.onnx_module import OnnxModule

PLACES = [parent / "shared" / "vnncomp" for parent in Path(__file__).resolve().parents[3:5]]
NETWORKS = sorted(path for place in PLACES for path in place.glob("*/onnx/*.onnx.gz"))
QUICK = {"ACASXU_run2a_1_1_batch_2000", "mnist-net_256x2", "cifar_base_kw", "ibp_3_3_8", "gcas", "cartpole"}
QUICK |= {"cGAN_imgSz32_nCh_1", "NN_rul_small_window_20", "mnist_concat"}
SAMPLES = 3


def _cases() -> list[object]:
    return [
        pytest.param(path, id=path.name[:-8], marks=() if path.name[:-8] in QUICK else pytest.mark.slow)
        for path in NETWORKS
    ]


def box_of(path: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The first box of the network's first property, read by eye: ``(assert (<= X_0 1.5))``."""
    lines = (path.parent.parent / "instances.csv").read_text().splitlines()
    row = next(line for line in lines if path.name.removesuffix(".gz") in line)
    text = gzip.decompress(next((path.parent.parent / "vnnlib").glob(Path(row.split(",")[1]).name + "*")).read_bytes())
    lower, upper = np.full(size, np.inf), np.full(size, -np.inf)
    for sign, place, number in re.findall(r"\((<=|>=)\s+X_(\d+)\s+([-+.\deE]+)\s*\)", text.decode()):
        value = float(number)
        if sign == ">=":
            lower[int(place)] = min(lower[int(place)], value)
        else:
            upper[int(place)] = max(upper[int(place)], value)
    assert np.isfinite(lower).all()
    assert np.isfinite(upper).all()
    return lower, upper


def runtime_answers(path: Path, x: np.ndarray) -> np.ndarray:
    """One by one, in the shape that the file declares."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    content = gzip.decompress(path.read_bytes())
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    declared = session.get_inputs()[0]
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in declared.shape]
    return np.stack([session.run(None, {declared.name: row.reshape(shape)})[0].reshape(-1) for row in x])


@pytest.mark.parametrize("path", _cases())
def test_graph_answers_as_onnxruntime_does(path: Path) -> None:
    module = OnnxModule(path)
    shape = module.input_shapes[0]
    graph: Graph = trace(module, shape, device=torch.device("cpu"))
    lower, upper = box_of(path, int(np.prod(shape)))
    share = np.random.default_rng(0).random((SAMPLES, len(lower)))
    x = (lower + share * (upper - lower)).astype(np.float32)
    wanted = runtime_answers(path, x)
    found = graph.forward(torch.from_numpy(x).reshape(SAMPLES, *shape)).reshape(SAMPLES, -1).numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    exact = graph.to(torch.float64).forward(torch.from_numpy(x).reshape(SAMPLES, *shape)).reshape(SAMPLES, -1).numpy()
    np.testing.assert_allclose(exact, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
