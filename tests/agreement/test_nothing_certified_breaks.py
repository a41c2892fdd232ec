"""No input breaks what bounds certify: random networks over all operators, both ways in, both norms, strong attacks.

Every network is asked in float32 torch or in onnxruntime (its own arithmetic), near a decision boundary that is moved
on purpose to where the strongest attack found the smallest margin.
"""

from __future__ import annotations

import copy
import io
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from attacks.balls import Norm
from robust.errors import GraphError, RobustError
from robust.graph import Graph, trace
from robust.properties import Box, L2Ball, linf_ball, misclassification
from robust.record import Verdict
from robust.subjects import OnnxClassifier, RangeScaled, TorchClassifier
from robust.subjects.protocols import Classifier
from tests.agreement.breaking import lowest
from tests.agreement.random_networks import Dice, Net, random_net
from verifiers import BoundVerifier, certify
from verifiers.certify import Confirmed

METHODS = ("interval", "zonotope", "crown")
SHRINK = (1.0, 0.5, 0.1)


def input_box(dice: Dice, shape: tuple[int, ...]) -> Box:
    """[0, 1], [-1, 1], or another range for every feature, some without width."""
    kind = dice.integer(0, 3)
    if kind <= 1:
        return Box(torch.full(shape, -float(kind)), torch.ones(shape))
    lower = dice.normal(*shape) * dice.pick(0.1, 1.0, 30.0)
    width = dice.uniform(*shape) * dice.pick(0.1, 1.0, 30.0)
    return Box(lower, lower + width * (dice.uniform(*shape) > 0.15))


def sample_of(dice: Dice, box: Box) -> Tensor:
    """Inside the box, some coordinates on its edge."""
    share = dice.uniform(*box.shape)
    share = torch.where(dice.uniform(*box.shape) < 0.2, share.round(), share)
    return box.clamp((box.lower + share * (box.upper - box.lower))[None])[0]


def exported(net: nn.Module, shape: tuple[int, ...], free: bool, folder: Path) -> Path:
    """The network as a file, its batch free or fixed to 1."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, *shape),),
            buffer,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            opset_version=17,
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}} if free else None,
        )
    path = folder / "net.onnx"
    path.write_bytes(buffer.getvalue())
    return path


def subject(net: Net, shape: tuple[int, ...], box: Box, dice: Dice, folder: Path) -> Classifier:
    """By one of the ways in, with or without preprocessing."""
    options = {} if dice.chance(0.5) else {"mean": dice.real(-1, 1), "std": dice.real(0.2, 3)}
    found: Classifier
    if dice.chance(0.45):
        path = exported(net, shape, dice.chance(0.7), folder)
        found = OnnxClassifier(path, box, output="logits", **options)  # type: ignore[arg-type]
    else:
        found = TorchClassifier(net, shape, box, output="logits", **options)  # type: ignore[arg-type]
    return RangeScaled(found) if len(shape) == 1 and dice.chance(0.4) else found


def sharpened(net: Net, label: int, gap: float, dice: Dice) -> None:
    """Move the label's bias so that the smallest known margin nearly ties, or just loses."""
    change = gap * (1 + dice.pick(1.0, -1.0) * 10.0 ** -dice.integer(0, 8))
    with torch.no_grad():
        if net.last.out_features == 1:
            net.last.bias += change if label == 0 else -change
        else:
            net.last.bias[label] -= change


def double_of(classifier: Classifier) -> nn.Module:
    module = classifier.module()
    assert module is not None
    own = copy.deepcopy(module)
    for part in own.modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                setattr(part, name, value.double())
    return own.double()


class Case:
    """One network, ball and norm, and what every engine says of it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        net, shape, _ = random_net(seed)
        dice = Dice(seed + 1_000_003)
        self.norm: Norm = dice.pick("linf", "l2")
        box = input_box(dice, shape)
        state = dice.generator.get_state()
        self.classifier = subject(net, shape, box, dice, folder)
        box = self.classifier.input_box
        self.x = sample_of(dice, box)
        widths = (box.upper - box.lower).flatten()
        reach = float(widths.max()) if dice.chance(0.7) else 1.0
        self.epsilon = reach * 10.0 ** dice.real(-7, 0.3) if dice.chance(0.4) else reach * dice.real(0.01, 0.6)
        self.label = self._answer()
        gap, _ = self._lowest(1.0)
        if dice.chance(0.75) and abs(gap) < float("inf"):
            sharpened(net, self.label, gap, dice)
            dice.generator.set_state(state)
            self.classifier = subject(
                net,
                shape,
                box if not isinstance(self.classifier, RangeScaled) else self.classifier.ranges,
                dice,
                folder,
            )
        module = self.classifier.module()
        assert module is not None
        self.graph: Graph = trace(module, shape, device=torch.device("cpu"))

    def _answer(self) -> int:
        return int(self.classifier.replay(self.x[None])[0].argmax())

    def _lowest(self, share: float) -> tuple[float, Tensor]:
        precise = double_of(self.classifier)
        return lowest(self.classifier, precise, self.x, self.label, self.epsilon * share, self.norm, self.seed)

    def contradictions(self, counts: Counter[str]) -> list[str]:
        """Sentences; counts say how sharp the question was."""
        labels, samples = torch.tensor([self.label]), self.x[None]
        box, radii = self.classifier.input_box, [self.epsilon * share for share in SHRINK]
        neighbours = torch.cat([samples, box.clamp(samples + 0.01), box.clamp(samples - self.epsilon)])
        found = []
        tables = {}
        for method in METHODS:
            options = {"norm": self.norm, "box": box, "method": method}
            tables[method] = certify(self.graph, samples, labels, radii, **options)[:, 0]  # type: ignore[arg-type]
            batch = certify(self.graph, neighbours, labels.expand(3), radii, **options)[:, 0]  # type: ignore[arg-type]
            if not torch.equal(batch, tables[method]):
                found.append(f"{method} answers otherwise in a batch")
        if bool((tables["interval"] & ~tables["crown"]).any()):
            found.append("interval certifies what crown does not")
        if any(bool((table[:-1] & ~table[1:]).any()) for table in tables.values()):
            found.append("certified further out, not further in")
        certified = tables["crown"] | tables["interval"]
        if bool(certified.any()) and self._answer() != self.label:
            found.append("a wrong answer is certified")
        verified = self._verified()
        if verified and not bool(certified[0]):
            counts["verified, not certified"] += 1
        for place, share in enumerate(SHRINK):
            proofs = [name for name, table in tables.items() if bool(table[place])] + (verified if not place else [])
            counts["certified" if proofs else "not certified"] += 1
            if proofs or not place:
                low, _ = self._lowest(share)
                counts["broken"] += low <= 0
                if not proofs:
                    counts["undecided"] += low > 0
                found += [f"a margin of {low:.3g} within what {name} certifies" for name in proofs if low <= 0]
        return [f"seed {self.seed} ({self.norm} {self.epsilon:.3g}): {text}" for text in found]

    def _verified(self) -> list[str]:
        box = self.classifier.input_box
        ball = linf_ball if self.norm == "linf" else L2Ball
        item = misclassification(ball(self.x, self.epsilon, box), self.label, len(self.classifier.class_names))
        names = []
        for method in METHODS:
            if BoundVerifier(method=method).verify(self.graph, [item])[0].verdict is Verdict.VERIFIED:
                names.append(f"BoundVerifier {method}")
        return names


def survey(seeds: range, *, until_found: bool = False) -> tuple[list[str], Counter[str]]:
    found: list[str] = []
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            try:
                case = Case(seed, Path(folder))
            except GraphError:
                counts["refused"] += 1
                continue
            except torch.onnx.errors.OnnxExporterError:
                counts["not exported"] += 1
                continue
            except RobustError as error:
                counts[f"refused: {type(error).__name__}"] += 1
                continue
            counts["networks"] += 1
            found += case.contradictions(counts)
            if until_found and found:
                break
    return found, counts


def test_forty_networks_over_all_operators_keep_what_is_certified() -> None:
    found, counts = survey(range(40))
    assert found == []
    assert counts["networks"] >= 35
    assert counts["certified"] >= 30
    assert counts["broken"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("block", range(15))
def test_thousands_of_networks_over_all_operators_keep_what_is_certified(block: int) -> None:
    found, counts = survey(range(1000 + 200 * block, 1200 + 200 * block))
    assert found == []
    assert counts["networks"] >= 170


def test_the_survey_would_notice_bounds_that_are_a_little_too_tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Balls of 95 % of the radius: the smallest unsoundness that people have really shipped."""
    module = sys.modules["verifiers.certify"]

    real = module.ball_region
    monkeypatch.setattr(
        module, "ball_region", lambda samples, epsilon, norm, box: real(samples, epsilon * 0.95, norm, box)
    )
    found, _ = survey(range(200), until_found=True)
    assert any("within what" in sentence for sentence in found)


def test_the_survey_would_notice_bounds_without_a_margin_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["verifiers.certify"]

    def bare(*arguments: object, **options: object) -> Confirmed:
        network, region, matrices, _, method, effort = arguments
        bound = module.lower_bounds(network, region, matrices, method, effort)  # type: ignore[arg-type]
        return Confirmed(bound, bound, bound)

    monkeypatch.setattr(module, "confirmed_bounds", bare)
    found, _ = survey(range(200), until_found=True)
    assert any("within what" in sentence for sentence in found)
