"""Plan to context: load and fit the model, the data, the reference, the generator; refuse what cannot be audited."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from robust.audit.check import Context
from robust.audit.plan import DataPlan, GeneratorPlan, ModelPlan, Numbers, OodPlan, Plan
from robust.data import Dataset, fit_to_box, load_data, match_labels
from robust.errors import InstallationError, PlanError
from robust.record import DataRecord, SubjectRecord
from robust.subjects import Classifier, Generator, accept, load_classifier, load_generator, range_scaled

VERSIONS_OF = ("torch", "numpy", "scipy", "scikit-learn", "onnx", "onnxruntime", "foolbox", "z3-solver", "pydantic")


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
        SubjectError: the model cannot be used, or is no better than guessing.
        DataError: the data cannot be used.
        InstallationError: no such device.
    """
    given = given or Given()
    _require(plan, given)
    device = _device(plan.device)
    loaded = given.data or _load(plan.data)
    reference = given.reference
    if reference is None and plan.reference is not None:
        reference = _load(plan.reference, plan.data)
    classifier, scaling = given.classifier, None
    if classifier is None:
        classifier, scaling = _classifier(plan.model, loaded, reference, device)
    everything = _fit(loaded, plan.data, classifier, scaling)
    used = _limited(everything, plan.data.limit, plan.seed)
    predictions = accept(classifier, used)
    fitted_reference = None
    if reference is not None:
        section = plan.reference or DataPlan()
        fitted_reference = _limited(_fit(reference, section, classifier, scaling), section.limit, plan.seed)
    ood = {
        name: _ood(plan.ood.get(name, OodPlan()), given.ood.get(name), classifier, scaling, plan.seed)
        for name in [*plan.ood, *(name for name in given.ood if name not in plan.ood)]
    }
    generator = given.generator
    if generator is None and plan.generator is not None:
        generator = _generator(plan.generator, device)
    context = Context(
        classifier=classifier,
        data=used,
        reference=fitted_reference,
        ood=ood,
        generator=generator,
        seed=plan.seed,
        device=device,
        directory=Path(plan.output),
        predictions=predictions,
    )
    digests = {"classifier": classifier.digest, "data": used.digest}
    if fitted_reference is not None:
        digests["reference"] = fitted_reference.digest
    digests |= {f"ood {name}": dataset.digest for name, dataset in ood.items()}
    if generator is not None:
        digests["generator"] = generator.digest
    return Assembly(
        context=context,
        subjects=_subject_records(classifier, generator),
        data=_data_records(context, everything),
        digests=digests,
        versions=_versions(),
        platform=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        title=f"{classifier.name} on {used.name}",
    )


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


def _load(plan: DataPlan, fallback: DataPlan | None = None) -> Dataset:
    """A data set as its section says; a reference inherits column names from the evaluation data's section."""
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
        features=(pick("features") if same_form else plan).features,
        missing=(pick("missing") if same_form else plan).missing,
        scale=(pick("scale") if same_form else plan).scale,
    )


@dataclass(frozen=True)
class _Scaling:
    """Columns audited in units of their range: ``x = low + width * u`` with u in [0, 1]."""

    low: NDArray[np.float64]
    width: NDArray[np.float64]


def _classifier(
    plan: ModelPlan, data: Dataset, reference: Dataset | None, device: torch.device
) -> tuple[Classifier, _Scaling | None]:
    box, notes, scaling = _input_box(plan, data, reference)
    classifier = load_classifier(
        plan.source,
        weights=plan.weights,
        trust=plan.trust,
        name=plan.name,
        input_shape=plan.input_shape,
        sample_shape=data.sample_shape,
        input_box=box,
        mean=plan.mean,
        std=plan.std,
        channel_order=plan.channel_order,
        output=plan.output,
        class_names=plan.classes,
        device=device,
        notes=notes,
    )
    if scaling is not None:
        classifier = range_scaled(classifier, scaling.low, scaling.low + scaling.width)
    return classifier, scaling


def _input_box(
    plan: ModelPlan, data: Dataset, reference: Dataset | None
) -> tuple[tuple[Numbers, Numbers], tuple[str, ...], _Scaling | None]:
    """The declared box, else [0, 1] for pictures and each column's range for vectors.

    Vectors whose features differ in range are audited in units of the range, so that an epsilon means the same
    share of each.
    """
    vectors = len(data.sample_shape) == 1
    low: NDArray[np.float64]
    if plan.input_box is not None:
        low, high = (np.asarray(end, dtype=np.float64) for end in plan.input_box)
        if not vectors or (low.ndim == 0 and high.ndim == 0):
            return plan.input_box, (), None
        low, high = np.broadcast_arrays(low, high)
        note = "an epsilon is a fraction of each feature's declared range"
    else:
        parts = [data.samples] + ([reference.samples] if reference is not None else [])
        inside_unit = all(part.min() >= 0 and part.max() <= 1 for part in parts)
        if not vectors or data.raw_uint8 or (inside_unit and not data.feature_names):
            return (0.0, 1.0), ("no input box was declared: taken as [0, 1]",), None
        low = np.min([part.min(axis=0) for part in parts], axis=0).astype(np.float64)
        high = np.max([part.max(axis=0) for part in parts], axis=0).astype(np.float64)
        note = (
            "no input box was declared: each feature's range in the data is its box, and an epsilon is a fraction of "
            "that range"
        )
    ends = (tuple(map(float, low)), tuple(map(float, high)))
    return ends, (note,), _Scaling(low, high - low)


def _fit(dataset: Dataset, plan: DataPlan, classifier: Classifier, scaling: _Scaling | None) -> Dataset:
    matched = match_labels(
        dataset,
        len(classifier.class_names),
        classifier.class_names,
        plan.label_order,
        plan.allow_missing_classes,
    )
    return fit_to_box(_scaled(matched, scaling), classifier)


def _scaled(dataset: Dataset, scaling: _Scaling | None) -> Dataset:
    if scaling is None:
        return dataset
    width = np.where(scaling.width > 0, scaling.width, 1.0)
    return replace(dataset, samples=((dataset.samples - scaling.low) / width).astype(np.float32))


def _ood(plan: OodPlan, handed: Dataset | None, classifier: Classifier, scaling: _Scaling | None, seed: int) -> Dataset:
    loaded = _load(plan) if handed is None else handed
    return _limited(fit_to_box(_scaled(loaded, scaling), classifier), plan.limit, seed)


def _limited(dataset: Dataset, limit: int | None, seed: int) -> Dataset:
    return dataset if limit is None else dataset.take(dataset.stratified_indices(limit, seed))


def _generator(plan: GeneratorPlan, device: torch.device) -> Generator:
    return load_generator(
        plan.source,
        weights=plan.weights,
        trust=plan.trust,
        name=plan.name,
        latent_shape=plan.latent_shape,
        conditions=plan.conditions,
        prior=plan.prior,
        device=device,
    )


def _subject_records(classifier: Classifier, generator: Generator | None) -> tuple[SubjectRecord, ...]:
    records = [
        SubjectRecord(
            role="classifier",
            name=classifier.name,
            source=classifier.source,
            format=classifier.format,
            sha256=classifier.digest,
            parameters=classifier.parameters,
            input_shape=classifier.input_shape,
            input_box=_box_in_words(classifier),
            class_names=classifier.class_names,
            notes=classifier.notes,
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


def _box_in_words(classifier: Classifier) -> str:
    low, high = classifier.input_box.lower, classifier.input_box.upper
    if bool((low == low.flatten()[0]).all()) and bool((high == high.flatten()[0]).all()):
        return f"[{float(low.flatten()[0]):g}, {float(high.flatten()[0]):g}]"
    return f"[{float(low.min()):g}..{float(low.max()):g}, {float(high.min()):g}..{float(high.max()):g}], per feature"


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
