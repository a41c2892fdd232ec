from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reports.sandwich import Contradiction, Strip, contradictions, is_sandwich, spread, step_line, strips
from robust.record import Curve, CurvePlot

ATTACK = [(0.0, 0.9), (0.1, 0.6), (0.2, 0.1)]
PROOF = [(0.0, 0.9), (0.1, 0.3)]


def test_between_two_budgets_only_the_nearest_measurement_speaks() -> None:
    assert strips([ATTACK], [PROOF], 0.0, 1.0) == [Strip(0.0, 0.1, 0.3, 0.9), Strip(0.1, 0.2, 0.0, 0.6)]


def test_the_best_proof_and_the_strongest_attack_count() -> None:
    other = [(0.0, 0.9), (0.1, 0.4)]
    weak = [(0.0, 1.0), (0.1, 1.0)]
    assert strips([ATTACK, weak], [PROOF, other], 0.0, 1.0)[0] == Strip(0.0, 0.1, 0.4, 0.9)


def test_where_only_one_side_was_measured_the_other_is_open() -> None:
    assert strips([[(0.2, 0.5)]], [[(0.1, 0.4)]], 0.0, 1.0) == [Strip(0.1, 0.2, 0.0, 1.0)]
    assert strips([[(0.1, 0.5)]], [[(0.1, 0.4)]], 0.0, 1.0) == []


def test_a_proof_above_an_attack_is_called_a_contradiction() -> None:
    assert contradictions([[(0.1, 0.5)]], [[(0.1, 0.6)]]) == [Contradiction(0.1, 0.6, 0.5)]
    assert contradictions([[(0.1, 0.5)]], [[(0.2, 0.6)]]) == [Contradiction(0.2, 0.6, 0.5)]
    assert contradictions([[(0.2, 0.5)]], [[(0.1, 0.6)]]) == []
    assert contradictions([ATTACK], [PROOF]) == []


def test_steps_hold_a_proof_to_the_left_and_an_attack_to_the_right() -> None:
    line = [(0.0, 0.9), (1.0, 0.4)]
    assert step_line(line, "certificate") == [(0.0, 0.9), (0.0, 0.4), (1.0, 0.4)]
    assert step_line(line, "attack") == [(0.0, 0.9), (1.0, 0.9), (1.0, 0.4)]
    assert step_line(line, "main") == line


def test_a_sandwich_needs_points_on_both_sides() -> None:
    attack = Curve(label="a", x=(0.0,), y=(1.0,), role="attack")
    proof = Curve(label="c", x=(0.0,), y=(1.0,), role="certificate")
    empty = Curve(label="c", x=(), y=(), role="certificate")
    plots = [CurvePlot(title="", x_label="", y_label="", curves=c) for c in ((attack, proof), (attack, empty))]
    assert [is_sandwich(plot) for plot in plots] == [True, False]


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.5)), min_size=1, max_size=20),
    st.lists(st.floats(0, 1), min_size=1, max_size=5, unique=True),
    st.lists(st.floats(0, 1), min_size=1, max_size=5, unique=True),
    st.floats(0, 1),
)
def test_the_truth_of_any_population_lies_inside(
    samples: list[tuple[float, float]], attacked: list[float], proved: list[float], budget: float
) -> None:
    """A sample breaks truly at t, is proved below t - slack, and broken above t + slack: no strip may deny it."""

    def proof(at: float) -> float:
        return sum(at < t - slack for t, slack in samples) / len(samples)

    def attack(at: float) -> float:
        return sum(at < t + slack for t, slack in samples) / len(samples)

    truth = sum(budget < t for t, _ in samples) / len(samples)
    curves = [(x, attack(x)) for x in attacked], [(x, proof(x)) for x in proved]
    for strip in strips([curves[0]], [curves[1]], 0.0, 1.0):
        if strip.left <= budget <= strip.right:
            assert strip.proved <= truth <= strip.possible
    assert contradictions([curves[0]], [curves[1]]) == []


def test_spread_keeps_both_ends_and_the_order() -> None:
    assert spread(3, 5) == [0, 1, 2]
    assert spread(101, 5) == [0, 25, 50, 75, 100]
    assert spread(0, 5) == []
