"""The stages of ``robust verify --data``: the attack, the bounds, branch and bound."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from attacks.attack import Attack, gives_gradients
from attacks.attempt import Attempt
from attacks.catalogue import make_attack
from robust.audit.branching import Ball, Settled, branch_and_bound
from robust.audit.checks.certificate_controls import TOLERANCE, try_balls
from robust.audit.decided import ATTACK, SPLITTING
from robust.audit.verification_state import Verification
from robust.record import Verdict
from verifiers import Network
from verifiers.certify import attempts, certified_by


def attack_of(state: Verification) -> Attack:
    """PGD, or random points where the model gives no gradients."""
    context, question = state.context, state.question
    if gives_gradients(context.classifier, context.samples([0])):
        return make_attack("pgd", norm=question.norm, steps=question.steps, restarts=question.restarts)
    state.notes.append("the model gives no gradients: random points of the balls were tried instead of PGD")
    return make_attack("noise", norm=question.norm, draws=question.steps * question.restarts)


def attack_block(state: Verification, attack: Attack, block: tuple[int, ...]) -> None:
    """Attack some samples at every radius, from the smallest on."""
    context, known = state.context, None
    x, labels = context.samples(block), context.labels(block)
    for place, epsilon in enumerate(state.question.epsilons):
        generator = context.torch_generator("verify", attack.name, state.question.norm, repr(epsilon), block[0])
        started = time.perf_counter()
        attempt = attack(context.classifier, x, labels, epsilon, generator, known)
        state.spend(place, block, time.perf_counter() - started)
        _keep(state, block, epsilon, attempt)
        broken = np.zeros_like(state.wrong)
        broken[list(block)] = attempt.success.cpu().numpy()
        state.breaks(place, broken & ~state.wrong, ATTACK)
        state.attacked[place, list(block)] = True
        known = attempt


def _keep(state: Verification, block: tuple[int, ...], epsilon: float, attempt: Attempt) -> None:
    """Witnesses that were not there at a smaller radius."""
    success = attempt.success.cpu().numpy()
    new = [
        row
        for row, index in enumerate(block)
        if success[row] and not state.wrong[index] and index not in state.found_at
    ]
    if not new:
        return
    points = attempt.adversarials[new]
    replayed = state.context.classifier.replay(points).argmax(1).cpu().numpy()
    for row, point, answer in zip(new, points.cpu().numpy(), replayed, strict=True):
        index = block[row]
        state.witnesses[index] = point
        state.distances[index], state.answers[index] = float(attempt.distances[row]), int(answer)
        state.found_at[index] = epsilon


def certify_block(state: Verification, network: Network, block: tuple[int, ...]) -> None:
    """Bound some samples at every radius, less what the graph and the deployed model were seen to differ by."""
    context, question = state.context, state.question
    x, labels, box = context.samples(block), context.labels(block), context.classifier.input_box
    gap, scale, rows = 0.0, 0.0, list(block)
    for place, epsilon in enumerate(question.epsilons):
        generator = context.torch_generator("verify", "trial", question.norm, repr(epsilon), block[0])
        trial = try_balls(network.graph, context.classifier, x, labels, epsilon, question.norm, generator)
        gap, scale = max(gap, trial.gap), max(scale, trial.scale)
        state.seen[place, rows] = ~trial.broken.cpu().numpy()
    tolerance = float(getattr(context.classifier, "agreement_tolerance", TOLERANCE))
    if not gap <= tolerance * max(scale, 1e-30):
        state.notes.append(
            f"samples {block[0]} to {block[-1]}: the operation graph and the deployed model differ by up to {gap:.2g}, "
            "so nothing is certified"
        )
    else:
        state.slacks[rows] = 2 * gap
        started = time.perf_counter()
        found = certified_by(
            network,
            x,
            labels,
            list(question.epsilons),
            norm=question.norm,
            box=box,
            method=question.method,
            slack=2 * gap,
        )
        seconds = (time.perf_counter() - started) / len(question.epsilons)
        for place, rungs in enumerate(found.cpu().numpy()):
            state.spend(place, block, seconds)
            for rung, engine in enumerate(attempts(question.method)):
                proved = np.zeros_like(state.wrong)
                proved[rows] = rungs == rung
                state.provers[place, proved] = engine
                state.proved[place] |= proved
    state.bounded[rows] = True


def complete(state: Verification, network: Network, watch: Callable[[str, int, int], None]) -> None:
    """Branch and bound of what is unknown: radius after radius, each sample until it is falsified or stays unknown."""
    left = {i for i in range(len(state.wrong)) if not state.wrong[i] and np.isfinite(state.slacks[i])}
    total, more, real_alone = len(left), 0, 0
    for place, epsilon in enumerate(state.question.epsilons):
        left.difference_update(np.flatnonzero(state.falsified[place]).tolist())
        asked = sorted(i for i in left if not state.proved[place, i])
        balls = [Ball(i, state.question.norm, epsilon, float(state.slacks[i])) for i in asked]

        def done(number: int, settled: Settled, place: int = place, asked: list[int] = asked) -> None:
            _keep_settled(state, place, asked[number], settled)
            if settled.verdict is not Verdict.VERIFIED:
                left.discard(asked[number])
            watch("branch and bound", total - len(left), total)

        found = branch_and_bound(network, state.context, balls, seconds=state.question.complete, done=done)
        more += sum(settled.verdict is not Verdict.UNKNOWN for settled in found)
        real_alone += sum(settled.verdict is Verdict.VERIFIED and not settled.runs for settled in found)
    watch("branch and bound", total, total)
    state.notes.append(
        f"branch and bound decided {more} balls that attack and bounds had left unknown. "
        + (
            f"{real_alone} of its proofs hold over the real numbers, and allow for what rounding typically does to a "
            "float32 run; the others hold in every float32 run"
            if real_alone
            else "Its proofs hold over the real numbers and in every float32 run"
        )
    )


def _keep_settled(state: Verification, place: int, index: int, settled: Settled) -> None:
    state.spend(place, [index], settled.seconds)
    row = np.arange(len(state.wrong)) == index
    if settled.verdict is Verdict.VERIFIED:
        state.proves(place, row, SPLITTING)
    elif settled.verdict is Verdict.FALSIFIED and settled.witness is not None:
        state.breaks(place, row, SPLITTING)
        state.witnesses[index] = settled.witness
        state.distances[index], state.answers[index] = settled.distance, settled.answer
        state.found_at[index] = state.question.epsilons[place]
