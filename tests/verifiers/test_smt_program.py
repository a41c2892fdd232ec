"""The exact program of a network: against exact fractions by hand, against torch, against sampled points."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from robust.errors import NonFiniteError, UnsupportedOperatorError
from robust.properties import Box, linf_ball
from tests.graph.architectures import ARCHITECTURES, build
from tests.verifiers.smt_networks import box, graph_of, hat, linear, random_box, random_network
from verifiers.smt.encode import Size, TooLargeError, encode
from verifiers.smt.program import Row

LINEAR_ONES = [name for name in ARCHITECTURES if name != "sigmoid"]


def test_fixed_inputs_become_constants_and_stable_neurons_are_folded() -> None:
    # x0 in [1, 2] makes relu(x0) = x0 and relu(-x0) = 0; x1 = -3 makes relu(x1) = 0: the output is x0, unit-free.
    program = encode(graph_of(hat(), (2,)), box([1, -3], [2, -3]), Size()).program
    assert program.inputs == 1
    assert program.units == ()
    assert program.outputs == (Row({0: Fraction(1)}),)


def test_open_neurons_are_counted_by_hand() -> None:
    # x0 in [-1, 1] opens two rectifiers, x1 in [1, 2] none.
    program = encode(graph_of(hat(), (2,)), box([-1, 1], [1, 2]), Size()).program
    assert len(program.units) == 2
    for x0, x1 in ((Fraction(-1, 3), Fraction(3, 2)), (Fraction(1), Fraction(2))):
        assert program.run([x0, x1]) == [abs(x0) - 2 * x1]


def test_weights_are_the_stored_floats_even_beside_a_huge_bias() -> None:
    # 1e-9 + 1e9 - 1e9 is 0 in float64: a matrix read off as f(e_i) - f(0) would have lost the weight.
    program = encode(graph_of(linear([[1e-9]], [1e9]), (1,)), box([0], [1]), Size()).program
    stored = Fraction(float(np.float32(1e-9)))
    assert program.outputs == (Row({0: stored}, Fraction(float(np.float32(1e9)))),)


@pytest.mark.parametrize("name", LINEAR_ONES)
def test_the_program_computes_what_the_network_computes(name: str) -> None:
    module, shape = build(name)
    generator = torch.Generator().manual_seed(3)
    lower = torch.rand(shape, generator=generator) - 0.5
    upper = lower + torch.rand(shape, generator=generator)
    program = encode(graph_of(module, shape), Box(lower, upper), Size()).program
    with torch.no_grad():
        points = lower + (upper - lower) * torch.rand(4, *shape, generator=generator)
        expected = module(points).reshape(4, -1)
    for point, wanted in zip(points, expected, strict=True):
        got = program.run([Fraction(value) for value in point.flatten().tolist()])
        for exact, value, room in zip(got, wanted.tolist(), program.rounding, strict=True):
            # the proved float32 error bound is at the same time tight enough to be a test of the formula
            assert abs(float(exact) - value) <= room + 1e-6 * abs(value)
            assert room < 1e-3


@pytest.mark.parametrize("seed", range(10))
def test_every_unknown_stays_within_its_proved_ends_and_its_chord(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    module, shape, _ = random_network(seed % 5, generator)
    sample, epsilon, whole = random_box(shape, seed, generator)
    ball = linf_ball(sample, max(epsilon, 0.2), whole)
    program = encode(graph_of(module, shape), ball, Size()).program
    for _ in range(8):
        share = torch.rand(shape, generator=generator).round() if seed % 2 else torch.rand(shape, generator=generator)
        point = ball.clamp(ball.lower + share * (ball.upper - ball.lower)).flatten().tolist()
        values = [Fraction(point[place]) for place in program.places]
        for unit in program.units:
            output = unit.at(values)
            assert unit.lower <= output <= unit.upper
            if unit.chord is not None:
                line = unit.chord[0] * unit.arguments[0].at(values) + unit.chord[1]
                assert (output <= line) if unit.convex else (output >= line)
            values.append(output)


def test_too_many_open_neurons_are_counted_not_started() -> None:
    with pytest.raises(TooLargeError, match="2 unstable neurons, more than 1"):
        encode(graph_of(hat(), (2,)), box([-1, 1], [1, 2]), Size(unstable=1))


def test_too_many_neurons_are_refused_before_any_work() -> None:
    with pytest.raises(TooLargeError, match="3 nonlinear neurons, more than 2"):
        encode(graph_of(hat(), (2,)), box([-1, 1], [1, 2]), Size(neurons=2))


def test_a_sigmoid_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedOperatorError, match="sigmoid"):
        encode(graph_of(nn.Sequential(nn.Linear(1, 1), nn.Sigmoid()), (1,)), box([0], [1]), Size())


def test_nan_weights_are_refused() -> None:
    with pytest.raises(NonFiniteError):
        encode(graph_of(linear([[float("nan")]], [0]), (1,)), box([0], [1]), Size())
