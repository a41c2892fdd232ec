"""Signs of masked gradients, each with its evidence: with one of them, to withstand gradients is not to be robust.

After Athalye, Carlini and Wagner 2018, section 3.1, and Carlini et al. 2019, section 5: gradients that are zero or not
finite, a loss that does not rise along its gradient, black-box attacks that beat white-box ones, more steps that still
break more, randomised outputs; and a softmax so sure that the plain cross-entropy has no gradient in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attacks.active import Active
from attacks.apgd import APGD, TargetedAPGD, steepest
from attacks.attack import Problem, checked_samples, gives_gradients, replayed
from attacks.attempt import Tally
from attacks.balls import AnyNorm, project
from attacks.goals import Goal, Targeted, Untargeted, as_goal
from attacks.square import Square
from robust.subjects.protocols import Classifier

Sign = Literal[
    "dead_gradients",
    "loss_does_not_rise",
    "black_box_beats_white_box",
    "more_steps_break_more",
    "randomised_outputs",
    "saturated_softmax",
]

SIGNS: dict[Sign, str] = {
    "dead_gradients": "gradients are zero or not finite",
    "loss_does_not_rise": "the loss does not rise along its own gradient",
    "black_box_beats_white_box": "a black-box search breaks what gradients do not",
    "more_steps_break_more": "more steps and restarts still break more",
    "randomised_outputs": "the same input gets different answers",
    "saturated_softmax": "the softmax is so sure that the plain cross-entropy has no gradient in float32",
}
"""Every sign in words."""

NUDGES = (1e-3, 1e-2)
"""Steps over epsilon along the gradient; the loss must rise at one of them."""

REPEATS = 3
"""How often the same inputs are asked."""

MORE = 3
"""Further starts that should break nothing more."""

QUERIES = 500
"""Of the black-box search."""


@dataclass(frozen=True)
class Symptom:
    """One sign, looked for in ``n`` samples.

    Attributes:
        sign: which.
        rows: bool ``[n]``: samples that show it.
        detail: a sentence with the numbers behind it.
        masks: whether it means that gradient attacks overstate robustness; a saturated softmax alone does not, as the
            losses here do not saturate.
    """

    sign: Sign
    rows: Tensor
    detail: str
    masks: bool = True

    @property
    def count(self) -> int:
        """Samples that show it."""
        return int(self.rows.sum())

    @property
    def n(self) -> int:
        """Samples looked at."""
        return len(self.rows)


@dataclass(frozen=True)
class Diagnosis:
    """All signs, and what looking for them cost.

    Attributes:
        symptoms: in the order of ``SIGNS``; those that need gradients are missing where there are none.
        forward_passes: queries.
        backward_passes: gradient evaluations.
    """

    symptoms: tuple[Symptom, ...]
    forward_passes: int
    backward_passes: int


def diagnose(
    classifier: Classifier,
    x: Tensor,
    wanted: Tensor | Goal,
    epsilon: float,
    norm: AnyNorm,
    generator: torch.Generator,
    *,
    queries: int = QUERIES,
) -> Diagnosis:
    """Look for every sign in a few samples. Samples that reach the goal from the start should be left out.

    Args:
        classifier: the subject.
        x: float32 ``[n, *shape]``; 30 to 50 are enough.
        wanted: labels or a goal.
        epsilon: radius at which robustness is claimed.
        norm: ``linf``, ``l2`` or ``l1``.
        generator: a CPU generator.
        queries: of the black-box search.

    Raises:
        as ``Attack``.
    """
    x = checked_samples(classifier, x)
    goal = as_goal(wanted, len(classifier.class_names), len(x), classifier.device)
    tally = Tally.zeros(len(x), x.device)
    random = _randomised(classifier, x, tally)
    symptoms = [random]
    forward = backward = 0
    if len(x) and gives_gradients(classifier, x[:1]):
        dead, flat = _first_order(classifier, x, goal, epsilon, norm, tally)
        steady = ~random.rows
        guided = APGD(norm=norm, steps=100)(classifier, x, goal, epsilon, generator)
        guided_t = TargetedAPGD(norm=norm, steps=50, targets=3)(classifier, x, goal, epsilon, generator, guided)
        longer = APGD(norm=norm, steps=100, restarts=MORE)(classifier, x, goal, epsilon, generator, guided_t)
        blind = Square(norm=norm, queries=queries)(classifier, x, goal, epsilon, generator)
        attempts = (guided, guided_t, longer, blind)
        forward = sum(each.forward_passes for each in attempts)
        backward = sum(each.backward_passes for each in attempts)
        only = blind.success & ~longer.success
        more = longer.success & ~guided_t.success
        ahead = int((blind.margins < longer.margins).sum())
        symptoms = [
            dead,
            flat,
            Symptom(
                "black_box_beats_white_box",
                only & steady,
                f"Square with {queries} queries breaks {int(only.sum())} of {len(x)} samples that Auto-PGD does not, "
                f"and comes nearer to the goal on {ahead}",
            ),
            Symptom(
                "more_steps_break_more",
                more & steady,
                f"Auto-PGD breaks {int(guided_t.success.sum())} of {len(x)} samples with one start of 100 steps and "
                f"three targets of 50, and {int(longer.success.sum())} with {MORE} more starts",
            ),
            random,
            _saturated(classifier, x, goal, tally),
        ]
    return Diagnosis(tuple(symptoms), forward + int(tally.forward.sum()), backward + int(tally.backward.sum()))


def _randomised(classifier: Classifier, x: Tensor, tally: Tally) -> Symptom:
    """The same batch several times: differences beyond what rounding makes of one."""
    answers = torch.stack([replayed(classifier, x) for _ in range(REPEATS)]) if len(x) else torch.zeros(REPEATS, 0, 1)
    tally.forward.add_(REPEATS)
    spread = (answers.amax(0) - answers.amin(0)).amax(1)
    scale = answers.abs().amax((0, 2)).clamp_min(1e-30)
    rows = spread > 1e-4 * scale
    changed = int((answers.argmax(2) != answers[0].argmax(1)).any(0).sum())
    detail = (
        f"asked {REPEATS} times, {int(rows.sum())} of {len(x)} samples got scores that differ by more than rounding, "
        f"{changed} another class; attacks on the expectation over such noise are `attacks.expectation.Averaged`"
    )
    return Symptom("randomised_outputs", rows, detail)


def _first_order(
    classifier: Classifier, x: Tensor, goal: Goal, epsilon: float, norm: AnyNorm, tally: Tally
) -> tuple[Symptom, Symptom]:
    """Dead gradients at the samples; and, among the living, those along which the loss does not rise."""
    rows = torch.arange(len(x), device=x.device)
    none = torch.full((len(x),), torch.inf, device=x.device)
    problem = Problem(classifier, x, goal, epsilon, rows, len(x), torch.Generator(), tally, x, none)
    active = Active(problem)
    value, gradient, _ = active.climb(x, "log-odds")
    dead = (gradient == 0).flatten(1).all(1)
    risen = torch.zeros_like(dead)
    for nudge in NUDGES:
        step = nudge * epsilon * steepest(gradient, "l2" if norm == "l1" else norm)
        point = project(x, x + step, epsilon, "linf" if norm == "linf" else "l2", classifier.input_box)
        after, _, _ = active.climb(point, "log-odds")
        risen |= (after > value) | (point == x).flatten(1).all(1)
    flat = ~dead & ~risen
    return (
        Symptom("dead_gradients", dead, f"at {int(dead.sum())} of {len(x)} samples the gradient is zero or not finite"),
        Symptom(
            "loss_does_not_rise",
            flat,
            f"at {int(flat.sum())} of {len(x)} samples small steps along the gradient do not raise the loss",
        ),
    )


def _saturated(classifier: Classifier, x: Tensor, goal: Goal, tally: Tally) -> Symptom:
    """Samples whose cross-entropy is exactly 0 in float32."""
    rows, largest = torch.zeros(len(x), dtype=torch.bool, device=x.device), 0.0
    if isinstance(goal, Untargeted | Targeted):
        logits = replayed(classifier, x)
        tally.forward.add_(1)
        rows = torch.nn.functional.cross_entropy(logits, goal.labels, reduction="none") == 0
        largest = float(logits.abs().max()) if len(x) else 0.0
    return Symptom(
        "saturated_softmax",
        rows,
        f"the cross-entropy of {int(rows.sum())} of {len(x)} samples is exactly 0 in float32 (logits up to "
        f"{largest:.3g}); attacks that follow it see nothing there, the log-odds and margins used here do",
        masks=False,
    )
