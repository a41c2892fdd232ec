"""Attack, certificate and exact solver never contradict each other, over many random networks.

For each network and ball: if interval, zonotope or CROWN bounds certify, Z3 must not falsify and no point may break it;
if Z3 verifies, no attack, random or corner point may break it; if Z3 falsifies, its witness breaks the real model and
lies in the ball. Networks have 1 to 3 hidden layers, convolutions, maxima, leaky ReLUs, weights from 1e-4 to 1e4;
balls have radii from 1e-6 to 1 in boxes [0, 1] and [-1, 1].
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attacks import PGD
from robust.graph import trace
from robust.properties import Box, linf_ball, misclassification
from robust.record import Verdict
from tests.doubles import ModuleClassifier
from tests.verifiers.smt_networks import random_box, random_network
from verifiers import BoundVerifier, certify
from verifiers.margins import Margin
from verifiers.smt import Limits, SmtVerifier

METHODS = ("interval", "zonotope", "crown")


def points_of(ball: Box, count: int, generator: torch.Generator) -> Tensor:
    """Uniform points, corners, and points with some coordinates at an end, ``[3 count, *shape]``."""
    share = torch.rand(3 * count, *ball.shape, generator=generator)
    share[count : 2 * count] = share[count : 2 * count].round()
    ends = torch.rand(count, *ball.shape, generator=generator)
    share[2 * count :] = torch.where(ends < 0.5, share[2 * count :], ends.round())
    return ball.clamp(ball.lower + share * (ball.upper - ball.lower))


def grid_of(ball: Box) -> Tensor:
    """A grid over balls of one or two inputs; nothing for others."""
    lower, upper = ball.lower.flatten(), ball.upper.flatten()
    if len(lower) > 2:
        return ball.lower[None][:0]
    axes = [torch.linspace(0, 1, 41) for _ in lower]
    share = torch.cartesian_prod(*axes).reshape(-1, len(lower))
    return ball.clamp((lower + share * (upper - lower)).reshape(-1, *ball.shape))


def descent(module: nn.Module, ball: Box, label: int, starts: Tensor) -> Tensor:
    """Every point of plain signed gradient descent on the margin."""
    x, seen = starts, [starts]
    for step in range(10):
        varying = x.detach().requires_grad_(True)
        with torch.enable_grad():
            logits = module(varying)
            others = logits.clone()
            others[:, label] = -torch.inf
            (gradient,) = torch.autograd.grad((logits[:, label] - others.amax(1)).sum(), varying)
        x = ball.clamp(x - (ball.upper - ball.lower) * 0.5 * 0.8**step * gradient.sign()).detach()
        seen.append(x)
    return torch.cat(seen)


def sharpen(module: nn.Module, sample: Tensor, ball: Box, generator: torch.Generator) -> None:
    """Lower the winner's bias until the worst of some points of the ball nearly ties, or just loses.

    Without this most random networks are far from any decision boundary and every engine is right by accident.
    """
    points = torch.cat([sample[None], points_of(ball, 60, generator)])
    with torch.no_grad():
        label = int(module(points[:1])[0].argmax())
        logits = module(torch.cat([points, descent(module, ball, label, points[:10])]))
        others = logits.clone()
        others[:, label] = -torch.inf
        worst = float((logits[:, label] - others.amax(1)).min())
        exponent = int(torch.randint(0, 8, (1,), generator=generator))
        sign = 1 - 2 * int(torch.randint(0, 2, (1,), generator=generator))
        head = [layer for layer in module if isinstance(layer, nn.Linear)][-1]  # type: ignore[union-attr]
        head.bias[label] -= worst * (1 + sign * 10.0**-exponent * (exponent < 7))


def contradictions(seed: int, limits: Limits) -> tuple[list[str], Verdict, bool]:
    """What does not fit together for one random network: sentences, Z3's verdict, whether bounds certify."""
    generator = torch.Generator().manual_seed(seed)
    module, shape, classes = random_network(seed % 5, generator)
    sample, epsilon, whole = random_box(shape, seed // 5, generator)
    ball = linf_ball(sample, epsilon, whole)
    if seed % 3:
        sharpen(module, sample, ball, generator)
    with torch.no_grad():
        label = int(module(sample[None])[0].argmax())
    item = misclassification(ball, label, classes)
    graph = trace(module, shape, device=torch.device("cpu"))
    exact = SmtVerifier(replay=module, limits=limits, guess=bool(seed % 2)).verify(graph, [item])[0]
    bounds = {method: BoundVerifier(method=method).verify(graph, [item])[0] for method in METHODS}
    labels = torch.tensor([label])
    for method in METHODS:
        certified = certify(graph, sample[None], labels, [epsilon], norm="linf", box=whole, method=method)
        if bool(certified[0, 0]):
            bounds[f"certify {method}"] = bounds[method].model_copy(update={"verdict": Verdict.VERIFIED})
    proofs = [name for name, result in bounds.items() if result.verdict is Verdict.VERIFIED]

    points = torch.cat([points_of(ball, 100, generator), grid_of(ball)])
    points = torch.cat([points, descent(module, ball, label, points[:20])])
    attack = PGD(norm="linf", steps=10, restarts=1)
    classifier = ModuleClassifier(module, shape, classes, lower=whole.lower, upper=whole.upper)
    attempt = attack(classifier, sample[None], labels, epsilon, generator, None)
    if bool(attempt.success[0]):
        points = torch.cat([points, attempt.adversarials])
    inside = ball.contains(points)
    with torch.no_grad():
        wrong = item.unsafe.contains(module(points)) & inside
    found: list[str] = [] if bool(inside.all()) else ["an attack's point lies outside the ball"]
    if exact.verdict is Verdict.FALSIFIED:
        witness = torch.tensor(exact.witness).reshape(1, *shape)
        with torch.no_grad():
            if not bool(item.unsafe.contains(module(witness))[0]) or not bool(ball.contains(witness)[0]):
                found.append("Z3's witness does not replay")
        found += [f"Z3 falsified what {name} bounds certify" for name in proofs]
    if bool(wrong.any()):
        if exact.verdict is Verdict.VERIFIED:
            found.append("a point breaks what Z3 verified")
        found += [f"a point breaks what {name} bounds certify" for name in proofs]
    return [f"seed {seed}: {sentence}" for sentence in found], exact.verdict, bool(proofs)


def survey(seeds: range, limits: Limits) -> tuple[list[str], Counter[str]]:
    every: list[str] = []
    counts: Counter[str] = Counter()
    for seed in seeds:
        found, verdict, proved = contradictions(seed, limits)
        every += found
        counts[str(verdict)] += 1
        counts["certified"] += proved
    return every, counts


def test_sixty_random_networks_without_a_contradiction() -> None:
    found, counts = survey(range(60), Limits(steps=300_000))
    assert found == []
    # the survey must meet all sides of the question, and leave little open
    assert counts["verified"] >= 15
    assert counts["falsified"] >= 15
    assert counts["certified"] >= 15
    assert counts["unknown"] <= 12  # mostly ties within float32 rounding, made on purpose


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_thousands_of_random_networks_without_a_contradiction(block: int) -> None:
    found, counts = survey(range(1000 + 300 * block, 1300 + 300 * block), Limits(steps=300_000))
    assert found == []
    assert counts["unknown"] <= 75  # mostly ties within float32 rounding, made on purpose


def test_the_survey_would_notice_an_unsound_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that calls everything safe is caught by the same code."""

    def blind(self: SmtVerifier, graph: object, properties: list[object]) -> list[object]:
        return [BoundVerifier(method="interval")._answer(Margin(1.0, 1.0)) for _ in properties]

    monkeypatch.setattr(SmtVerifier, "verify", blind)
    found, _ = survey(range(30), Limits())
    assert any("a point breaks what Z3 verified" in sentence for sentence in found)


def test_the_shipped_digits_network_is_decided(tmp_path: Path) -> None:
    """Bounds, solver and attack on the trained example, where it is there."""
    folder = Path(__file__).parents[2] / "examples" / "digits"
    if not (folder / "classifier.safetensors").exists():
        pytest.skip("examples/digits holds no trained classifier here")
    import numpy as np
    from safetensors.torch import load_file

    from examples.digits.model import digits_classifier

    module = digits_classifier().eval()
    module.load_state_dict(load_file(folder / "classifier.safetensors"))
    data = np.load(folder / "test.npz")
    samples = torch.from_numpy(np.asarray(data["samples"], dtype=np.float32))[:4]
    labels = torch.from_numpy(np.asarray(data["labels"], dtype=np.int64))[:4]
    whole = Box(torch.zeros(1, 8, 8), torch.ones(1, 8, 8))
    graph = trace(module, (1, 8, 8), device=torch.device("cpu"))
    items = [misclassification(linf_ball(x, 0.03, whole), int(y), 10) for x, y in zip(samples, labels, strict=True)]
    exact = SmtVerifier(replay=module).verify(graph, items)
    assert Verdict.UNKNOWN not in {result.verdict for result in exact}
    for one, other in zip(exact, BoundVerifier(method="crown").verify(graph, items), strict=True):
        one.verdict.combine(other.verdict)


@pytest.mark.parametrize("seeds", [range(24), pytest.param(range(5000, 5400), marks=pytest.mark.slow)])
def test_z3_alone_agrees_too_where_bounds_would_have_spared_it_the_question(
    seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bounds' verdict on clauses switched off, every VERIFIED is Z3's own."""
    monkeypatch.setattr("verifiers.smt.engine._Question._excluded_by", lambda self, clause: -1.0)
    found, counts = survey(seeds, Limits(steps=300_000))
    assert found == []
    assert counts["verified"] >= len(seeds) // 5
