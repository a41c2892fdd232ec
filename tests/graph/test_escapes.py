"""What a model could do behind the recorder's back: every such detour is refused, by name.

Each model below answers as a plain linear layer does where all inputs are at most 1.5, and otherwise differently; a
graph that missed the difference would let bounds certify the wrong network.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.errors import ControlFlowError, GraphError, UnsupportedOperatorError
from robust.graph import trace
from robust.properties import Box
from verifiers import Network, Region, lower_bounds

CPU = torch.device("cpu")
Detour = Callable[[nn.Module, Tensor], Tensor]


def beyond(x: Tensor) -> Tensor:
    return torch.relu(x - 1.5) * 100


def written_slice(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = torch.zeros_like(x)
    hidden[:, 0] = beyond(x[:, 0])
    return layer(x) + hidden[:, :2]


def added_slice(layer: nn.Module, x: Tensor) -> Tensor:
    hidden = torch.zeros(len(x), 4)
    hidden[:, :1].add_(beyond(x[:, :1]))
    return layer(x) + hidden[:, :2]


def numpy_detour(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x) + torch.from_numpy(np.maximum(x.detach().numpy() - 1.5, 0) * 100)[:, :2]


def numpy_branch(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x) * (-1.0 if np.asarray(x.detach()).max() > 1.5 else 1.0)


def list_branch(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x) * (-1.0 if max(x.flatten().tolist()) > 1.5 else 1.0)


def batch_branch(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x) if len(x) in (2, 3) else -layer(x)


def tiny_batch_branch(layer: nn.Module, x: Tensor) -> Tensor:
    return batch_branch(layer, x) * 1e-5


def rare_dropout(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(nn.functional.dropout(x, 1e-5, training=True))


def fused_dropout(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(torch.native_dropout(x, 1e-5, True)[0])


def given_output(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(torch.tanh(x, out=torch.empty(0)))


class Detoured(nn.Module):
    def __init__(self, detour: Detour) -> None:
        super().__init__()
        self.detour = detour
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.detour(self.layer, x)


@pytest.mark.parametrize(
    ("detour", "error"),
    [
        (written_slice, UnsupportedOperatorError),
        (added_slice, UnsupportedOperatorError),
        (numpy_detour, ControlFlowError),
        (numpy_branch, ControlFlowError),
        (list_branch, ControlFlowError),
        (batch_branch, ControlFlowError),
        (tiny_batch_branch, ControlFlowError),
        (rare_dropout, ControlFlowError),
        (fused_dropout, ControlFlowError),
        (given_output, UnsupportedOperatorError),
    ],
)
def test_a_detour_is_refused(detour: Detour, error: type[GraphError]) -> None:
    with pytest.raises(error):
        trace(Detoured(detour), (4,), device=CPU)


class Hidden(nn.Module):
    """A branch that no operator shows: it reads the memory behind torch's back."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        values = (ctypes.c_float * x.numel()).from_address(x.contiguous().data_ptr())
        return self.layer(x) * (-1.0 if max(values) > 1.99 else 1.0)


def test_what_hides_from_the_recorder_is_tried_where_inputs_lie() -> None:
    box = Box(torch.zeros(4), torch.full((4,), 2.0))
    assert trace(Hidden(), (4,), device=CPU).outputs == 2  # nothing to be seen inside [0, 1]
    with pytest.raises(ControlFlowError):
        trace(Hidden(), (4,), device=CPU, box=box)


def test_averages_with_a_negative_divisor_are_bounded() -> None:
    """``-x / 2`` over [0, 1] reaches down to -0.5 and, after a ReLU of its negative, up to 0.5."""

    class Average(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            halved = nn.functional.avg_pool2d(x, 1, divisor_override=-2)
            return torch.relu(halved + 0.25).flatten(1)

    network = Network(trace(Average(), (1, 1, 2), device=CPU))
    region = Region(torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2))
    for method in ("interval", "crown"):
        lower = lower_bounds(network, region, torch.eye(2)[None], method)
        upper = -lower_bounds(network, region, -torch.eye(2)[None], method)
        torch.testing.assert_close(lower, torch.zeros(1, 2))
        torch.testing.assert_close(upper, torch.full((1, 2), 0.25))
