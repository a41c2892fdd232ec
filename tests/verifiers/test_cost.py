from __future__ import annotations

import pytest
import torch
from torch import nn

from robust.graph import trace
from tests.graph.architectures import ARCHITECTURES, build
from verifiers import Network
from verifiers.cost import worst_case

CPU = torch.device("cpu")


def network() -> Network:
    layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    return Network(trace(layers, (3,), device=CPU))


@pytest.mark.parametrize(
    ("method", "norm", "rows", "wanted"),
    [
        # Touching is 8 per element: input 3, linear 4 * (3 + 8), relu 4 * 8, linear 2 * (4 + 8): 103 in all.
        # Intervals: lower, upper and width forward, one function back; three passes' worth for both arithmetics.
        ("interval", "linf", 512, 3 * (3 * 103 + 103)),
        # The first layer is exact over boxes, so CROWN adds the pass with relaxations alone.
        ("crown", "linf", 512, 3 * (3 * 103 + 103 + 103)),
        # Over L2 balls its 4 neurons are bounded from both sides, each at 3 + 44.
        ("crown", "l2", 512, 3 * (3 * 103 + 103 + 103 + 2 * 4 * 47)),
        ("crown", "l2", 1, 3 * (3 * 103 + 103 + 103 + 2 * 1 * 47)),
        # The 3 inputs go through linear and relu, and with the 4 elements of relu through the second linear.
        ("zonotope", "linf", 512, 3 * (3 * 103 + 103 + 3 * 44 + 3 * 32 + 7 * 24)),
    ],
)
def test_counted_by_hand(method: str, norm: str, rows: int, wanted: int) -> None:
    assert worst_case(network(), method=method, norm=norm, rows=rows, functions=1) == wanted


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_costs_its_kernel_per_output_element(stride: int) -> None:
    def cost(kernel: int) -> int:
        layer = nn.Conv2d(2, 5, kernel, stride=stride, padding=kernel // 2)
        module = nn.Sequential(layer, nn.Flatten())
        return worst_case(
            Network(trace(module, (2, 8, 8), device=CPU)), method="interval", norm="linf", rows=0, functions=1
        )

    outputs = 5 * (8 // stride) ** 2
    assert cost(3) - cost(1) == 3 * 4 * outputs * 2 * (9 - 1)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_more_work_is_never_counted_as_less(name: str) -> None:
    module, shape = build(name)
    prepared = Network(trace(module, shape, device=CPU))
    interval = worst_case(prepared, method="interval", norm="linf", rows=64, functions=2)
    few, many = (worst_case(prepared, method="crown", norm="linf", rows=rows, functions=2) for rows in (1, 64))
    assert 0 < interval <= few <= many
    assert many <= worst_case(prepared, method="crown", norm="l2", rows=64, functions=2)
