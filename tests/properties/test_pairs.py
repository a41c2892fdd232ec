"""Product networks: what holds by hand is proved, what fails has a witness among samples."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.graph import trace
from robust.properties import Box, Paired, Property, locally_stable, monotone, unchanged_decision
from robust.record import Verdict
from verifiers import BoundVerifier

UNIT = Box(torch.zeros(3), torch.ones(3))
CPU = torch.device("cpu")


def linear(*rows: list[float], bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(3, len(rows))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
        layer.bias.fill_(bias)
    return layer


def verdict(pair: tuple[Paired, Property]) -> Verdict:
    module, question = pair
    graph = trace(module, question.inputs.shape, device=CPU, box=question.inputs.bounding_box())
    return BoundVerifier(method="crown").verify(graph, [question])[0].verdict


def witnesses(pair: tuple[Paired, Property], count: int = 4000) -> tuple[Tensor, Tensor]:
    """Both inputs of the sampled joint inputs whose outputs are unsafe."""
    module, question = pair
    box = question.inputs.bounding_box()
    share = torch.rand(count, *box.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    joint = box.lower + share * (box.upper - box.lower)
    with torch.no_grad():
        hits = question.unsafe.contains(module.double()(joint))
    return module.inputs(joint[hits])


def test_a_decision_that_ignores_a_coordinate_is_fair() -> None:
    # y0 = x0 - x1, y1 = x1 - x0 + 0.1, and an active ReLU layer; coordinate 2 plays no role.
    network = nn.Sequential(
        linear([1, 0, 0], [0, 1, 0], [1, 1, 0], bias=0.5), nn.ReLU(), linear([1, -1, 0], [-1, 1, 0])
    )
    pair = unchanged_decision(network, UNIT, [2], 2)
    assert verdict(pair) is Verdict.VERIFIED
    assert len(witnesses(pair)[0]) == 0


def test_a_decision_that_uses_it_is_not() -> None:
    pair = unchanged_decision(linear([1, 0, 0.2], [0, 1, 0]), UNIT, [2], 2)
    assert verdict(pair) is Verdict.UNKNOWN
    first, second = witnesses(pair)
    assert len(first) > 0
    assert torch.equal(first[:, :2], second[:, :2])
    decisions = [(x[:, 0] + 0.2 * x[:, 2] > x[:, 1]) for x in (first, second)]
    assert bool((decisions[0] != decisions[1]).all())


def test_one_output_with_a_threshold_and_a_replacement() -> None:
    # y = x0 + x2 / 2, in [0.6, 0.9] where x0 is and x2 in {0}; replaced by at most 0.1 it stays above 0.5.
    box = Box(torch.tensor([0.6, 0, 0]), torch.tensor([0.9, 1, 0]))
    network = linear([1, 0, -0.5])
    near, far = (Box(torch.zeros(1), torch.tensor([top])) for top in (0.1, 1.0))
    assert verdict(unchanged_decision(network, box, [2], 1, replacement=near, threshold=0.5)) is Verdict.VERIFIED
    unfair = unchanged_decision(network, box, [2], 1, replacement=far, threshold=0.5)
    assert verdict(unfair) is Verdict.UNKNOWN
    assert len(witnesses(unfair)[0]) > 0


def test_three_classes_flip_when_both_decisions_are_clear() -> None:
    _, question = unchanged_decision(linear([0] * 3, [0] * 3, [0] * 3), UNIT, [0], 3, margin=0.5)
    outputs = torch.tensor(
        [
            [2, 1, 0, 2, 1, 0],  # the same
            [2, 1, 0, 1, 2, 0],  # 0 then 1
            [2, 1.6, 0, 1, 2, 0],  # 0 by too little
            [0, 1, 2, 0, 0, 0],  # then a tie
            [0, 1, 2, 3, 0, 0],  # 2 then 0
        ]
    )
    assert question.unsafe.contains(outputs.double()).tolist() == [False, True, False, False, True]


def test_monotone_by_hand() -> None:
    # y0 = relu(x0 + x1 + 1), y1 = -x0: raising x0 raises y0 and lowers y1.
    network = nn.Sequential(linear([1, 1, 0], [-1, 0, 0], [0, 0, 0], bias=1.0), nn.ReLU(), linear([1, 0, 0], [0, 1, 0]))
    assert verdict(monotone(network, UNIT, 0, 0.5, 0, 2)) is Verdict.VERIFIED
    assert verdict(monotone(network, UNIT, 0, 0.5, 0, 2, falling=True)) is Verdict.UNKNOWN
    lowered = monotone(network, UNIT, 0, 0.5, 1, 2)
    assert verdict(lowered) is Verdict.UNKNOWN
    first, second = witnesses(lowered)
    assert len(first) > 0
    assert bool((second[:, 0] > first[:, 0]).all())
    assert torch.equal(first[:, 1:], second[:, 1:])


def test_local_stability_is_the_row_sum_times_the_radius() -> None:
    # |y - y'| <= 0.1 (1 + 2 + 0.5) = 0.35 for a linear function.
    network = linear([1, -2, 0.5])
    assert verdict(locally_stable(network, UNIT, 0.1, 0.36, 1)) is Verdict.VERIFIED
    loose = locally_stable(network, UNIT, 0.1, 0.3, 1)
    assert verdict(loose) is Verdict.UNKNOWN
    assert len(witnesses(loose)[0]) > 0


def test_a_clip_keeps_the_second_input_inside() -> None:
    image = Box(torch.zeros(1, 1, 3), torch.ones(1, 1, 3))
    module, question = locally_stable(nn.Sequential(nn.Flatten(), linear([1, 1, 1])), image, 0.5, 1.0, 1, clip=image)
    first, second = module.inputs(torch.tensor([[0.9, 0.1, 0.5, 0.5, -0.5, 0.25]]))
    assert first.shape == second.shape == (1, 1, 1, 3)
    assert second.flatten().tolist() == pytest.approx([1.0, 0.0, 0.75])
    assert trace(module, question.inputs.shape, device=CPU).outputs == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: unchanged_decision(linear([0] * 3), UNIT, [], 1),
        lambda: unchanged_decision(linear([0] * 3), UNIT, [3], 1),
        lambda: unchanged_decision(linear([0] * 3), UNIT, [1, 1], 1),
        lambda: unchanged_decision(linear([0] * 3), UNIT, [1], 0),
        lambda: unchanged_decision(linear([0] * 3), UNIT, [1], 1, margin=0.0),
        lambda: unchanged_decision(linear([0] * 3), UNIT, [1], 1, replacement=UNIT),
        lambda: monotone(linear([0] * 3), UNIT, 3, 0.1, 0, 1),
        lambda: monotone(linear([0] * 3), UNIT, 0, -0.1, 0, 1),
        lambda: monotone(linear([0] * 3), UNIT, 0, 0.1, 1, 1),
        lambda: locally_stable(linear([0] * 3), UNIT, float("nan"), 0.1, 1),
        lambda: locally_stable(linear([0] * 3), UNIT, 0.1, 0.0, 1),
        lambda: locally_stable(linear([0] * 3), UNIT, 0.1, 0.1, 1, clip=Box(torch.zeros(2), torch.ones(2))),
    ],
)
def test_impossible_comparisons_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(PropertyError):
        make()
