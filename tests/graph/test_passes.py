"""Every pass keeps the answers, in float64, and makes the graph smaller where it should."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robust.errors import UnsupportedOperatorError
from robust.graph import Graph, Kind, trace
from robust.graph.passes import PASSES, absolute_as_relu, simplified
from tests.graph.architectures import ARCHITECTURES_ALL, Lambda, build
from verifiers import Network, Region, lower_bounds
from verifiers.smt import Size, refuse_unsupported

CPU = torch.device("cpu")


def raw(module: nn.Module, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> Graph:
    """The graph before any pass."""
    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("robust.graph.trace"), "simplified", lambda graph: graph)
        return trace(module, shape, device=CPU)


@pytest.mark.parametrize("name", ARCHITECTURES_ALL)
def test_passes_keep_the_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, shape = build(name)
    module = module.double()
    graph = raw(module, shape, monkeypatch).to(torch.float64)
    near = 1e-9 if any(True for _ in module.parameters()) else 3e-6  # without parameters it is traced in float32
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    wanted = module(x).detach()
    for one in (*PASSES, simplified, absolute_as_relu):
        made = one(graph)
        torch.testing.assert_close(made.forward(x).reshape(wanted.shape), wanted, rtol=near, atol=near)
        assert len(made.nodes) <= len(graph.nodes) or one is absolute_as_relu
        assert all(source < node.index for node in made.nodes for source in node.inputs)
        assert [node.index for node in made.nodes] == list(range(len(made.nodes)))


def ops(module: nn.Module, *shape: int) -> list[str]:
    return [node.op for node in trace(module, shape, device=CPU).nodes]


def test_batch_norm_falls_into_the_convolution_before_it() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.ConvTranspose2d(2, 4, 2, groups=2))
    module = nn.Sequential(*module, nn.BatchNorm2d(4)).eval()
    assert ops(module, 1, 5, 5) == ["input", "convolution", "relu", "convolution"]


def test_batch_norm_stays_where_the_convolution_is_read_twice() -> None:
    convolution, norm = nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1).eval()
    norm.running_mean = torch.ones(1)
    found = ops(
        Lambda(lambda x: convolution(x) * norm(convolution(x)) + (lambda y: y + norm(y))(convolution(x))), 1, 4, 4
    )
    assert found.count("convolution") == 3
    assert "add" in found


def test_normalisation_falls_into_the_layer_behind_it_only_without_padding() -> None:
    mean, std = torch.tensor([0.1, 0.5])[:, None, None], torch.tensor([0.2, 0.4])[:, None, None]
    for padding, kept in ((0, []), (1, ["add"])):
        convolution = nn.Conv2d(2, 2, 3, padding=padding)
        assert ops(Lambda(lambda x, c=convolution: c((x - mean) / std)), 2, 4, 4) == ["input", *kept, "convolution"]
    linear = nn.Linear(8, 2)
    assert ops(Lambda(lambda x: linear(((x - mean[:, 0]) / std[:, 0]).flatten(1))), 2, 4) == [
        "input",
        "reshape",
        "linear",
    ]


def test_folded_weights_are_what_the_hand_makes_of_them() -> None:
    """``3 (2 x + 1) + 4 = 6 x + 7``, and ``2 (x - 5) / 10 + 1 = 0.2 x + 0``."""
    layer = nn.Linear(1, 1)
    layer.weight.data, layer.bias.data = torch.tensor([[2.0]]), torch.tensor([1.0])
    (_, node) = trace(Lambda(lambda x: 3 * layer(x) + 4), (1,), device=CPU).nodes
    assert (node.arguments["weight"].item(), node.arguments["bias"].item()) == (6.0, 7.0)
    (_, node) = trace(Lambda(lambda x: layer((x - 5) / 10)), (1,), device=CPU).nodes
    assert node.arguments["weight"].item() == pytest.approx(0.2)
    assert node.arguments["bias"].item() == pytest.approx(0.0, abs=1e-7)


def test_constants_and_reshapes_in_a_row_become_one_and_identities_none() -> None:
    graph = trace(Lambda(lambda x: ((x + 1 + 2) * 3 * 0.5).reshape(-1, 2, 2).reshape(-1, 4) * 1 + 0), (4,), device=CPU)
    assert [node.op for node in graph.nodes] == ["input", "add", "mul"]
    assert graph.nodes[1].arguments["other"].item() == 3.0
    assert graph.nodes[2].arguments["other"].item() == 1.5


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda x: x * torch.sigmoid(x), "silu"),
        (lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))), "gelu"),
        (lambda x: (x * (torch.erf(x / math.sqrt(2)) + 1)) * 0.5, "gelu"),
        (lambda x: x * torch.tanh(F.softplus(x)), "mish"),
    ],
)
def test_written_out_gates_are_known(function, op) -> None:  # type: ignore[no-untyped-def]
    assert ops(Lambda(function), 3) == ["input", op]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * torch.sigmoid(2 * x),
        lambda x: x * (1 + torch.erf(x / 1.5)),
        lambda x: x.flip(1) * torch.sigmoid(x),
        lambda x: x * (1.5 + torch.erf(x / math.sqrt(2))),
    ],
)
def test_other_gates_stay_products(function) -> None:  # type: ignore[no-untyped-def]
    kinds = [node.kind for node in trace(Lambda(function), (3,), device=CPU).nodes]
    assert Kind.PRODUCT in kinds


def test_squares_quotients_and_softmax_take_the_agreed_forms() -> None:
    assert ops(Lambda(lambda x: x * x), 3) == ["input", "pow"]
    assert ops(Lambda(lambda x: 2 / x), 3) == ["input", "reciprocal", "mul"]
    assert ops(Lambda(lambda x: x / x.flip(1)), 3) == ["input", "flip", "reciprocal", "mul_convex"]
    assert ops(Lambda(lambda x: x / (x.abs().sum(1, keepdim=True) + 1)), 3)[-1] == "mul_convex"  # through a broadcast
    assert ops(Lambda(lambda x: x.flip(1).exp() * x), 3) == ["input", "flip", "exp", "mul_convex"]
    assert ops(nn.Softmax(1), 3) == ["input", "linear", "exp", "reshape", "sum", "add", "reciprocal"]
    assert ops(nn.Softmax(1), 2) == ["input", "linear", "sigmoid"]


def _all_new() -> list[str]:
    return ["exp", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "erf", "atan", "floor", "ceil", "round", "sign"]


@pytest.mark.parametrize("op", [*_all_new(), "square", "product", "silu", "gelu"])
def test_engines_bound_soundly_or_refuse(op: str) -> None:
    """Whatever an engine does not know, it says so; what it knows must hold at drawn points."""
    functions = {"square": torch.square, "product": lambda x: x * x.flip(1), "silu": F.silu, "gelu": F.gelu}
    function = functions.get(op) or getattr(torch, op)
    graph = trace(Lambda(lambda x: function(x - 0.7 if op in ("square", "sin", "silu") else x + 0.1)), (2,), device=CPU)
    lower, upper = torch.zeros(1, 2), torch.full((1, 2), 2.0)
    x = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 2
    for method in ("interval", "crown"):
        try:
            found = lower_bounds(Network(graph), Region(lower, upper), torch.eye(2)[None], method)[0]
        except UnsupportedOperatorError:
            continue
        assert (found <= graph.forward(x).amin(0) + 1e-5).all()
    with pytest.raises(UnsupportedOperatorError, match="not piecewise linear"):
        refuse_unsupported(graph, Size())


def test_absolute_values_are_still_exact_for_the_solver() -> None:
    graph = trace(Lambda(torch.abs), (3,), device=CPU)
    assert [node.op for node in graph.nodes] == ["input", "abs"]
    refuse_unsupported(graph, Size())
    assert {node.op for node in absolute_as_relu(graph).nodes} == {"input", "relu", "mul", "add"}


def test_a_sample_is_a_sample_whatever_the_batch() -> None:
    class Sequence(nn.Module):
        """Batch in the middle, as recurrent networks like it."""

        def forward(self, x: Tensor) -> Tensor:
            y = x.transpose(0, 1)
            return (y[0] + y[-1].relu()).softmax(-1)

    graph = trace(Sequence(), (4, 3), device=CPU)
    assert all(node.factor >= 1 for node in graph.nodes)
    x = torch.randn(7, 4, 3)
    torch.testing.assert_close(graph.forward(x), Sequence()(x))
