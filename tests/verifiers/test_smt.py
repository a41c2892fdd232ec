"""The exact verifier: answers known by hand, grids, planted backdoors, and a solver that is stopped or killed."""

from __future__ import annotations

import copy
import itertools
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.errors import PropertyError
from robust.properties import Box, L2Ball, Property, linf_ball, misclassification
from robust.properties.lattice import LatticeBox
from robust.record import Verdict, VerdictResult
from tests.verifiers.smt_networks import box, graph_of, hat, linear, random_network, reaches, tent
from verifiers import Verifier
from verifiers.smt import Limits, Size, SmtVerifier
from verifiers.smt.emit import Constraint, number, smtlib
from verifiers.smt.encode import encode
from verifiers.smt.program import Row
from verifiers.smt.solver import Solver

Z3_ALONE = {"guess": False}


def verdict(module: nn.Module, item: Property, **options: object) -> VerdictResult:
    verifier = SmtVerifier(replay=module, **options)  # type: ignore[arg-type]
    return verifier.verify(graph_of(module, item.inputs.shape), [item])[0]


def test_it_is_a_verifier() -> None:
    assert isinstance(SmtVerifier(), Verifier)
    assert "steps=2000000" in repr(SmtVerifier())


@pytest.mark.parametrize(
    ("module", "inputs", "offset", "expected"),
    [
        # |x0| - 2 max(x1, 0) over [-1, 1] x [-1, 0.25] has its minimum -0.5 at x0 = 0, x1 = 0.25.
        (hat(), box([-1, -1], [1, 0.25]), -0.49, Verdict.FALSIFIED),
        (hat(), box([-1, -1], [1, 0.25]), -0.51, Verdict.VERIFIED),
        # The tent has minimum 0 on [0, 1] (at both ends), 0.25 on [0.25, 0.75].
        (tent(), box([0], [1]), -0.01, Verdict.VERIFIED),
        (tent(), box([0], [1]), 0.0, Verdict.FALSIFIED),
        (tent(), box([0.25], [0.75]), 0.2, Verdict.VERIFIED),
        (tent(), box([0.25], [0.75]), 0.25, Verdict.FALSIFIED),
    ],
)
def test_minima_known_by_hand(module: nn.Module, inputs: Box, offset: float, expected: Verdict) -> None:
    width = 1
    for guess in (False, True):
        item = reaches(inputs, [[1.0] * width], [offset])
        result = verdict(module, item, guess=guess)
        assert result.verdict is expected, result.reason
        if expected is Verdict.FALSIFIED:
            point = torch.tensor(result.witness)[None]
            assert bool(inputs.contains(point)[0])
            assert float(module(point).detach()) <= offset
        else:
            assert result.arithmetic is not None
            assert result.witness is None


def test_a_question_that_bounds_cannot_settle_is_settled_by_z3() -> None:
    # |x| + |x + y| - |y| >= 0 always (triangle inequality), with equality on a whole line: no linear bound gets there.
    module = nn.Sequential(
        linear([[1, 0], [-1, 0], [1, 1], [-1, -1], [0, 1], [0, -1]], [0] * 6),
        nn.ReLU(),
        linear([[1, 1, 1, 1, -1, -1]], [0.0]),
    )
    inputs = box([-1, -1], [1, 1])
    proved = verdict(module, reaches(inputs, [[1.0]], [-1e-3]))
    assert proved.verdict is Verdict.VERIFIED
    assert "Z3 found 1 unsafe clause unsatisfiable" in proved.reason
    assert verdict(module, reaches(inputs, [[1.0]], [1e-3]), **Z3_ALONE).verdict is Verdict.FALSIFIED


def test_what_float32_rounding_could_reach_is_unknown() -> None:
    # 0.1f x + 1 over [0.5, 1] is at least 1.05 + 7e-10. The float32 number below 1.05f is 1.7e-7 less: no real input
    # and no rounding of this one product and sum gets there, but the proved rounding bound (2.7e-7) does not know.
    offset = float(np.nextafter(np.float32(1.05), np.float32(0)))
    result = verdict(linear([[0.1]], [1.0]), reaches(box([0.5], [1]), [[1.0]], [offset]))
    assert result.verdict is Verdict.UNKNOWN
    assert "float32 rounding" in result.reason


def test_a_conjunction_is_reached_only_where_all_of_it_is() -> None:
    # y = (x, 1 - x): x <= 0.4 and 1 - x <= 0.4 exclude each other; x <= 0.6 and 1 - x <= 0.6 meet in [0.4, 0.6].
    module = linear([[1], [-1]], [0, 1])
    both = [[1.0, 0.0], [0.0, 1.0]]
    assert verdict(module, reaches(box([0], [1]), both, [0.4, 0.4])).verdict is Verdict.VERIFIED
    met = verdict(module, reaches(box([0], [1]), both, [0.6, 0.6]), **Z3_ALONE)
    assert met.verdict is Verdict.FALSIFIED
    assert met.witness is not None
    assert 0.4 <= met.witness[0] <= 0.6


def test_leaky_slopes_below_zero_between_and_above_one() -> None:
    for slope in (-0.5, 0.25, 1.0, 3.0):
        module = nn.Sequential(linear([[1.0]], [0.0]), nn.LeakyReLU(slope), linear([[1.0]], [0.0]))
        least = min(0.0, slope * -1.0) if slope < 0 else slope * -1.0
        assert verdict(module, reaches(box([-1], [1]), [[1.0]], [least - 0.01])).verdict is Verdict.VERIFIED
        assert (
            verdict(module, reaches(box([-1], [1]), [[1.0]], [least + 0.01]), **Z3_ALONE).verdict is Verdict.FALSIFIED
        )


def test_max_pooling_of_negative_pixels_with_padding() -> None:
    # padding is minus infinity, not 0: the maximum over [-2, -1] pixels is at most -1 and at least -2.
    module = nn.Sequential(nn.MaxPool2d(2, 2, 1), nn.Flatten(), linear([[1] * 4], [0]))
    inputs = Box(torch.full((1, 2, 2), -2.0), torch.full((1, 2, 2), -1.0))
    assert verdict(module, reaches(inputs, [[-1.0]], [3.9])).verdict is Verdict.VERIFIED
    assert verdict(module, reaches(inputs, [[-1.0]], [4.1]), **Z3_ALONE).verdict is Verdict.FALSIFIED


def test_an_l2_ball_is_falsified_only_by_its_own_points() -> None:
    # y = x0 + x1 + 1.8 reaches 0 in the corner (-0.9, -0.9) of the bounding box, never in the ball of radius 1.
    module = linear([[1, 1]], [1.8])
    whole = box([-2, -2], [2, 2])
    unsafe = reaches(whole, [[1.0]], [0.0]).unsafe
    outside = verdict(module, Property(L2Ball(torch.zeros(2), 1.0, whole), unsafe))
    assert outside.verdict is Verdict.UNKNOWN
    assert verdict(module, Property(L2Ball(torch.zeros(2), 0.8, whole), unsafe)).verdict is Verdict.VERIFIED


class Backdoor(nn.Module):
    """Digits-like: class 0 wins everywhere unless pixel 5 exceeds 0.9, which no sample does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 3), nn.Linear(3, 2)
        with torch.no_grad():
            self.first.weight.zero_()
            self.first.weight[0] = 0.05
            self.first.weight[1, 5] = 100.0
            self.first.weight[2, 3] = 1.0
            self.first.bias.copy_(torch.tensor([0.0, -90.0, -0.3]))
            self.last.weight.copy_(torch.tensor([[1.0, 0.0, 0.1], [0.0, 1.0, 0.0]]))
            self.last.bias.copy_(torch.tensor([1.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x.flatten(1))))


def test_a_planted_one_pixel_backdoor_is_found_and_only_it() -> None:
    # The gradient at the sample is blind to the trigger (its rectifier is off), so only the solver sees it.
    module, whole = Backdoor().eval(), Box(torch.zeros(1, 4, 4), torch.ones(1, 4, 4))
    sample = torch.full((1, 4, 4), 0.5)
    caught = verdict(module, misclassification(linf_ball(sample, 0.5, whole), 0, 2), **Z3_ALONE)
    assert caught.verdict is Verdict.FALSIFIED
    assert caught.witness is not None
    assert caught.witness[5] > 0.9
    lower, upper = whole.lower.clone(), whole.upper.clone()
    upper[0, 1, 1] = 0.9
    assert verdict(module, misclassification(Box(lower, upper), 0, 2)).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("seed", range(6))
def test_grid_and_solver_agree_on_two_free_inputs(seed: int) -> None:
    generator = torch.Generator().manual_seed(100 + seed)
    module = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    for parameter in module.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    inputs = box([-1, -1], [1, 1])
    axis = torch.linspace(-1, 1, 201)
    with torch.no_grad():
        difference = module(torch.cartesian_prod(axis, axis)) @ torch.tensor([1.0, -1.0])
    lowest = float(difference.min())
    below = verdict(module, reaches(inputs, [[1.0, -1.0]], [lowest]), **Z3_ALONE)
    assert below.verdict is Verdict.FALSIFIED
    # A step of the grid is 0.01; the network changes by at most the product of its layers' L-inf norms times that.
    norm = 2.0
    for layer in module:
        if isinstance(layer, nn.Linear):
            norm *= float(layer.weight.detach().abs().sum(1).max())
    assert verdict(module, reaches(inputs, [[1.0, -1.0]], [lowest - 0.01 * norm])).verdict is Verdict.VERIFIED


def test_the_same_question_gets_the_same_answer_whatever_was_asked_before() -> None:
    generator = torch.Generator().manual_seed(5)
    module, shape, classes = random_network(2, generator)
    graph = graph_of(module, shape)
    item = misclassification(Box(torch.zeros(shape), torch.ones(shape)), 0, classes)
    verifier = SmtVerifier(replay=module, guess=False)
    first, again = verifier.verify(graph, [item, item])
    assert first == again == verifier.verify(graph, [item])[0]


def test_networks_that_are_too_large_are_unknown_without_z3() -> None:
    result = verdict(hat(), reaches(box([-1, -1], [1, 1]), [[1.0]], [-1.9]), size=Size(unstable=2))
    assert result.verdict is Verdict.UNKNOWN
    assert result.reason == "3 unstable neurons, more than 2; Z3 was not started"


def test_a_network_that_is_not_piecewise_linear_is_unknown() -> None:
    module = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
    assert "sigmoid" in verdict(module, reaches(box([0], [1]), [[1.0]], [0.0])).reason


def test_a_property_of_another_shape_is_an_error() -> None:
    with pytest.raises(PropertyError, match="another shape"):
        SmtVerifier().verify(graph_of(hat(), (2,)), [reaches(box([0], [1]), [[1.0]], [0.0])])
    with pytest.raises(PropertyError, match="outputs"):
        SmtVerifier().verify(graph_of(hat(), (2,)), [reaches(box([0, 0], [1, 1]), [[1.0, 1.0]], [0.0])])


def hard_text() -> str:
    """A pigeonhole-like question that Z3 cannot settle in a moment."""
    holes, pigeons = 8, 9
    lines = [f"(declare-const v{p * holes + h} Real)" for p in range(pigeons) for h in range(holes)]
    for p in range(pigeons):
        lines.append("(assert (or " + " ".join(f"(= v{p * holes + h} 1)" for h in range(holes)) + "))")
    for h in range(holes):
        for a, b in itertools.combinations(range(pigeons), 2):
            lines.append(f"(assert (or (= v{a * holes + h} 0) (= v{b * holes + h} 0)))")
    return "\n".join(lines)


def test_steps_run_out_the_same_way_every_time() -> None:
    with Solver(Limits(steps=20_000)) as solver:
        answers = [solver.ask(hard_text(), 0) for _ in range(2)]
    assert [answer.kind for answer in answers] == ["unknown", "unknown"]
    assert answers[0].reason == answers[1].reason == "Z3 used up its steps"


def test_out_of_steps_is_never_verified() -> None:
    module = nn.Sequential(
        linear([[1, 0], [-1, 0], [1, 1], [-1, -1], [0, 1], [0, -1]], [0] * 6),
        nn.ReLU(),
        linear([[1, 1, 1, 1, -1, -1]], [0.0]),
    )
    item = reaches(box([-1, -1], [1, 1]), [[1.0]], [-1e-3])
    result = verdict(module, item, limits=Limits(steps=1))
    assert result.verdict is Verdict.UNKNOWN
    assert result.reason == "1 of 1 clauses stayed open: Z3 used up its steps"


def test_a_solver_killed_at_work_is_unknown() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with Solver(Limits(), command) as solver:
        killer = threading.Timer(0.3, lambda: solver.process is not None and solver.process.kill())
        killer.start()
        answer = solver.ask("", 0)
        killer.join()
    assert answer.kind == "unknown"
    assert "ended with status -9" in answer.reason


def test_after_a_kill_the_next_question_gets_a_new_solver() -> None:
    with Solver(Limits()) as solver:
        assert solver.ask("(declare-const v0 Real)(assert (= v0 0.5))", 1).point == (Fraction(1, 2),)
        process = solver.process
        assert process is not None
        process.kill()
        process.wait()
        answers = [solver.ask("(declare-const v0 Real)(assert (< v0 v0))", 1).kind for _ in range(2)]
        assert answers[-1] == "unsat"
        assert solver.process is not process


def test_the_deadline_kills_a_child_that_does_not_answer() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with Solver(Limits(seconds=0.1), command) as solver:
        start = time.perf_counter()
        answer = solver.ask("", 0)
        assert time.perf_counter() - start < 10
    assert answer.kind == "unknown"
    assert answer.reason == "the deadline of 0.1 s passed"


@pytest.mark.parametrize("program", ["print('[]', flush=True)", "print('nonsense', flush=True)", "raise SystemExit(3)"])
def test_a_child_that_answers_nonsense_or_crashes_is_unknown(program: str) -> None:
    with Solver(Limits(), [sys.executable, "-c", program]) as solver:
        assert solver.ask("", 0).kind == "unknown"


def test_a_command_that_does_not_exist_is_unknown() -> None:
    with Solver(Limits(), ["/nonexistent/solver"]) as solver:
        assert "did not start" in solver.ask("", 0).reason


def test_numbers_are_written_exactly() -> None:
    assert [number(Fraction(v)) for v in (0, 2, "-1/3")] == ["0.0", "2.0", "(- (/ 1.0 3.0))"]


@pytest.mark.parametrize("digits", [1, 3, 8])
def test_short_coefficients_only_widen_the_question(digits: int) -> None:
    """Every point of the exact network satisfies the rounded question: fixed inputs leave it satisfiable."""
    generator = torch.Generator().manual_seed(digits)
    module, shape, classes = random_network(1, generator)
    ball = Box(torch.zeros(shape) - 0.5, torch.ones(shape))
    program = encode(graph_of(module, shape), ball, Size()).program
    points = [ball.lower + (ball.upper - ball.lower) * torch.rand(shape, generator=generator) for _ in range(3)]
    with Solver(Limits()) as solver:
        for point in points:
            values = [Fraction(value) for value in point.flatten().tolist()]
            outputs = program.run(values)
            clause = [Constraint({o: Fraction(1), (o + 1) % classes: Fraction(-1)}, Fraction(10**30)) for o in (0, 1)]
            clause.append(Constraint({0: Fraction(1)}, outputs[0]))
            fixed = "".join(f"(assert (= v{i} {number(v)}))" for i, v in enumerate(values))
            assert solver.ask(smtlib(program, clause, digits) + fixed, len(values)).kind == "sat"


def test_rows_combine_exactly() -> None:
    third = Row({0: Fraction(1, 3), 1: Fraction(1)}, Fraction(1))
    total = Row.combine([(Fraction(3), third), (Fraction(-3), Row.unknown(1))], Fraction(1, 7))
    assert total == Row({0: Fraction(1)}, Fraction(22, 7))


def test_a_model_in_half_precision_is_not_verified_by_exact_arithmetic() -> None:
    """Exactly, ``y = (x + 1000.1) - 1000`` is at least 0.1; halves near 1000 are multiples of 0.5."""

    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ((x.half() + 1000.1) - 1000).float()

    module = nn.Sequential(linear([[1.0]], [1000.1]), nn.ReLU(), linear([[1.0]], [-1000.0]))
    item = reaches(box([0.0], [0.2]), [[1.0]], [0.01])
    graph = graph_of(module, (1,))
    assert SmtVerifier(replay=module).verify(graph, [item])[0].verdict is Verdict.VERIFIED
    result = SmtVerifier(replay=Half()).verify(graph, [item])[0]
    assert result.verdict is Verdict.UNKNOWN
    assert "farther from exact arithmetic" in result.reason


def test_a_network_whose_float32_run_overflows_is_unknown() -> None:
    """Exactly ``y = 1e-38 (3e38 x0 + 3e38 x1) - 1`` lies in [3, 5]; in float32 the sum is infinite, and so is ``y``."""
    module = nn.Sequential(linear([[3e38, 3e38]], [0.0]), nn.ReLU(), linear([[1e-38]], [-1.0]))
    with torch.no_grad():
        assert float(module(torch.ones(1, 2))) == float("inf")
    item = reaches(box([0.7, 0.7], [1.0, 1.0]), [[-1.0]], [-6.0])
    result = SmtVerifier().verify(graph_of(module, (2,)), [item])[0]
    assert result.verdict is Verdict.UNKNOWN
    assert "overflow" in result.reason


def test_whole_numbers_are_integers_to_the_solver() -> None:
    """The tent reaches 0.5 at 0.5 only: between whole numbers."""
    half = [[-1.0]], [-0.25]
    everywhere = reaches(box([0.0], [1.0]), *half)
    assert verdict(tent(), everywhere, **Z3_ALONE).verdict is Verdict.FALSIFIED
    whole = LatticeBox(torch.zeros(1), torch.ones(1), (0,))
    found = verdict(tent(), Property(whole, everywhere.unsafe), **Z3_ALONE)
    assert found.verdict is Verdict.VERIFIED
    assert "Z3 found" in found.reason
    wide = LatticeBox(torch.zeros(1), torch.tensor([3.0]), (0,))
    reached = verdict(tent(), Property(wide, reaches(box([0.0], [3.0]), [[1.0]], [-1.0]).unsafe), **Z3_ALONE)
    assert reached.verdict is Verdict.FALSIFIED  # at 2 the tent has fallen to -1
    assert reached.witness is not None
    assert reached.witness[0] in (2.0, 3.0)


def test_one_hot_groups_have_one_1() -> None:
    """``|x0 - x1|`` is 1 where exactly one of them is 1, and 0 where both are 0 or 1 or a half."""
    module = nn.Sequential(linear([[1, -1], [-1, 1]], [0, 0]), nn.ReLU(), linear([[1, 1]], [0]))
    low = reaches(box([0.0, 0.0], [1.0, 1.0]), [[1.0]], [0.5])
    assert verdict(module, low, **Z3_ALONE).verdict is Verdict.FALSIFIED
    hot = LatticeBox(torch.zeros(2), torch.ones(2), (), ((0, 1),))
    assert verdict(module, Property(hot, low.unsafe), **Z3_ALONE).verdict is Verdict.VERIFIED
    fixed = LatticeBox(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0]), (), ((0, 1),))
    high = reaches(box([0.0, 0.0], [1.0, 1.0]), [[-1.0]], [-0.5]).unsafe
    found = verdict(module, Property(fixed, high), **Z3_ALONE)
    assert found.verdict is Verdict.FALSIFIED
    assert found.witness == (0.0, 1.0)


class ThereAndBack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("far", torch.tensor([100.3, -70.7]))
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[0.57, -0.31], [0.23, 0.49]]))
            self.layer.bias.copy_(self.layer.weight @ (self.far / 0.7))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer((x - self.far) / 0.7)
        return found


def test_what_was_folded_into_small_constants_is_not_forgotten() -> None:
    """``W (x - 100) / .7 + W 100 / .7``: the folded constant is near zero, and a float32 run loses what 100 rounds."""
    module = ThereAndBack()
    domain = Box(-torch.ones(2).double(), torch.ones(2).double())
    graph = graph_of(module, (2,))
    assert any(node.inexact is not None for node in graph.nodes)
    x = 2 * torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) - 1
    with torch.no_grad():
        apart = (module(x).double() - copy.deepcopy(module).double()(x.double())).abs().amax(0)
    assert (apart > 2e-6).all()
    assert (torch.tensor(encode(graph, domain, Size()).program.rounding) >= apart).all()
