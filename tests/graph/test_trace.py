from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from robust.errors import ControlFlowError, GraphError, UnsupportedOperatorError
from robust.graph import Kind, affine_map, trace
from tests.graph.architectures import ARCHITECTURES_ALL, Lambda, build

CPU = torch.device("cpu")


def samples(count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ARCHITECTURES_ALL)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_graph_answers_as_the_module_does(name: str, count: int) -> None:
    module, shape = build(name)
    graph = trace(module, shape, device=CPU)
    x = samples(count, shape)
    with torch.no_grad():
        torch.testing.assert_close(graph.forward(x), module(x).reshape(graph.forward(x).shape), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES_ALL)
def test_float64_graph_agrees_with_the_float64_module(name: str) -> None:
    module, shape = build(name)
    graph = trace(module, shape, device=CPU).to(torch.float64)
    x = samples(3, shape)
    with torch.no_grad():
        torch.testing.assert_close(graph.forward(x).float(), module(x), rtol=1e-5, atol=1e-5)
    assert graph.forward(x).dtype == torch.float64


@pytest.mark.parametrize("name", ARCHITECTURES_ALL)
def test_nodes_are_in_topological_order_and_know_their_shapes(name: str) -> None:
    module, shape = build(name)
    graph = trace(module, shape, device=CPU)
    values = graph.values(samples(4, shape))
    for node, value in zip(graph.nodes, values, strict=True):
        assert all(source < node.index for source in node.inputs)
        assert tuple(value.shape) == node.batched(4)
        assert value.numel() == 4 * node.elements
    assert [node.kind for node in graph.nodes].count(Kind.INPUT) == 1


@pytest.mark.parametrize("name", ARCHITECTURES_ALL)
def test_affine_map_and_windows_rebuild_every_node(name: str) -> None:
    module, shape = build(name)
    graph = trace(module, shape, device=CPU).to(torch.float64)
    values = [
        value[0].reshape(-1) if node.factor == 1 else value.reshape(-1)
        for node, value in zip(graph.nodes, graph.values(samples(1, shape)), strict=True)
    ]
    for node in graph.nodes:
        if node.kind is Kind.AFFINE:
            matrices, offset = affine_map(graph, node)
            rebuilt = offset + sum(m @ values[i] for m, i in zip(matrices, node.inputs, strict=True))
            torch.testing.assert_close(rebuilt, values[node.index])
        elif node.kind is Kind.MAXIMUM:
            assert node.windows is not None
            padded = torch.cat([values[node.inputs[0]], torch.tensor([-torch.inf], dtype=torch.float64)])
            torch.testing.assert_close(padded[node.windows].amax(1), values[node.index])


def test_operators_and_attributes_can_be_read_off() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    graph = trace(module, (1, 8, 8), device=CPU)
    assert [node.op for node in graph.nodes] == ["input", "convolution", "relu", "reshape", "linear"]
    convolution, linear = graph.nodes[1], graph.nodes[4]
    assert convolution.arguments["stride"] == [2, 2]
    assert convolution.arguments["padding"] == [1, 1]
    assert convolution.place == "0 (Conv2d)"
    assert torch.equal(convolution.arguments["weight"], module[0].weight)
    assert torch.equal(linear.arguments["weight"], module[3].weight)
    assert torch.equal(linear.arguments["bias"], module[3].bias)


def test_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.BatchNorm1d(4))
    module[1].eval()
    before = torch.random.get_rng_state()
    running = module[2].running_mean.clone()
    trace(module, (3,), device=CPU)
    assert [child.training for child in module] == [True, False, True]
    assert module.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(module[2].running_mean, running)
    assert all(not child._forward_hooks and not child._forward_pre_hooks for child in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())


def _branch(x: Tensor) -> Tensor:
    return x * 2 if x.sum() > 0 else x


def _numpy(x: Tensor) -> Tensor:
    return x * torch.from_numpy(x.detach().numpy().max(1, keepdims=True))


def _buffer(x: Tensor) -> Tensor:
    buffer = torch.zeros(len(x), 4)
    buffer[:, :2] = x[:, :2]
    return buffer + x


def _through_a_view(x: Tensor) -> Tensor:
    y = x * 2
    y[:, 0].relu_()
    return y + x


@pytest.mark.parametrize(
    ("function", "error", "word"),
    [
        (_branch, ControlFlowError, "decides"),
        (_numpy, ControlFlowError, "leaves torch"),
        (_buffer, UnsupportedOperatorError, "shares memory"),
        (lambda x: x + torch.rand(4), ControlFlowError, "draws random numbers"),
        (lambda x: x + random.random(), ControlFlowError, "not the same for two inputs"),
        (lambda x: torch.special.bessel_j0(x), UnsupportedOperatorError, "bessel_j0"),
        (lambda x: x.topk(2, 1)[0], UnsupportedOperatorError, "topk"),
        (lambda x: x.sort(1)[0], UnsupportedOperatorError, "picks or sorts"),
        (lambda x: torch.where(x.isnan(), x, -x), UnsupportedOperatorError, "comparison"),
        (lambda x: x * x.argmax(1, keepdim=True), UnsupportedOperatorError, "comparison"),
        (lambda x: torch.asin(x), UnsupportedOperatorError, "Lambda"),
        (lambda x: x.masked_fill(torch.eye(4)[0] > 0, -torch.inf).amax(1), UnsupportedOperatorError, "masked"),
        (lambda x: x.masked_fill(x < 9, -torch.inf).softmax(1), UnsupportedOperatorError, "infinite value"),
        (lambda x: x.masked_fill(torch.ones(4) > 0, -torch.inf).softmax(1), UnsupportedOperatorError, "altogether"),
        (lambda x: x - x.mean(0), UnsupportedOperatorError, "batch axis"),
        (lambda x: x - x[:1], UnsupportedOperatorError, "batch axis"),
        (lambda x: x.flip(0), UnsupportedOperatorError, "batch axis"),
        (lambda x: x.t(), UnsupportedOperatorError, "batch axis"),
        (_through_a_view, UnsupportedOperatorError, "in place"),
        (lambda x: torch.ones(len(x), 2), GraphError, "does not depend"),
        (lambda x: (x, x), GraphError, "one tensor"),
        (lambda x: x.reshape(2, 4) + 1, GraphError, "cannot run"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(function, error, word) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=word):
        trace(Lambda(function), (4,), device=CPU)


def test_error_names_the_place_in_the_model() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Lambda(torch.asin)))
    with pytest.raises(UnsupportedOperatorError, match=r"1\.1 \(Lambda\)"):
        trace(module, (4,), device=CPU)


def test_wrong_input_shape_is_an_error() -> None:
    module, shape = build("dense")
    with pytest.raises(GraphError, match="another shape"):
        trace(module, shape, device=CPU).forward(torch.zeros(2, 4))
