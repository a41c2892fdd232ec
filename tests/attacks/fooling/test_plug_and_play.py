"""The Plug and Play sampler against steps computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attacks.fooling import GradientAscent, LinearDenoiser, PlugAndPlay
from attacks.fooling.gradient_ascent import roughness
from robust.errors import UsageError
from tests.doubles import linear, mlp


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def shrink(codes: Tensor) -> Tensor:
    return codes / 2


def test_the_best_linear_denoiser_of_a_normal_cloud() -> None:
    # Independent coordinates of variance 4 and 1/4 around (3, -1), noise of variance 1: gains 4/5 and 1/5.
    codes = torch.randn(200_000, 2, generator=seeded()).double() * torch.tensor([2.0, 0.5]) + torch.tensor([3.0, -1.0])
    denoiser = LinearDenoiser.fit(codes, 1.0)
    assert denoiser(torch.tensor([[8.0, 9.0]]).double())[0].tolist() == pytest.approx(
        [3 + 0.8 * 5, -1 + 0.2 * 10], abs=0.06
    )
    with pytest.raises(UsageError):
        LinearDenoiser.fit(codes[:1], 1.0)


def test_the_prior_alone_is_a_geometric_fall() -> None:
    # h <- h + e (h / 2 - h) = (1 - e / 2) h, ten times.
    start = torch.tensor([[0.8, 0.4, 0.2]])
    sampler = PlugAndPlay(eps1=0.2, eps2=0.0, eps3=0.0, steps=10)
    chain = sampler(linear(torch.eye(3)), start, None, seeded(), denoiser=shrink)
    assert torch.allclose(chain.codes, start * 0.9**10, atol=1e-6)
    assert torch.equal(chain.inputs, chain.codes.float())


def test_the_condition_alone_is_a_step_up_log_p() -> None:
    # log p of class 0 of logits x: gradient (1 - p0, -p1, -p2).
    start = torch.tensor([[0.2, 0.5, 0.3]])
    sampler = PlugAndPlay(eps1=0.0, eps2=0.1, eps3=0.0, steps=1)
    chain = sampler(linear(torch.eye(3)), start, torch.tensor([0]), seeded(), denoiser=shrink)
    p = torch.softmax(start.double(), 1)[0]
    wanted = start[0].double() + 0.1 * (torch.tensor([1.0, 0.0, 0.0]) - p)
    assert torch.allclose(chain.codes[0].double(), wanted, atol=1e-6)


def test_the_published_step_is_as_long_as_it_is_told() -> None:
    start = torch.full((2, 4), 0.5)
    classifier = mlp((4,), 3)
    sampler = PlugAndPlay(eps1=0.3, eps2=7.0, eps3=0.0, steps=1, normalise=True, rate=0.01)
    chain = sampler(classifier, start, torch.tensor([0, 2]), seeded(), denoiser=shrink)
    assert (chain.codes - start).abs().mean(1).tolist() == pytest.approx([0.01, 0.01], rel=1e-4)


def test_noise_has_its_deviation() -> None:
    start = torch.full((1, 20_000), 0.5)
    weights = torch.zeros(2, 20_000)
    sampler = PlugAndPlay(eps1=0.0, eps2=0.0, eps3=0.1, steps=4)
    chain = sampler(linear(weights), start, None, seeded(), denoiser=shrink)
    assert float((chain.codes - start).std()) == pytest.approx(0.2, rel=0.05)  # four steps: twice one


def test_inpainting_pulls_what_is_known_and_nothing_else() -> None:
    # The pull on a known pixel is eps4 (context - x): x <- x + (c - x) / 4.
    start, context = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    known = torch.tensor([[True, False]])
    sampler = PlugAndPlay(eps1=0.0, eps2=0.0, eps3=0.0, eps4=0.25, steps=2)
    chain = sampler(linear(torch.eye(2)), start, None, seeded(), denoiser=shrink, context=context, known=known)
    assert chain.codes[0].tolist() == pytest.approx([1 - 0.75**2, 0.0])
    with pytest.raises(UsageError, match="inpainting"):
        sampler(linear(torch.eye(2)), start, None, seeded(), denoiser=shrink, context=context)


def test_through_a_generator_and_for_a_neuron() -> None:
    """Codes of one number, decoded to two: the neuron is the first input, its slope by the code is 3."""

    def decode(codes: Tensor) -> Tensor:
        return codes @ torch.tensor([[3.0, -1.0]])

    sampler = PlugAndPlay(eps1=0.0, eps2=0.01, eps3=0.0, steps=2)
    chain = sampler(
        linear(torch.eye(2)), torch.tensor([[0.1]]), None, seeded(),
        denoiser=shrink, decode=decode, unit=lambda inputs: inputs[:, 0],
    )  # fmt: skip
    assert float(chain.codes) == pytest.approx(0.1 + 2 * 0.01 * 3)
    assert chain.inputs[0].tolist() == pytest.approx([3 * 0.16, 0.0])  # the second is cut to the box


@pytest.mark.parametrize("bad", [{"steps": 0}, {"eps1": -1.0}, {"rate": 0.0}])
def test_bad_weights_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        PlugAndPlay(**bad)  # type: ignore[arg-type]


def test_total_variation_makes_smoother_images() -> None:
    classifier = mlp((1, 6, 6), 3)
    plain, smooth = (
        GradientAscent(steps=60, restarts=1, total_variation=weight, target=1.0)(classifier, seeded()).inputs
        for weight in (0.0, 20.0)
    )
    assert bool((roughness(smooth) < roughness(plain)).all())
    board = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    assert float(roughness(board)) == 1.0  # each of the four neighbours differs by 1


def test_jittered_ascent_still_fools_and_counts_what_it_shows() -> None:
    classifier = mlp((1, 6, 6), 3)
    found = GradientAscent(steps=30, restarts=1, jitter=2, target=1.0)(classifier, seeded())
    still = GradientAscent(steps=30, restarts=1, target=1.0)(classifier, seeded())
    assert found.evaluations > still.evaluations
    scores = torch.softmax(classifier.logits(found.inputs).double(), 1)
    assert torch.allclose(found.confidences, scores.diagonal()[: len(scores)], atol=1e-6)
