"""Command line > environment > file > defaults; unknown keys are errors with the nearest known one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from robust.audit.plan import Plan
from robust.audit.plan_layers import find_plan_file, flatten_plan, parse_assignment, parse_value, resolve_plan
from robust.errors import PlanError, UsageError

TEXT = """
seed = 3
[model]
source = "model.onnx"
[data]
source = "builtin:digits"
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "robust.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_order_of_the_layers(plan_file: Path) -> None:
    environment = {"ROBUST_SEED": "5", "ROBUST_DEVICE": "cuda"}
    assert resolve_plan(None, environment={}).plan.seed == 0
    assert resolve_plan(plan_file, environment={}).plan.seed == 3
    assert resolve_plan(plan_file, environment=environment).plan.seed == 5
    resolved = resolve_plan(plan_file, environment=environment, overrides={"seed": 7})
    assert resolved.plan.seed == 7
    assert resolved.plan.device == "cuda"
    assert resolved.origin("seed") == "command line"
    assert resolved.origin("device") == "environment (ROBUST_DEVICE)"
    assert resolved.origin("model.source") == "robust.toml"
    assert resolved.origin("title") == "default"


def test_sections_in_the_environment() -> None:
    environment = {"ROBUST_DATA__SOURCE": "builtin:wine", "ROBUST_DATA__LIMIT": "12", "OTHER": "x"}
    plan = resolve_plan(None, environment=environment).plan
    assert (plan.data.source, plan.data.limit) == ("builtin:wine", 12)


def test_paths_are_relative_to_the_file(plan_file: Path) -> None:
    plan = resolve_plan(plan_file, environment={}).plan
    assert Path(plan.model.source).resolve() == (plan_file.parent / "model.onnx").resolve()
    assert plan.data.source == "builtin:digits"


def test_an_unknown_key_names_the_nearest(plan_file: Path) -> None:
    plan_file.write_text(TEXT.replace("seed", "sede"), encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        resolve_plan(plan_file, environment={})
    message = str(caught.value)
    assert "unknown key 'sede'" in message
    assert "did you mean 'seed'" in message
    assert "robust.toml" in message


def test_an_unknown_key_in_a_section_names_the_nearest_there() -> None:
    with pytest.raises(PlanError, match="did you mean 'source'"):
        resolve_plan(None, environment={}, overrides={"data.sorce": "x"})


def test_a_wrong_type_says_where_it_came_from() -> None:
    with pytest.raises(PlanError, match=r"seed \(environment \(ROBUST_SEED\)\)"):
        resolve_plan(None, environment={"ROBUST_SEED": "many"})


@pytest.mark.parametrize("content", [b"\xff\xfe", b"seed = ", None])
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "robust.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanError):
        resolve_plan(path, environment={})


def test_tool_table_of_pyproject(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert find_plan_file(tmp_path) is None
    project.write_text("[tool.robust]\nseed = 9\n", encoding="utf-8")
    assert find_plan_file(tmp_path) == project
    assert resolve_plan(project, environment={}).plan.seed == 9
    (tmp_path / "robust.toml").write_text("", encoding="utf-8")
    assert find_plan_file(tmp_path) == tmp_path / "robust.toml"


def test_values_are_toml_or_text() -> None:
    assert parse_value("[0.1, 2]") == [0.1, 2]
    assert parse_value("cuda:1") == "cuda:1"
    assert parse_assignment("a.b=true") == ("a.b", True)
    with pytest.raises(UsageError, match="KEY=VALUE"):
        parse_assignment("nothing")


def test_every_key_has_a_description_and_is_listed() -> None:
    keys = [key for key, _ in flatten_plan(Plan())]
    assert len(keys) == len(set(keys))
    assert {"seed", "model.source", "data.limit"} <= set(keys)
    for name, info in Plan.model_fields.items():
        assert info.description, name


def test_every_check_can_be_set_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "robust.toml"
    names = list(type(Plan().checks).model_fields)
    path.write_text("".join(f"[checks.{name}]\nenabled = false\ngate = 'warn'\n" for name in names), encoding="utf-8")
    plan = resolve_plan(path, environment={}).plan
    assert all(not plan.settings(name).enabled for name in names)
    assert tomllib.loads(path.read_text(encoding="utf-8")).get("checks", {}).keys() == set(names)


def test_tables_are_merged_key_by_key_from_every_layer(tmp_path: Path) -> None:
    path = tmp_path / "robust.toml"
    path.write_text("[checks.attacks]\nsteps = 3\nrestarts = 2\n", encoding="utf-8")
    environment = {"ROBUST_CHECKS__ATTACKS": "{ steps = 5 }"}
    resolved = resolve_plan(path, environment=environment, overrides={"checks.attacks": {"samples": 7}})
    attacks = resolved.plan.settings("attacks").model_dump()
    assert (attacks["steps"], attacks["restarts"], attacks["samples"]) == (5, 2, 7)
    assert resolved.origin("checks.attacks.steps") == "environment (ROBUST_CHECKS__ATTACKS)"
    assert resolved.origin("checks.attacks.restarts") == "robust.toml"
    assert resolved.origin("checks.attacks.samples") == "command line"


def test_an_empty_section_takes_nothing_back_and_is_still_checked(tmp_path: Path) -> None:
    path = tmp_path / "robust.toml"
    path.write_text("[checks.attacks]\nsteps = 3\n", encoding="utf-8")
    resolved = resolve_plan(path, environment={}, overrides={"checks.attacks": {}})
    assert resolved.plan.settings("attacks").model_dump()["steps"] == 3
    path.write_text("[checks.atacks]\n", encoding="utf-8")
    with pytest.raises(PlanError, match="did you mean 'attacks'"):
        resolve_plan(path, environment={})


def test_the_origin_in_a_message_is_the_values_not_the_sections(tmp_path: Path) -> None:
    path = tmp_path / "robust.toml"
    path.write_text("[checks.accuracy]\n", encoding="utf-8")
    with pytest.raises(PlanError, match=r"resamples \(command line\)"):
        resolve_plan(path, environment={}, overrides={"checks.accuracy.resamples": "x"})


def test_a_column_may_have_a_dot(tmp_path: Path) -> None:
    path = tmp_path / "robust.toml"
    path.write_text('[data]\ngroups = ["age.years"]\nbins = { "age.years" = 3 }\n', encoding="utf-8")
    assert resolve_plan(path, environment={}).plan.data.bins == {"age.years": 3}


def test_a_project_without_a_plan_says_so(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n", encoding="utf-8")
    with pytest.raises(PlanError, match=r"\[tool.robust\]"):
        resolve_plan(project, environment={})


def test_a_call_is_not_called_a_command_line() -> None:
    with pytest.raises(PlanError, match=r"seed \(the call of audit\(\)\)"):
        resolve_plan(None, environment={}, overrides={"seed": "x"}, overrides_from="the call of audit()")
