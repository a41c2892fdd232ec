"""``robust init``: a plan that says everything, and means the same as the options it was written from."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from robust.audit.plan import Plan
from robust.audit.plan_layers import flatten_plan, resolve_plan
from tests.cli.conftest import FAST, MODEL, SUBJECT, Robust


def descriptions(model: type[BaseModel]) -> list[str]:
    found = []
    for info in model.model_fields.values():
        found.append(info.description or "")
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += descriptions(kind)
    return found


def test_the_plan_means_what_the_options_meant(robust: Robust) -> None:
    result = robust("init", *SUBJECT, "--labels", "labels")
    assert result.status == 0, result.err
    assert "robust audit" in result.out
    path = robust.folder / "robust.toml"
    written = dict(flatten_plan(resolve_plan(path, environment={}).plan))
    overrides = {"model.source": MODEL, "data.source": SUBJECT[3], "data.labels": "labels"}
    given = dict(flatten_plan(resolve_plan(None, environment={}, overrides=overrides).plan))
    different = {key for key in given if written[key] != given[key]}
    for key in ("model.source", "data.source"):
        assert Path(str(written[key])).resolve() == Path(str(given[key])).resolve()
    assert different <= {"model.source", "data.source", "model.input_shape", "model.input_box"}
    assert written["model.input_shape"] == (1, 8, 8)


def test_every_key_with_its_meaning(robust: Robust) -> None:
    robust("init", *SUBJECT)
    text = (robust.folder / "robust.toml").read_text(encoding="utf-8")
    flowing = " ".join(text.replace("\n# ", " ").split())
    for description in descriptions(Plan):
        assert description
        assert " ".join(description.split()) in flowing, description
    names = {line.lstrip("# ").split(" = ")[0] for line in text.splitlines() if " = " in line}
    assert {key.rpartition(".")[2] for key, _ in flatten_plan(Plan())} <= names | {"reference", "generator", "ood"}
    tomllib.loads(text)


def test_uncommenting_a_default_changes_nothing(robust: Robust) -> None:
    robust("init", *SUBJECT)
    path = robust.folder / "robust.toml"
    before = resolve_plan(path, environment={}).plan
    lines = path.read_text(encoding="utf-8").splitlines()
    settable = [
        index
        for index, line in enumerate(lines)
        if line.startswith("# ") and " = " in line and line.split(" = ")[0][2:].isidentifier() and "..." not in line
    ]
    assert len(settable) > 30
    for index in settable:
        lines[index] = lines[index][2:]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert resolve_plan(path, environment={}).plan == before


def test_a_plan_is_not_overwritten_unasked(robust: Robust) -> None:
    path = robust.folder / "robust.toml"
    path.write_text("# mine\n", encoding="utf-8")
    result = robust("init", *SUBJECT)
    assert (result.status, result.out) == (2, "")
    assert "--force" in result.err
    assert path.read_text(encoding="utf-8") == "# mine\n"
    assert robust("init", *SUBJECT, "--force").status == 0
    assert "[model]" in path.read_text(encoding="utf-8")


def test_the_new_plan_runs_and_nothing_is_undecided(robust: Robust) -> None:
    robust("init", *SUBJECT, "--output", "plan.toml")
    others = "attacks,certificates,smt,fooling,ood"
    result = robust("audit", "plan.toml", "--skip", others, *FAST[2:])
    assert result.status == 0, result.out
    assert "fairness: the data has no group column" in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--model"),
        (("--model", MODEL), "--data"),
        (("--model", "no.onnx", "--data", SUBJECT[3]), "no.onnx"),
        ((*SUBJECT, "--output", "nowhere/robust.toml"), "nowhere"),
    ],
)
def test_what_cannot_be_written(robust: Robust, arguments: tuple[str, ...], said: str) -> None:
    result = robust("init", *arguments)
    assert (result.status, result.out) == (2, "")
    assert said in result.err
    assert "Traceback" not in result.err
    assert list(robust.folder.iterdir()) == []
