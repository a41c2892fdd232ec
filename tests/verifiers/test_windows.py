"""Windows of pictures against whole pictures, transposed convolutions against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robust.graph import Graph, trace
from verifiers import Network, Region, lower_bounds
from verifiers.functions import Functions
from verifiers.methods import method_of
from verifiers.propagation import propagate
from verifiers.transposed import transposed

CPU = torch.device("cpu")


def convolution(kernel: int, stride: int, padding: int, dilation: int, groups: int, size: tuple[int, int]) -> Graph:
    with torch.random.fork_rng():
        torch.manual_seed(kernel + 10 * stride)
        layer = nn.Conv2d(2 * groups, 3 * groups, kernel, stride, padding, dilation, groups).double()
    return trace(layer, (2 * groups, *size), device=CPU)


@given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    size=st.tuples(st.integers(9, 13), st.integers(9, 13)),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_adjoint_of_a_convolution_is_that_of_autograd(
    kernel: int, stride: int, padding: int, dilation: int, groups: int, size: tuple[int, int]
) -> None:
    graph = convolution(kernel, stride, padding, dilation, groups, size)
    node = graph.nodes[-1]
    x = torch.zeros(2, *graph.input_shape, dtype=torch.float64, requires_grad=True)
    output = graph.forward(x)
    gradient = torch.randn(output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (wanted,) = torch.autograd.grad(output, x, gradient)
    torch.testing.assert_close(transposed(node, gradient, (padding, padding), size), wanted)


class Picture(nn.Module):
    """Convolutions with a residual sum; ``head`` reads every pixel."""

    def __init__(self, stride: int, padding: int, groups: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, stride, padding)
        self.second = nn.Conv2d(4, 4, 3, 1, 1, groups=groups)
        self.third = nn.Conv2d(4, 3, 2, 1, padding)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x))
        result: Tensor = self.third(torch.relu(y + self.second(y)))
        return result


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("size", [(14, 17), (6, 5)])
def test_windows_give_the_bounds_of_whole_pictures(
    stride: int, padding: int, groups: int, size: tuple[int, int]
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = Picture(stride, padding, groups).double().eval()
    network = Network(trace(module, (2, *size), device=CPU))
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 2, *size, dtype=torch.float64, generator=generator)
    region = Region(x - 0.1, x + 0.1)
    with torch.no_grad():
        linear = propagate(network, region, method_of("crown"), _effort())
        for index in sorted(network.relaxed_operands | {network.graph.output}):
            elements = network.graph.nodes[index].elements
            places = torch.stack([torch.randperm(elements, generator=generator)[:40] for _ in range(2)])
            windowed = linear.minimum(network.signed_elements(index, places))
            unit = torch.zeros(2, places.shape[1], elements, dtype=torch.float64).scatter_(2, places[:, :, None], 1.0)
            dense = linear.minimum(Functions.of(index, torch.cat([unit, -unit], 1)))
            torch.testing.assert_close(windowed, dense, rtol=1e-9, atol=1e-9)


def _effort():  # type: ignore[no-untyped-def]
    from verifiers import Effort

    return Effort()


@pytest.mark.parametrize("method", ["crown", "alpha-crown"])
def test_chunks_change_nothing(method: str) -> None:
    from verifiers import Effort

    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = nn.Sequential(Picture(1, 1, 1), nn.Flatten(), nn.LazyLinear(3)).double().eval()
        module(torch.zeros(1, 2, 7, 7, dtype=torch.float64))
    network = Network(trace(module, (2, 7, 7), device=CPU))
    x = torch.rand(5, 2, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    region, unit = Region(x - 0.05, x + 0.05), torch.eye(3)[None]
    whole = lower_bounds(network, region, unit, method)
    small = lower_bounds(network, region, unit, method, Effort(bytes=2**16))
    alone = torch.cat([lower_bounds(network, region.take(torch.tensor([i])), unit, method) for i in range(5)])
    torch.testing.assert_close(small, whole, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(alone, whole, rtol=1e-6, atol=1e-6)
