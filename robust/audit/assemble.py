"""Plan to context: load and fit the model, the data, the reference, the generator; refuse what cannot be audited."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from robust.audit.check import Context
from robust.audit.plan import DataPlan, GeneratorPlan, ModelPlan, Numbers, Plan
from robust.data import Dataset, fit_shape, fit_to_box, load_data, load_samples, match_labels
from robust.errors import InstallationError, PlanError, SubjectError
from robust.record import DataRecord, SubjectRecord
from robust.subjects import Classifier, Generator, RangeScaled, accept, box_in_words, load_classifier, load_generator
from robust.subjects.range_scaled import column_ranges

VERSIONS_OF = ("torch", "numpy", "scipy", "scikit-learn", "onnx", "onnxruntime", "foolbox", "z3-solver", "pydantic")

_NOTHING_ASSUMED: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assembly:
    """Everything loaded, with its identity for the record.

    Attributes:
        context: what checks look at.
        subjects: identities of the models.
        data: identities of the data sets.
        digests: name -> SHA-256 of every model and data set a shard may depend on.
        versions: of what the numbers depend on.
        platform: the machine in words.
        title: what is audited, for the report's title.
    """

    context: Context
    subjects: tuple[SubjectRecord, ...]
    data: tuple[DataRecord, ...]
    digests: Mapping[str, str]
    versions: dict[str, str]
    platform: str
    title: str


@dataclass(frozen=True)
class Given:
    """Objects handed in from Python; each takes the place of the plan's section of that name.

    Data sets may have samples in the subject's units or bytes, and labels not yet matched: they are fitted like files.
    """

    classifier: Classifier | None = None
    data: Dataset | None = None
    reference: Dataset | None = None
    ood: Mapping[str, Dataset] = field(default_factory=dict)
    generator: Generator | None = None


def assemble(plan: Plan, given: Given | None = None) -> Assembly:
    """Load everything the plan names and nobody handed in.

    Raises:
        PlanError: no model or no data.
        SubjectError: the model cannot be used, or is no better than guessing, or its code ends the process.
        DataError: the data cannot be used.
        InstallationError: no such device.
    """
    given = given or Given()
    _require(plan, given)
    try:
        return _assemble(plan, given, _device(plan.device))
    except SystemExit as error:
        raise SubjectError(
            "the model's or the data's own code ended the process while it was loaded",
            wanted="code that returns a model",
            got=f"sys.exit({'' if error.code is None else error.code})",
            hint="guard scripts by `if __name__ == '__main__':`",
        ) from error


def _assemble(plan: Plan, given: Given, device: torch.device) -> Assembly:
    loaded = _load(plan.data) if given.data is None else given.data
    reference = given.reference
    if reference is None and plan.reference is not None:
        reference = _load(plan.reference, plan.data, loaded.feature_names)
    classifier, assumed = given.classifier, _NOTHING_ASSUMED
    if classifier is None:
        classifier, assumed = _classifier(plan.model, loaded, reference, plan.device)
    everything = _fit(loaded, plan.data, classifier)
    used = _limited(everything, plan.data.limit, plan.seed)
    predictions = accept(classifier, used)
    if reference is not None:
        section = plan.reference or DataPlan()
        reference = _limited(_fit(reference, section, classifier), section.limit, plan.seed)
    generator = given.generator
    if generator is None and plan.generator is not None:
        generator = _generator(plan.generator, device)
    context = Context(
        classifier=classifier,
        data=used,
        reference=reference,
        ood={name: _ood(name, plan, given, loaded, classifier) for name in {**plan.ood, **given.ood}},
        generator=generator,
        seed=plan.seed,
        device=device,
        directory=Path(plan.output),
        predictions=predictions,
    )
    return Assembly(
        context=context,
        subjects=_subject_records(classifier, assumed, generator),
        data=_data_records(context, everything),
        digests=_digests(context),
        versions=_versions(),
        platform=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        title=f"{classifier.name} on {used.name}",
    )


def _digests(context: Context) -> dict[str, str]:
    digests = {"classifier": context.classifier.digest, "data": context.data.digest}
    if context.reference is not None:
        digests["reference"] = context.reference.digest
    digests |= {f"ood {name}": dataset.digest for name, dataset in context.ood.items()}
    if context.generator is not None:
        digests["generator"] = context.generator.digest
    return digests


def _require(plan: Plan, given: Given) -> None:
    for what, section, handed in (("model", plan.model, given.classifier), ("data", plan.data, given.data)):
        if not section.source and handed is None:
            raise PlanError(
                f"the plan names no {what}",
                wanted=f"{what}.source in the plan, or --{what}",
                hint="try `robust audit --model model.onnx --data test.npz`, or write a plan with `robust init`",
            )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InstallationError(
            f"there is no device {name!r} here", wanted="cpu, or cuda where torch finds one", got=error
        ) from error
    return device


def _load(plan: DataPlan, fallback: DataPlan | None = None, features: tuple[str, ...] = ()) -> Dataset:
    """A data set as its section says; a reference inherits column names from the evaluation data and its section."""
    given = plan.model_fields_set
    like = plan if fallback is None else fallback

    def pick(name: str) -> DataPlan:
        return plan if name in given else like

    same_form = fallback is None or Path(plan.source).suffixes == Path(fallback.source).suffixes
    return load_data(
        plan.source,
        samples=(pick("samples") if same_form else plan).samples,
        labels=(pick("labels") if same_form and not plan.source.endswith(".npy") else plan).labels,
        groups=(pick("groups") if same_form else plan).groups,
        bins=(pick("bins") if same_form else plan).bins,
        features=(pick("features").features or features or None) if same_form else plan.features,
        missing=(pick("missing") if same_form else plan).missing,
        scale=(pick("scale") if same_form else plan).scale,
    )


def load_subject(
    plan: ModelPlan, device: str, box: tuple[Numbers, Numbers] | None = None, shape: tuple[int, ...] | None = None
) -> Classifier:
    """The classifier that a plan's section names, in its own units, without data.

    Args:
        plan: the section.
        device: as in the plan.
        box: the input box, where the section declares none; else [0, 1].
        shape: of one sample, where the section declares none and no file says it.

    Raises:
        SubjectError: it cannot be used.
        InstallationError: no such device.
    """
    return load_classifier(
        plan.source,
        weights=plan.weights,
        trust=plan.trust,
        name=plan.name,
        input_shape=plan.input_shape or shape,
        input_box=plan.input_box or box or (0.0, 1.0),
        mean=plan.mean,
        std=plan.std,
        channel_order=plan.channel_order,
        output=plan.output,
        class_names=plan.classes,
        device=_device(device),
    )


def _classifier(
    plan: ModelPlan, data: Dataset, reference: Dataset | None, device: str
) -> tuple[Classifier, tuple[str, ...]]:
    """The classifier in the units of the audit, and what was assumed about its input box."""
    box, per_column, notes = _input_box(plan, data, reference)
    shape = None if plan.source.endswith(".onnx") else _picture_shape(data.sample_shape)
    classifier = load_subject(plan, device, box, shape)
    return (RangeScaled(classifier) if per_column else classifier), notes


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The channels-first shape of pictures stored as ``[H, W]`` or ``[H, W, C]``; any other as it is."""
    if len(shape) == 2:
        return (1, *shape)
    if len(shape) == 3 and shape[-1] in (1, 3) and shape[0] not in (1, 3):
        return (shape[2], shape[0], shape[1])
    return shape


def _input_box(
    plan: ModelPlan, data: Dataset, reference: Dataset | None
) -> tuple[tuple[Numbers, Numbers], bool, tuple[str, ...]]:
    """The declared box, else [0, 1] for pictures and each column's range for vectors.

    Vectors whose columns differ in range are audited in units of the range (second value: True), so that an epsilon
    means the same share of each.
    """
    vectors = len(data.sample_shape) == 1
    if plan.input_box is not None:
        low, high = (np.asarray(end, dtype=np.float64) for end in plan.input_box)
        per_column = vectors and (low.ndim > 0 or high.ndim > 0)
        return plan.input_box, per_column, ()
    parts = [data] if reference is None else [data, reference]
    inside_unit = all(part.samples.min() >= 0 and part.samples.max() <= 1 for part in parts)
    if not vectors or data.raw_uint8 or (inside_unit and not data.feature_names):
        return (0.0, 1.0), False, ("no input box was declared: taken as [0, 1]",)
    lower, upper = column_ranges(*parts)
    ends = (tuple(map(float, lower)), tuple(map(float, upper)))
    return ends, True, ("no input box was declared: each column's range in the data is its box",)


def _fit(dataset: Dataset, plan: DataPlan, classifier: Classifier) -> Dataset:
    matched = match_labels(
        dataset,
        len(classifier.class_names),
        classifier.class_names,
        plan.label_order,
        plan.allow_missing_classes,
    )
    return _in_units(matched, classifier)


def _in_units(dataset: Dataset, classifier: Classifier) -> Dataset:
    if isinstance(classifier, RangeScaled):
        dataset = classifier.scale(fit_to_box(dataset, classifier.inner))
    return fit_to_box(dataset, classifier)


def _ood(name: str, plan: Plan, given: Given, data: Dataset, classifier: Classifier) -> Dataset:
    """Abnormal inputs in the subject's units. Their labels mean nothing; in a table they may leave the ranges."""
    section = plan.ood.get(name, DataPlan())
    loaded = given.ood[name] if name in given.ood else _load_abnormal(section, data)
    if isinstance(classifier, RangeScaled):
        loaded = classifier.scale(fit_shape(loaded, classifier.input_shape), beyond=True)
    else:
        loaded = fit_to_box(loaded, classifier)
    return _limited(loaded, section.limit, plan.seed)


def _load_abnormal(section: DataPlan, data: Dataset) -> Dataset:
    table = data.feature_names and not section.source.startswith("builtin:") and not Path(section.source).is_dir()
    return load_samples(
        section.source,
        samples=section.samples,
        features=section.features or (data.feature_names if table else None),
        missing=section.missing,
        scale=section.scale,
    )


def _limited(dataset: Dataset, limit: int | None, seed: int) -> Dataset:
    return dataset if limit is None else dataset.take(dataset.stratified_indices(limit, seed))


def _generator(plan: GeneratorPlan, device: torch.device) -> Generator:
    return load_generator(
        plan.source,
        weights=plan.weights,
        name=plan.name,
        latent_shape=plan.latent_shape,
        conditions=plan.conditions,
        prior=plan.prior,
        device=device,
    )


def _subject_records(
    classifier: Classifier, assumed: tuple[str, ...], generator: Generator | None
) -> tuple[SubjectRecord, ...]:
    records = [
        SubjectRecord(
            role="classifier",
            name=classifier.name,
            source=classifier.source,
            format=classifier.format,
            sha256=classifier.digest,
            parameters=classifier.parameters,
            input_shape=classifier.input_shape,
            input_box=box_in_words(classifier.input_box),
            class_names=classifier.class_names,
            notes=(*assumed, *classifier.notes),
        )
    ]
    if generator is not None:
        records.append(
            SubjectRecord(
                role="generator",
                name=generator.name,
                source=generator.source,
                format=generator.format,
                sha256=generator.digest,
                parameters=generator.parameters,
                input_shape=generator.latent_shape,
                input_box="latent code from its prior",
                class_names=tuple(str(index) for index in range(generator.conditions)),
                notes=generator.notes,
            )
        )
    return tuple(records)


def _data_records(context: Context, everything: Dataset) -> tuple[DataRecord, ...]:
    records = [_data_record("evaluation", context.data, len(everything))]
    if context.reference is not None:
        records.append(_data_record("reference", context.reference, len(context.reference)))
    records += [_data_record("out-of-distribution", dataset, len(dataset)) for dataset in context.ood.values()]
    return tuple(records)


def _data_record(role: str, dataset: Dataset, available: int) -> DataRecord:
    labels, counts = np.unique(dataset.labels, return_counts=True)
    groups = {}
    for column, values in dataset.groups.items():
        names, sizes = np.unique(values, return_counts=True)
        groups[column] = {str(name): int(size) for name, size in zip(names, sizes, strict=True)}
    return DataRecord.model_validate(
        {
            "role": role,
            "name": dataset.name,
            "source": dataset.source,
            "sha256": dataset.digest,
            "samples": available,
            "used": len(dataset),
            "sample_shape": dataset.sample_shape,
            "class_counts": {
                dataset.label_values[label] if label < len(dataset.label_values) else str(label): int(count)
                for label, count in zip(labels, counts, strict=True)
            },
            "groups": groups,
            "notes": dataset.notes,
        }
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS_OF:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
