"""Every sample of a data set by attack and by bounds: certified, falsified, misclassified or unknown.

Attack and proof speak of the same balls, and check each other: what the deployed model is seen to answer wrongly is
never called certified, whatever the bounds say, and the contradiction is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from robust.audit.check import Context, blocks
from robust.audit.verification_stages import attack_block, attack_of, certify_block, complete
from robust.audit.verification_state import Question, Verification
from robust.errors import GraphError, UsageError
from robust.graph import trace
from verifiers import Network, ball_region, lower_bounds

ATTACKED, CERTIFIED = 100, 500
"""Samples per step of the attack and of the certificates. Between steps it may be stopped."""


def verification(context: Context, question: Question) -> Verification:
    """Prepared: the network read as a graph, where it can be, and the question tried on one sample.

    Raises:
        UsageError: no such method.
        PropertyError: a radius that is none.
    """
    state = Verification(context, question)
    with state.timed("reading the network"):
        state.graph = _network(state)
        if state.graph is not None:
            _try(state)
    return state


def run(
    state: Verification,
    *,
    seconds: float | None = None,
    watch: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> None:
    """Attack, then bound, all samples; what is decided stands in ``state`` also where this is interrupted.

    Args:
        state: prepared.
        seconds: of which the attack takes half, where there are bounds to compute; it does not stop the bounds.
        watch: told the stage, and how many samples of how many it is through.
    """
    count, attack, started = len(state.context.data), attack_of(state), time.monotonic()
    share = np.inf if seconds is None or state.graph is None else seconds / 2
    with state.timed("attack"):
        for block in blocks(count, ATTACKED):
            if time.monotonic() - started > share:
                state.notes.append(f"half of the time was over when the attack had tried {block[0]} samples of {count}")
                break
            attack_block(state, attack, block)
            watch("attack", block[-1] + 1, count)
    if state.graph is None:
        return
    with state.timed("certificates"):
        for block in blocks(count, CERTIFIED):
            certify_block(state, state.graph, block)
            watch("certificates", block[-1] + 1, count)
    if state.question.complete > 0:
        with state.timed("branch and bound"):
            complete(state, state.graph, watch)
    if state.contradictions():
        state.notes.append(
            f"{state.contradictions()} balls were proved safe and yet the deployed model was seen to be wrong in them: "
            "they do not count as certified. Robust-audit or the model's runtime is at fault; please report it"
        )


def _network(state: Verification) -> Network | None:
    classifier = state.context.classifier
    module = classifier.module()
    if module is None:
        state.notes.append("no certificates: the model is a black box, and bounds need its operations")
        return None
    try:
        return Network(trace(module, classifier.input_shape, device=classifier.device, box=classifier.input_box))
    except GraphError as error:
        state.notes.append(f"no certificates: the network cannot be read as an operation graph: {error.message}")
        return None


def _try(state: Verification) -> None:
    """One sample at radius 0: does the engine know the method, and every operator?"""
    context, network = state.context, state.graph
    assert network is not None
    region = ball_region(context.samples([0]), 0.0, state.question.norm, context.classifier.input_box)
    rows = torch.eye(network.graph.outputs, device=context.device)[None]
    try:
        lower_bounds(network, region, rows, state.question.method)
    except GraphError as error:
        state.notes.append(f"no certificates: {error.message}")
        state.graph = None
    except ValueError as error:
        raise UsageError(f"bounds cannot be computed: {error}", hint="see `robust list verifiers`") from error
