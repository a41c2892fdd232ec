"""Generators: codes, conditions, priors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from robust.errors import ModelShapeError, UsageError
from robust.subjects import Generator, TorchGenerator, load_generator
from tests.graph.onnx_files import graph, write
from tests.subjects.tiny import Decoder

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.mark.parametrize("form", ["labels", "one-hot"])
def test_a_conditional_module_by_hand(form: str) -> None:
    generator = load_generator(Decoder(), latent_shape=(4,), conditions=3, condition_form=form)  # type: ignore[arg-type]
    assert isinstance(generator, Generator)
    assert (generator.latent_shape, generator.output_shape, generator.conditions) == ((4,), (1, 2, 2), 3)
    made = generator.decode(torch.zeros(2, 4), torch.tensor([0, 2]))
    assert made.flatten(1).tolist() == [[0.0] * 4, [2.0] * 4]
    for wrong in (None, torch.tensor([0, 3]), torch.tensor([-1, 0])):
        with pytest.raises(ModelShapeError):
            generator.decode(torch.zeros(2, 4), wrong)


def test_priors_are_seeded_and_have_their_moments() -> None:
    for prior, variance in (("normal", 1.0), ("uniform", 1 / 3)):
        generator = TorchGenerator(nn.Identity(), (3,), prior=prior)  # type: ignore[arg-type]
        drawn = [generator.draw_latents(4000, torch.Generator().manual_seed(5)) for _ in range(2)]
        assert torch.equal(*drawn)
        assert abs(float(drawn[0].mean())) < 0.03
        assert float(drawn[0].var()) == pytest.approx(variance, rel=0.05)


def conditional_onnx(form: str, folder: Path) -> Path:
    nodes = [helper.make_node("Add", ["z", "e"], ["y"])]
    table = np.float32([[0, 0], [10, 20], [30, 40]])
    if form == "labels":
        nodes.insert(0, helper.make_node("Gather", ["table", "c"], ["e"]))
        info = helper.make_tensor_value_info("c", TensorProto.INT64, ["N"])
    else:
        nodes.insert(0, helper.make_node("MatMul", ["c", "table"], ["e"]))
        info = helper.make_tensor_value_info("c", TensorProto.FLOAT, ["N", 3])
    model = graph(nodes, {"z": ["N", 2]}, {"table": table})
    model.graph.input.append(info)
    return write(model, folder)


@pytest.mark.parametrize("form", ["labels", "one-hot"])
def test_conditional_onnx(form: str, tmp_path: Path) -> None:
    path = conditional_onnx(form, tmp_path)
    generator = load_generator(path, conditions=3)
    assert (generator.conditions, generator.condition_form) == (3, form)
    assert generator.decode(torch.ones(2, 2), torch.tensor([2, 0])).tolist() == [[31.0, 41.0], [1.0, 1.0]]
    if form == "one-hot":
        assert load_generator(path).conditions == 3
        with pytest.raises(ModelShapeError, match="3 classes"):
            load_generator(path, conditions=5)
    else:
        with pytest.raises(UsageError, match="how many classes"):
            load_generator(path)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(UsageError, match="latent_shape"):
        load_generator(nn.Identity())
    with pytest.raises(ModelShapeError, match="does not take such codes"):
        load_generator(nn.Linear(3, 2), latent_shape=(4,))
    with pytest.raises(ModelShapeError, match="unconditional"):
        load_generator(nn.Linear(3, 2), latent_shape=(3,)).decode(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared models are not here")
@pytest.mark.parametrize(("model", "latent"), [("mnist_gan_generator", 64), ("mnist_vae_decoder", 20)])
def test_real_generators(model: str, latent: int) -> None:
    generator = load_generator(SHARED / f"data/models/{model}.onnx")
    assert (generator.latent_shape, generator.output_shape, generator.conditions) == ((latent,), (1, 28, 28), 0)
    made = generator.decode(generator.draw_latents(8, torch.Generator().manual_seed(0)), None)
    assert made.shape == (8, 1, 28, 28)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
