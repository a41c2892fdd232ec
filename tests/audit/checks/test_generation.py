"""The check end to end on planted generators: good, memorising, collapsed, off-class, unbalanced, broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from examples.digits.model import LATENT, digits_classifier, digits_decoder
from robust.audit.check import Context, NotAssessedError, Results
from robust.audit.checks.generation import GenerationCheck, GenerationSettings
from robust.data.dataset import Dataset
from robust.errors import DataRangeError, ModelShapeError
from robust.record import Finding, Images, Outcome, Table
from tests.generation.doubles import TinyClassifier, TinyGenerator

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
SHAPE = (1, 4, 4)
CENTRES = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
NAMES = ("a", "b", "c")
SETTINGS = GenerationSettings(samples=200)


def real_images(count: int, seed: int, shape: tuple[int, ...] = SHAPE, low: float = 0.0) -> Dataset:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    samples = CENTRES.numpy()[labels] + 0.08 * rng.standard_normal((count, *SHAPE))
    units = low + (1 - low) * samples.clip(0, 1)
    array = units.reshape(count, *shape).astype(np.float32)
    return Dataset("toy", "toy.npz", array, labels.astype(np.int64), NAMES)


def good(latents: Tensor, classes: Tensor | None) -> Tensor:
    which = torch.zeros(len(latents), dtype=torch.int64) if classes is None else classes
    return (CENTRES[which] + 0.08 * latents.reshape(-1, *SHAPE)).clamp(0, 1)


def generator(make: object = good, conditions: int = 3, shape: tuple[int, ...] = SHAPE) -> TinyGenerator:
    return TinyGenerator(make, shape, conditions, latent_shape=(16,))  # type: ignore[arg-type]


def context(subject: TinyGenerator | None, reference: Dataset | None, data: Dataset | None = None) -> Context:
    found = real_images(240, 2) if data is None else data
    shape = found.sample_shape
    classifier = TinyClassifier(nn.Flatten(), shape, NAMES, low=min(0.0, float(np.sign(found.samples.min()))))
    cpu = torch.device("cpu")
    return Context(classifier, found, reference, {}, subject, 0, cpu, Path(), found.labels)


def results(subject: Context, settings: GenerationSettings = SETTINGS) -> Results:
    check = GenerationCheck()
    return [(shard, check.run(shard, settings, subject)) for shard in check.plan(settings, subject)]


def audit(subject: Context, settings: GenerationSettings = SETTINGS) -> dict[str, Finding]:
    found = GenerationCheck().conclude(results(subject, settings), settings, subject, {})
    assert len({item.id for item in found}) == len(found)
    return {item.id.removeprefix("generation/"): item for item in found}


def value(finding: Finding) -> float:
    assert finding.value is not None
    return finding.value


def controls(found: dict[str, Finding]) -> dict[str, Outcome]:
    return {name: item.outcome for name, item in found.items() if item.control}


def test_a_good_generator_is_like_real_samples() -> None:
    found = audit(context(generator(), real_images(300, 3)))
    assert set(controls(found).values()) == {Outcome.PASS}
    assert len(controls(found)) == 5
    assert value(found["class_agreement"]) > 0.99
    assert 0.8 < value(found["intra_class_diversity"]) < 1.2
    assert value(found["copy_share"]) < 0.05
    assert abs(value(found["data_copying"])) < 3
    assert value(found["frechet_distance"]) < 2 * value(found["frechet_reference"]) + 0.01
    assert sum(item.headline for item in found.values()) == 4
    assert all(item.outcome is Outcome.MEASURED for item in found.values() if not item.control)


def test_a_memoriser_is_best_in_distance_and_caught_by_the_copy_test() -> None:
    reference = real_images(300, 3)
    training = torch.from_numpy(reference.samples)

    def remember(latents: Tensor, classes: Tensor | None) -> Tensor:
        assert classes is not None
        return training[(latents[:, 0].abs() * 1e4).long() % 100 * 3 + classes]

    found = audit(context(generator(remember), reference))
    assert value(found["class_agreement"]) == 1.0
    assert value(found["copy_share"]) == 1.0
    assert value(found["authenticity"]) == 0.0
    assert value(found["data_copying"]) < -5
    assert "MORE COPIES" in found["copy_share"].title
    pairs = next(item for item in found["copy_share"].evidence if isinstance(item, Images))
    assert all(left.png == right.png for left, right in pairs.rows)


def test_collapse_and_wrong_classes_are_seen() -> None:
    reference = real_images(300, 3)
    collapsed = audit(context(generator(lambda z, c: CENTRES[c]), reference))
    assert value(collapsed["intra_class_diversity"]) == pytest.approx(0, abs=1e-6)
    assert value(collapsed["class_agreement"]) == 1.0
    assert value(collapsed["recall"]) < 0.1
    off = audit(context(generator(lambda z, c: good(z, (c + (z[:, 0] > 0)) % 3)), reference))
    interval = off["class_agreement"].interval
    assert interval is not None
    assert interval.low < 0.5 < interval.high


def test_an_unconditional_generator_is_asked_for_balance() -> None:
    reference = real_images(300, 3)
    uneven = generator(lambda z, c: good(z, (z[:, 0] > 0).long()), conditions=0)
    found = audit(context(uneven, reference))
    assert "class_agreement" not in found
    assert value(found["class_balance_gap"]) == pytest.approx(1 / 3, abs=0.02)
    assert found["mode_dropper_caught"].outcome is Outcome.PASS
    thirds = torch.linspace(-0.43, 0.43, 2)
    even = audit(context(generator(lambda z, c: good(z, torch.bucketize(z[:, 0].contiguous(), thirds)), 0), reference))
    interval = even["class_balance_gap"].interval
    assert interval is not None
    assert interval.low == 0.0


def test_without_training_data_copies_are_not_assessed() -> None:
    found = audit(context(generator(), None))
    assert found["copy_share"].outcome is Outcome.NOT_ASSESSED
    assert "memoriser_caught" not in found
    assert set(controls(found).values()) == {Outcome.PASS}


def test_a_judge_no_better_than_guessing_is_not_listened_to() -> None:
    reference, data = real_images(300, 3), real_images(240, 2)
    mixed = [
        replace(item, labels=np.random.default_rng(i).permutation(item.labels))
        for i, item in enumerate((reference, data))
    ]
    found = audit(context(generator(), mixed[0], mixed[1]))
    assert found["class_agreement"].outcome is Outcome.NOT_ASSESSED
    assert found["wrong_class_caught"].outcome is Outcome.NOT_ASSESSED


def test_evaluation_data_that_is_training_data_discredits_the_copy_test() -> None:
    data = real_images(240, 2)
    found = audit(context(generator(), data, data))
    assert found["memoriser_caught"].outcome is Outcome.FAIL
    assert "held out?" in found["memoriser_caught"].reason


def test_tables_and_groups_and_another_box() -> None:
    def with_groups(data: Dataset) -> Dataset:
        side = np.where(data.samples[:, 0] > np.median(data.samples[:, 0]), "right", "left")
        return replace(data, groups={"side": side})

    data, reference = (with_groups(real_images(n, s, (16,), low=-1.0)) for n, s in ((240, 2), (300, 3)))
    always_right = generator(lambda z, c: (2 * good(z, c) - 1).flatten(1), shape=(16,))
    found = audit(context(always_right, reference, data))
    assert set(controls(found).values()) == {Outcome.PASS}
    assert value(found["class_agreement"]) > 0.99
    assert any(isinstance(item, Table) for item in found["frechet_distance"].evidence)
    assert value(found["group_balance_gap?group=side"]) < 0.2
    assert value(found["judge_accuracy?judge_of=side"]) > 0.8


def test_broken_generators_get_typed_errors() -> None:
    check = GenerationCheck()
    with pytest.raises(NotAssessedError, match="no generator"):
        check.plan(SETTINGS, context(None, None))
    with pytest.raises(ModelShapeError, match="another shape"):
        check.plan(SETTINGS, context(generator(shape=(1, 5, 5)), None))
    with pytest.raises(ModelShapeError, match="other classes"):
        check.plan(SETTINGS, context(generator(conditions=7), None))
    with pytest.raises(NotAssessedError, match="too few"):
        check.plan(SETTINGS, context(generator(), None, real_images(60, 2)))
    with pytest.raises(DataRangeError, match="input box"):
        results(context(generator(lambda z, c: 2 * good(z, c) - 1), None))


def test_same_seed_same_findings_and_payloads_survive_json() -> None:
    subject = context(generator(), real_images(300, 3))
    first, second = results(subject), results(replace(subject))
    through_json = [
        (shard, {**payload, "assessment": json.loads(json.dumps(payload["assessment"]))}) for shard, payload in second
    ]
    ends = [GenerationCheck().conclude(items, SETTINGS, subject, {}) for items in (first, through_json)]
    assert [item.model_dump_json() for item in ends[0]] == [item.model_dump_json() for item in ends[1]]
    other = GenerationCheck().conclude(results(replace(subject, seed=1)), SETTINGS, subject, {})
    assert other[0].value != ends[0][0].value


def test_the_shipped_decoder() -> None:
    net, decoder = digits_classifier(), digits_decoder()
    net.load_state_dict(load_file(DIGITS / "classifier.safetensors"))
    decoder.load_state_dict(load_file(DIGITS / "decoder.safetensors"))
    sets = []
    for part in ("train", "test"):
        with np.load(DIGITS / f"{part}.npz") as file:
            names = tuple(map(str, range(10)))
            sets.append(Dataset(part, f"{part}.npz", file["samples"], file["labels"], names))
    classifier = TinyClassifier(net.eval(), (1, 8, 8), names, tap=net[:-1], name="digits")
    subject = TinyGenerator(decoder.eval().requires_grad_(False), (1, 8, 8), 10, (LATENT,), name="decoder")
    found = audit(
        Context(classifier, sets[1], sets[0], {}, subject, 0, torch.device("cpu"), Path(), sets[1].labels),
        GenerationSettings(),
    )
    assert set(controls(found).values()) == {Outcome.PASS}
    assert "last affine layer of digits" in found["frechet_distance"].title
    assert value(found["class_agreement"]) > 0.97
    assert 0.5 < value(found["intra_class_diversity"]) < 0.95
    assert "not clearly more" in found["copy_share"].title
    assert sum(len(item.model_dump_json()) for item in found.values()) < 150_000
