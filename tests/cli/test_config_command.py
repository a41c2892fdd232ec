"""``robust config`` and ``robust list``: values with their origins, published schemas, what there is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robust import __version__
from robust.audit.catalogue import CHECKS
from robust.audit.plan import Plan
from robust.audit.plan_layers import flatten_plan
from tests.cli.conftest import ROOT, Robust


def shown(robust: Robust, *arguments: str) -> dict[str, tuple[object, str]]:
    result = robust("config", "show", "--json", *arguments)
    assert result.status == 0, result.err
    return {row["key"]: (row["value"], row["origin"]) for row in json.loads(result.out)}


def test_every_value_and_where_it_came_from(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'seed = 3\n[checks.attacks]\nsteps = 7\n[[checks.accuracy.thresholds]]\nmetric = "accuracy"\nminimum = 0.9\n'
    (robust.folder / "robust.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("ROBUST_CHECKS__ATTACKS__RESTARTS", "9")
    rows = shown(robust, "--set", "device=cuda")
    assert rows["seed"] == (3, "robust.toml")
    assert rows["checks.attacks.steps"] == (7, "robust.toml")
    assert rows["checks.attacks.restarts"] == (9, "environment (ROBUST_CHECKS__ATTACKS__RESTARTS)")
    assert rows["device"] == ("cuda", "command line")
    assert rows["threads"] == (None, "default")
    [threshold], origin = rows["checks.accuracy.thresholds"]
    assert (threshold["minimum"], origin) == (0.9, "robust.toml")
    assert list(rows) == [key for key, _ in flatten_plan(Plan())]


def test_for_people_every_line_has_key_value_and_origin(robust: Robust) -> None:
    result = robust("config", "show", "--set", "seed=8")
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    assert lines["seed"].split()[1:] == ["8", "#", "command", "line"]
    assert len(lines) == len(flatten_plan(Plan()))


@pytest.mark.parametrize(("which", "file"), [("plan", "plan"), ("record", "audit-record")])
def test_the_published_schemas_are_todays(robust: Robust, which: str, file: str) -> None:
    published = (ROOT / "docs" / "schema" / f"{file}.schema.json").read_text(encoding="utf-8")
    assert robust("config", "schema", which).out == published, "run: python -m docs.write_schemas"


def test_there_is_no_third_schema(robust: Robust) -> None:
    result = robust("config", "schema", "plane")
    assert (result.status, result.out) == (2, "")
    assert "plan or record" in result.err


def test_list_names_every_check_with_its_question(robust: Robust) -> None:
    result = robust("list")
    assert result.status == 0
    for check in CHECKS:
        assert f"{check.name} " in result.out
        assert check.question in result.out
    for name in ("pgd", "crown", "builtin:digits"):
        assert name in result.out


def test_list_of_one_kind(robust: Robust) -> None:
    result = robust("list", "data")
    assert result.out.splitlines()[0] == "data:"
    assert "pgd" not in result.out
    assert robust("list", "dato").status == 2


def test_no_command_is_help_and_an_unknown_one_is_usage(robust: Robust) -> None:
    assert "audit" in robust("--help").out
    assert robust("--version").out == f"{__version__}\n"
    assert robust("--name").out == "robust-audit\n"
    result = robust("adit")
    assert (result.status, result.out) == (2, "")
    assert "adit" in result.err


def test_a_reader_that_goes_away_is_no_error(robust: Robust, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from robust.cli import listing

    def nobody_reads(*_: object, **__: object) -> None:
        raise BrokenPipeError

    silenced: list[bool] = []
    monkeypatch.setattr(listing.typer, "echo", nobody_reads)
    monkeypatch.setattr("robust.cli.interrupts.silence_output", lambda: silenced.append(True))
    assert robust("list").status == 141
    assert silenced == [True]
