"""Affine images and changes of whole inputs, against their formulas; compositions against the network by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.graph import trace
from robust.properties import (
    AffineImage,
    Box,
    L1Ball,
    Parametrised,
    Property,
    bias_field,
    brightness,
    brightness_and_contrast,
    composed,
    contrast,
    convex_mixture,
    haze,
    latent_box,
    misclassification,
    output_range,
)
from robust.record import Verdict
from verifiers import BoundVerifier

X = torch.tensor([[[0.2, 0.4, 0.6], [0.8, 1.0, 0.0]]])
CPU = torch.device("cpu")


def at(inputs: Parametrised, *z: float) -> Tensor:
    return inputs.inputs(torch.tensor([z], dtype=torch.float64))[0]


def test_each_change_equals_its_formula() -> None:
    mean = X.mean()
    expected = {
        "brightness": (at(brightness(X, -0.3, 0.3), 0.25), (X + 0.25).clamp(0, 1)),
        "contrast": (at(contrast(X, 0.5, 2), 1.5), (X * 1.5).clamp(0, 1)),
        "around the mean": (at(contrast(X, 0.5, 2, around="mean"), 0.5), mean + 0.5 * (X - mean)),
        "both": (at(brightness_and_contrast(X, (-1, 1), (0.5, 2)), -0.1, 1.5), (1.5 * X - 0.1).clamp(0, 1)),
        "no clip": (at(brightness(X, -1, 1, clip=None), 0.5), X + 0.5),
        "mixture": (at(convex_mixture(X, 1 - X), 0.25), 0.75 * X + 0.25 * (1 - X)),
        "haze": (at(haze(X, 0.5, 0.9), 0.5), 0.5 * X + 0.45),
    }
    for name, (found, wanted) in expected.items():
        torch.testing.assert_close(found, wanted, msg=name)


def test_a_bias_field_is_a_polynomial_of_the_pixel() -> None:
    # order 1: 1, u (column, -1 0 1), v (row, -1 1); x (1 + 0.1 + 0.2 u - 0.3 v)
    field = bias_field(X, 1, 0.5, clip=None)
    assert field.box.shape == (3,)
    factors = torch.tensor([[1.2, 1.4, 1.6], [0.6, 0.8, 1.0]])
    torch.testing.assert_close(at(field, 0.1, 0.2, -0.3), X * factors)
    assert bias_field(X, 2, 0.5).box.shape == (6,)
    assert bias_field(X[..., :1, :1], 0, 0.5).box.shape == (1,)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_affine_image_minimum_is_reached_at_a_corner_and_never_passed(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    offset = torch.randn(4, generator=generator, dtype=torch.float64)
    basis = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    half = torch.rand(3, generator=generator, dtype=torch.float64)
    image = AffineImage(offset, basis, Box(-half, 2 * half))
    functions = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    corners = torch.cartesian_prod(*torch.stack([-half, 2 * half], 1))
    values = (offset + corners @ basis) @ functions.T
    torch.testing.assert_close(image.minimum(functions), values.amin(0))
    box = image.bounding_box()
    points = offset + (corners @ basis)
    torch.testing.assert_close(box.lower, points.amin(0))
    torch.testing.assert_close(box.upper, points.amax(0))
    assert bool(box.contains(points).all())
    assert bool(image.contains(points).all())
    torch.testing.assert_close(image.module().double()(corners), points)


def test_membership_of_an_affine_image() -> None:
    image = AffineImage(torch.zeros(2), torch.tensor([[1.0, 1.0]]), Box(torch.zeros(1), torch.ones(1)))
    points = torch.tensor([[0.5, 0.5], [1.0, 1.0], [0.5, 0.50001], [1.1, 1.1], [float("nan"), 0.0]])
    assert image.contains(points).tolist() == [True, True, False, False, False]


def last_pixel() -> nn.Module:
    """Logits ``[sum, 0]`` of a flattened 2 x 3 image."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0] * 6, [0.0] * 6]))
        network[1].bias.zero_()
    return network


def verdict(inputs: Parametrised | AffineImage, question: Property) -> tuple[Verdict, nn.Module, Box]:
    module, box = composed(question, last_pixel())
    graph = trace(module, box.shape, device=CPU, box=box)
    (answer,) = BoundVerifier(method="crown").verify(graph, [Property(box, question.unsafe)])
    return answer.verdict, module, box


def test_composition_proves_what_holds_and_not_what_fails() -> None:
    # The sum of X is 3. With brightness d in [-0.3, 0.3] unclipped it is 3 + 6 d, in [1.2, 4.8].
    safe = brightness(X, -0.3, 0.3, clip=None)
    assert verdict(safe, misclassification(safe, 0, 2))[0] is Verdict.VERIFIED
    assert verdict(safe, output_range(safe, 1.19, 4.81, 0, 2))[0] is Verdict.VERIFIED
    found, module, box = verdict(safe, output_range(safe, 1.21, None, 0, 2))
    assert found is Verdict.UNKNOWN
    assert bool(output_range(safe, 1.21, None, 0, 2).unsafe.contains(module(box.lower[None].float())))
    image = AffineImage(X, torch.ones(1, *X.shape), safe.box)
    assert verdict(image, output_range(image, 1.19, 4.81, 0, 2))[0] is Verdict.VERIFIED


def test_a_clip_is_part_of_the_composition() -> None:
    # Clipped to [0, 1], brightness up to 1 gives a sum of at most 6 (CROWN: 6.6); without the clip 9.
    for clip in ((0.0, 1.0), (torch.zeros(X.shape), torch.ones(X.shape))):
        bright = brightness(X, 0, 1, clip=clip)
        assert verdict(bright, output_range(bright, None, 7.0, 0, 2))[0] is Verdict.VERIFIED
        assert bright.bounding_box().upper.tolist() == torch.ones(X.shape).tolist()
    loose = brightness(X, 0, 1, clip=None)
    assert verdict(loose, output_range(loose, None, 7.0, 0, 2))[0] is Verdict.UNKNOWN


def test_a_generator_and_a_double_network_compose() -> None:
    generator = nn.Sequential(nn.Linear(2, 6), nn.Unflatten(1, (1, 2, 3)))
    latent = latent_box(generator, Box(-torch.ones(2), torch.ones(2)))
    assert latent.shape == (1, 2, 3)
    network = last_pixel().double()
    module, box = composed(misclassification(latent, 0, 2), network)
    z = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    torch.testing.assert_close(module(z), network(latent.inputs(z).double()), rtol=1e-6, atol=1e-6)
    assert next(generator.parameters()).dtype == torch.float32  # the user's module stays as it was
    assert box.shape == (2,)


def test_images_of_parameters_refuse_what_they_cannot_know() -> None:
    latent = latent_box(nn.Linear(2, 3), Box(-torch.ones(2), torch.ones(2)))
    for ask in (
        latent.bounding_box,
        lambda: latent.contains(torch.zeros(1, 3)),
        lambda: latent.minimum(torch.ones(1, 3)),
    ):
        with pytest.raises(PropertyError, match="composed"):
            ask()
    with pytest.raises(PropertyError, match="kind of input set"):
        BoundVerifier(method="crown").verify(
            trace(nn.Linear(3, 2), (3,), device=CPU), [misclassification(latent, 0, 2)]
        )


ONE = Box(torch.zeros(1), torch.ones(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: brightness(X, 0.3, -0.3),
        lambda: brightness(X, float("nan"), 1),
        lambda: brightness(X, 0, 1, clip=(1.0, 0.0)),
        lambda: brightness(X * float("nan"), 0, 1),
        lambda: contrast(X, 0, 1, around="median"),  # type: ignore[arg-type]
        lambda: bias_field(torch.zeros(3), 1, 0.1),
        lambda: bias_field(X, -1, 0.1),
        lambda: bias_field(X, 1, -0.1),
        lambda: convex_mixture(X, X[0]),
        lambda: convex_mixture(X, X, -0.1, 1),
        lambda: haze(X, 1.5),
        lambda: haze(X, 0.5, torch.ones(7)),
        lambda: AffineImage(torch.zeros(2), torch.zeros(2), ONE),
        lambda: AffineImage(torch.zeros(2), torch.zeros(2, 2), ONE),
        lambda: latent_box(nn.Linear(3, 2), ONE),
        lambda: composed(misclassification(L1Ball(torch.zeros(1), 1.0, ONE), 0, 2), nn.Linear(1, 2)),
    ],
)
def test_impossible_changes_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(PropertyError):
        make()
