"""Maps against answers known by hand, and against what was planted."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from robust.audit.checks.explanations import WINDOWS
from robust.errors import NotExplainableError
from robust.explanation import (
    METHODS,
    Explainer,
    Method,
    grad_cam,
    guided_grad_cam,
    integrated_gradients,
    mass_inside,
    occlusion,
    pointing_hits,
)
from robust.explanation.occlusion import default_window
from robust.graph import Graph, trace
from robust.properties import Box
from robust.subjects import OnnxClassifier, TorchClassifier
from tests.doubles import ModuleClassifier, linear, mlp
from tests.explanation.planted import detector, pixel_reader, planted
from tests.graph.onnx_files import graph as onnx_graph
from tests.graph.onnx_files import write

CPU = torch.device("cpu")


def two_channels() -> nn.Module:
    """A1 = relu(x), A2 = relu(x - 2); class 0 reads A1 at one place and A2 everywhere, class 1 A2 at one place."""
    convolution, head = nn.Conv2d(1, 2, 1), nn.Linear(8, 2)
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        convolution.bias.copy_(torch.tensor([0.0, -2.0]))
        head.weight.copy_(torch.tensor([[4.0, 0, 0, 0, -1, -1, -1, -1], [0.0, 0, 0, 0, 0, 0, 0, 8]]))
        head.bias.zero_()
    return nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), head).eval().requires_grad_(False)


def graph_of(module: nn.Module, *shape: int) -> Graph:
    return trace(module, shape, device=CPU)


def test_grad_cam_of_two_channels_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]).expand(2, 1, 2, 2)
    graph = graph_of(two_channels(), 1, 2, 2)
    maps = grad_cam(graph, x, torch.tensor([0, 1]))
    # class 0: alpha = (4/4, -1), relu(A1 - A2); class 1: alpha = (0, 8/4), relu(2 A2)
    torch.testing.assert_close(maps, torch.tensor([[[1.0, 2.0], [2.0, 2.0]], [[0.0, 0.0], [2.0, 4.0]]]))
    against = grad_cam(graph, x[:1], torch.tensor([0]), counterfactual=True)
    torch.testing.assert_close(against, torch.zeros(1, 2, 2))


def test_guided_grad_cam_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]).expand(2, 1, 2, 2)
    maps = guided_grad_cam(graph_of(two_channels(), 1, 2, 2), x, torch.tensor([0, 1]))
    # what flows back through the rectifiers, negative parts dropped: 4 at the first place; 8 at the last
    torch.testing.assert_close(maps, torch.tensor([[[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 32.0]]]))


def test_functions_and_modules_are_explained_alike() -> None:
    class Functional(nn.Module):
        def __init__(self, layers: nn.Module) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[3](torch.relu(self.layers[0](x)).flatten(1))

    x, _ = planted(3)
    classes = torch.tensor([1, 1, 0])
    for method in (grad_cam, guided_grad_cam):
        expected = method(graph_of(detector(), 1, 8, 8), x, classes)
        torch.testing.assert_close(method(graph_of(Functional(detector()), 1, 8, 8), x, classes), expected)


def test_an_onnx_file_is_explained_like_the_module(tmp_path: Path) -> None:
    module = detector()
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["z"]),
        helper.make_node("Relu", ["z"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "c"], ["y"], transB=1),
    ]
    names = ("w", "b", "v", "c")
    constants = {name: p.numpy() for name, p in zip(names, module.parameters(), strict=True)}
    file = write(onnx_graph(nodes, {"x": ["N", 1, 8, 8]}, constants), tmp_path)
    x, _ = planted(6)
    classes, baseline = torch.tensor([1, 1, 0, 1, 0, 1]), torch.full((1, 8, 8), 0.15)
    explainers = [Explainer.of(c, baseline) for c in (OnnxClassifier(file), TorchClassifier(module, (1, 8, 8)))]
    for method in METHODS:
        ours, expected = (explainer.maps(method, x, classes) for explainer in explainers)
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
        shuffled = explainers[0].randomised(torch.Generator().manual_seed(0)).maps(method, x, classes)
        assert not torch.allclose(shuffled, ours)


def test_integrated_gradients_of_a_product_by_hand() -> None:
    def product(x: Tensor) -> Tensor:
        return (x[:, :1] * x[:, 1:]).expand(-1, 2)

    maps = integrated_gradients(product, torch.tensor([[2.0, 3.0]]), torch.tensor([1]), torch.zeros(2))
    torch.testing.assert_close(maps, torch.tensor([[3.0, 3.0]]))


@pytest.mark.parametrize("shape", [(6,), (2, 5, 5), (4, 6, 5)])
def test_integrated_gradients_sum_to_the_difference_of_the_logits(shape: tuple[int, ...]) -> None:
    classifier = mlp(shape, 3)
    x = torch.rand(5, *shape, generator=torch.Generator().manual_seed(1))
    baseline, classes = torch.full(shape, 0.25), torch.tensor([0, 1, 2, 0, 1])
    maps = integrated_gradients(classifier.logits, x, classes, baseline, steps=300)
    with torch.no_grad():
        change = classifier.logits(x) - classifier.logits(baseline[None])
    torch.testing.assert_close(maps.flatten(1).sum(1), change[torch.arange(5), classes], atol=2e-3, rtol=0)


def test_occlusion_of_a_linear_model_is_its_terms() -> None:
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    x, baseline = torch.tensor([[1.0, 0.5, 0.2], [0.0, 1.0, 1.0]]), torch.tensor([0.5, 0.5, 0.0])
    maps = occlusion(linear(weight).logits, x, torch.tensor([0, 1]), baseline)
    torch.testing.assert_close(maps, weight * (x - baseline))


def test_occlusion_averages_the_windows_over_a_place() -> None:
    x = torch.ones(1, 1, 8, 8)
    maps = occlusion(pixel_reader(), x, torch.tensor([1]), torch.zeros(1, 8, 8), window=2)
    hit = maps[0] != 0
    # windows of side 2 that move by 1: those over (2, 5) start at rows 1, 2 and columns 4, 5
    assert hit.nonzero().tolist() == [[r, c] for r in (1, 2, 3) for c in (4, 5, 6)]
    assert maps[0, 2, 5] == pytest.approx(10.0)
    assert maps[0, 1, 5] == pytest.approx(5.0)
    assert maps[0, 1, 4] == pytest.approx(2.5)


def test_windows_of_default_size_are_no_more_than_the_estimate_says() -> None:
    for side in (5, 13, 20, 27, 34, 48, 64):
        asked = 0

        def count(x: Tensor) -> Tensor:
            nonlocal asked
            asked += len(x)
            return x.flatten(1)[:, :2]

        occlusion(count, torch.zeros(1, 1, side, side), torch.tensor([0]), torch.ones(1, side, side))
        assert asked - 1 <= WINDOWS, side  # captum asks for the sample itself, too
        assert side != 20 or asked - 1 == WINDOWS


def test_windows_of_any_size_cover_everything() -> None:
    total = nn.Sequential(nn.Flatten(), nn.Linear(42, 2))
    with torch.no_grad():
        total[1].weight.fill_(1.0)
    for window in (1, 2, 3, 5, 100):
        maps = occlusion(total, torch.ones(2, 1, 7, 6), torch.tensor([0, 1]), torch.zeros(1, 7, 6), window=window)
        assert maps.shape == (2, 7, 6)
        assert (maps > 0).all(), window
    assert [default_window(s) for s in ((5,), (1, 8, 8), (3, 224, 224), (4, 10, 30))] == [1, 1, 32, 1]


@pytest.mark.parametrize("method", METHODS)
def test_maps_point_at_the_planted_pattern(method: Method) -> None:
    x, masks = planted(40)
    explainer = Explainer.of(ModuleClassifier(detector(), (1, 8, 8), 2), torch.full((1, 8, 8), 0.15))
    maps = explainer.maps(method, x, torch.ones(40, dtype=torch.int64))
    assert maps.shape == masks.shape
    assert float(pointing_hits(maps, masks).float().mean()) >= 0.9
    assert float(mass_inside(maps, masks).median()) >= 4 * 4 / 64  # four times what a flat map would have there


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_maps_point_at_the_one_pixel_that_counts(method: Method) -> None:
    x = 0.5 + 0.5 * torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(20, 8, 8, dtype=torch.bool)
    masks[:, 2, 5] = True
    explainer = Explainer.of(ModuleClassifier(pixel_reader(), (1, 8, 8), 2), torch.zeros(1, 8, 8), window=1)
    maps = explainer.maps(method, x, torch.ones(20, dtype=torch.int64))
    assert pointing_hits(maps, masks).all()
    torch.testing.assert_close(mass_inside(maps, masks), torch.ones(20, dtype=torch.float64))


def test_a_black_box_is_occluded_and_nothing_else() -> None:
    black = ModuleClassifier(detector(), (1, 8, 8), 2, differentiable=False)
    x, masks = planted(10)
    explainer = Explainer.of(black, torch.full((1, 8, 8), 0.15))
    classes = torch.ones(10, dtype=torch.int64)
    assert pointing_hits(explainer.maps("occlusion", x, classes), masks).float().mean() >= 0.9
    for method in ("grad_cam", "guided_grad_cam", "integrated_gradients"):
        with pytest.raises(NotExplainableError, match="a black box gives none"):
            explainer.maps(method, x, classes)
    with pytest.raises(NotExplainableError, match="shuffled"):
        explainer.randomised(torch.Generator())


def test_grad_cam_without_a_convolution_is_refused_by_name() -> None:
    explainer = Explainer.of(mlp((1, 4, 4), 3), torch.zeros(1, 4, 4))
    with pytest.raises(NotExplainableError, match="relu"):
        explainer.maps("grad_cam", torch.rand(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize(("rows", "classes"), [(0, []), (2, [1])])
def test_one_class_per_sample(rows: int, classes: list[int]) -> None:
    with pytest.raises(NotExplainableError, match="one class per sample"):
        occlusion(pixel_reader(), torch.rand(rows, 1, 8, 8), torch.tensor(classes).long(), torch.zeros(1, 8, 8))


def test_many_samples_give_what_each_gives_alone() -> None:
    x, _ = planted(5)
    explainer = Explainer.of(ModuleClassifier(detector(), (1, 8, 8), 2), torch.full((1, 8, 8), 0.15))
    classes = torch.tensor([1, 0, 1, 1, 0])
    for method in METHODS:
        alone = [explainer.maps(method, x[i : i + 1], classes[i : i + 1]) for i in range(5)]
        torch.testing.assert_close(explainer.maps(method, x, classes), torch.cat(alone), atol=1e-5, rtol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    module = detector()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    explainer = Explainer(module, module, Box(torch.zeros(1, 8, 8), torch.ones(1, 8, 8)), torch.zeros(1, 8, 8))
    x, _ = planted(2)
    copy = x.clone()
    for method in METHODS:
        assert math.isfinite(float(explainer.maps(method, x, torch.tensor([1, 0])).sum()))
    explainer.randomised(torch.Generator().manual_seed(0))
    assert torch.equal(x, copy)
    assert not x.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(m._forward_hooks or m._backward_hooks for m in module.modules())


def test_captum_and_its_plotting_library_wait_for_the_first_map() -> None:
    code = "import sys, robust.audit.catalogue; sys.exit(int('captum' in sys.modules or 'matplotlib' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
