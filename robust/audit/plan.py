"""The plan of an audit as pydantic models: what ``robust.toml`` may say. Every key has a description and a default."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from robust.audit.catalogue import CHECKS
from robust.audit.check import CheckSettings

Numbers = float | tuple[float, ...]


class Section(BaseModel):
    """A closed section: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelPlan(Section):
    """The trained classifier."""

    source: str = Field(
        default="", description="model.onnx, or package.module:function that builds a torch module, or a .pt2/.pt file"
    )
    weights: str | None = Field(
        default=None, description="safetensors or weights-only state dict for a module built by a function"
    )
    name: str | None = Field(default=None, description="name in the report; the file's name if not given")
    trust: bool = Field(default=False, description="allow formats that can run code when loaded (.pt2, TorchScript)")
    input_shape: tuple[int, ...] | None = Field(
        default=None,
        description="shape of one sample, for example [1, 28, 28]; read from the model or data if not given",
    )
    input_box: tuple[Numbers, Numbers] | None = Field(
        default=None,
        description="lowest and highest input value, numbers or one per channel or feature; [0, 1] for pictures, "
        "each column's range in the data for tables",
    )
    mean: Numbers | None = Field(default=None, description="subtracted from the input inside the subject")
    std: Numbers | None = Field(default=None, description="the input is divided by it inside the subject")
    channel_order: Literal["rgb", "bgr"] = Field(default="rgb", description="bgr if the network wants blue first")
    output: Literal["auto", "logits", "probabilities", "binary"] = Field(
        default="auto", description="what the network returns; auto strips a final softmax or sigmoid"
    )
    classes: tuple[str, ...] | None = Field(default=None, description="class names, one per output")


class GeneratorPlan(Section):
    """A trained generator."""

    source: str = Field(description="generator.onnx, or package.module:function that builds a torch module")
    weights: str | None = Field(default=None, description="safetensors or weights-only state dict")
    name: str | None = Field(default=None, description="name in the report; the file's name if not given")
    latent_shape: tuple[int, ...] | None = Field(
        default=None, description="shape of one latent code; read from an ONNX file if not given"
    )
    conditions: int | None = Field(
        default=None, description="number of classes it can be asked for; read from an ONNX file if not given"
    )
    prior: Literal["normal", "uniform"] = Field(default="normal", description="prior of the latent code")


class DataPlan(Section):
    """A labelled data set."""

    source: str = Field(
        default="", description="a .npz, .npy, .csv or .parquet file, a folder of class folders, or builtin:digits"
    )
    samples: str | None = Field(
        default=None, description="name of the samples array in a .npz file, where not found by name"
    )
    labels: str | None = Field(
        default=None, description="label column of a table, labels array of a .npz file, or labels file of a .npy file"
    )
    features: tuple[str, ...] | None = Field(
        default=None, description="feature columns of a table, in the model's order; all numeric ones if not given"
    )
    groups: tuple[str, ...] = Field(default=(), description="sensitive columns, for fairness; sex=8 is feature 8")
    bins: dict[str, int | tuple[float, ...]] = Field(
        default_factory=dict,
        description="how to cut a numeric sensitive column: number of quantile bins, or inner edges",
    )
    missing: Literal["error", "drop"] = Field(
        default="error", description="what a missing feature in a table does: an error, or its row is dropped"
    )
    scale: Literal["auto", "bytes", "none"] = Field(
        default="auto", description="bytes: values 0-255 are mapped onto the input box; auto: so are arrays of bytes"
    )
    label_order: tuple[str | int, ...] | None = Field(
        default=None, description="the labels in the order of the model's outputs, where sorting is not that order"
    )
    allow_missing_classes: bool = Field(default=False, description="go on although a class has no sample")
    limit: int | None = Field(default=None, ge=1, description="use at most so many samples, stratified, by seed")


def _checks_model() -> type[Section]:
    fields: dict[str, Any] = {
        check.name: (
            check.Settings,
            Field(default_factory=check.Settings, description=check.question),
        )
        for check in CHECKS
    }
    model: type[Section] = create_model("ChecksPlan", __base__=Section, __doc__="One section per check.", **fields)
    return model


ChecksPlan = _checks_model()


class Plan(Section):
    """What to audit, on which data, with which checks and thresholds."""

    title: str | None = Field(default=None, description="title of the report")
    seed: int = Field(default=0, ge=0, description="all randomness comes from it")
    device: str = Field(default="cpu", description="cpu, cuda, cuda:1, ...")
    threads: int | None = Field(default=None, ge=1, description="torch threads; the machine's choice if not given")
    output: str = Field(default="audit-runs/latest", description="run directory: store, record, reports")
    formats: tuple[Literal["html", "json", "junit", "markdown"], ...] = Field(
        default=("html", "json", "junit", "markdown"), description="reports to write"
    )
    model: ModelPlan = Field(default_factory=ModelPlan, description="the trained classifier")
    data: DataPlan = Field(default_factory=DataPlan, description="evaluation data the model was not trained on")
    reference: DataPlan | None = Field(
        default=None, description="training data, for fitting detectors and judges and for finding copies"
    )
    ood: dict[str, DataPlan] = Field(
        default_factory=dict,
        description="further data sets by name, for detection; checks.ood.near names those that are near",
    )
    generator: GeneratorPlan | None = Field(default=None, description="a trained generator, audited beside the model")
    checks: ChecksPlan = Field(default_factory=ChecksPlan, description="the checks")  # type: ignore[valid-type]

    def settings(self, check: str) -> CheckSettings:
        """The settings of one check, by name. Proofs take over the radii of the attacks unless they have some."""
        settings: CheckSettings = getattr(self.checks, check)
        if check in ("certificates", "branching"):
            attacks = self.settings("attacks")
            missing = [key for key in ("linf_epsilons", "l2_epsilons") if getattr(settings, key) is None]
            return settings.model_copy(update={key: getattr(attacks, key) for key in missing})
        return settings


def plan_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the plan file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Plan.model_json_schema(mode="validation")}
