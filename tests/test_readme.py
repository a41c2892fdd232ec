"""The documents are true: plans resolve, Python runs, commands, options, targets, files and metrics exist."""

from __future__ import annotations

import ast
import os
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner

from robust.audit.catalogue import CHECKS
from robust.audit.plan_layers import resolve_plan
from robust.cli.app import app
from robust.cli.verify import solver_main
from tests.reports.sample_record import sample_record

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
Block = tuple[Path, str, str]


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [(page, language, text) for language, text in found]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def name_of(block: object) -> str:
    return str(block[0].relative_to(ROOT)) if isinstance(block, tuple) else str(block)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block[1] == "toml"], ids=name_of)
def test_a_plan_in_the_documents_resolves(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "robust.toml"
    file.write_text(block[2], encoding="utf-8")
    resolved = resolve_plan(file, environment={})
    assert len(resolved.origins) >= len(tomllib.loads(block[2])) > 0


@pytest.mark.parametrize("block", [block for block in BLOCKS if block[1] == "python"], ids=name_of)
def test_python_in_the_documents_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that has what the reader has by then. Only the cheapest check runs, to be fast."""
    digits = ROOT / "examples" / "digits"
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "model.onnx").write_bytes((digits / "classifier.onnx").read_bytes())
    (tmp_path / "test.npz").write_bytes((digits / "test.npz").read_bytes())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text(sample_record().to_json(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for check in (check.name for check in CHECKS if check.name != "accuracy"):
        monkeypatch.setenv(f"ROBUST_CHECKS__{check.upper()}__ENABLED", "false")
    exec(compile(block[2], str(block[0]), "exec"), {"__name__": "__main__"})


def console() -> list[tuple[str, list[str]]]:
    """The lines behind a prompt, as words behind ``robust``."""
    lines = [(page, line) for page, kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
    found = [
        (page, re.fullmatch(r"\$ (?:\.venv/bin/)?robust (.*)", line.split("#")[0].strip())) for page, line in lines
    ]
    return [(f"{page.name}: {match[1]}", shlex.split(match[1])) for page, match in found if match]


QUERY = """(vnnlib-version <2.0>)
(declare-network N (declare-input X float32 [1,64]) (declare-output Y float32 [1,10]))
{box}
(assert (>= Y[0,0] 1000000.0))
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the solver's commands read: the digits classifier, four samples, a query without a solution, a list."""
    digits = ROOT / "examples" / "digits"
    (tmp_path / "model.onnx").write_bytes((digits / "classifier.onnx").read_bytes())
    with np.load(digits / "test.npz") as data:
        np.savez(tmp_path / "test.npz", samples=data["samples"][:4], labels=data["labels"][:4])
    box = "\n".join(f"(assert (>= X[0,{i}] 0.0))\n(assert (<= X[0,{i}] 1.0))" for i in range(64))
    (tmp_path / "query.vnnlib").write_text(QUERY.format(box=box), encoding="utf-8")
    (tmp_path / "list.csv").write_text("model.onnx,query.vnnlib,20\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("words", [words for _, words in console()], ids=[name for name, _ in console()])
def test_a_command_behind_a_prompt_runs(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """To one of the answers that the documents promise, and without a word about a fault or a wrong option."""
    if words[0] == "check":
        of_folder = len(words) == 3
        folder = Path(words[1]) if of_folder else Path()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "proof.vnnlib").write_bytes(Path("query.vnnlib").read_bytes())
        proof = str(folder / "proof.npz")
        assert solver_main(["verify", "model.onnx", "query.vnnlib", "--proof", proof]) == 0
        said = CliRunner().invoke(app, words)
        wanted = "1 of 1 valid" if of_folder else "valid"
        assert (said.exit_code, wanted in said.output.splitlines()) == (0, True), said.output
        return
    status = solver_main(words)
    shown = capfd.readouterr()
    assert status in {0, 1, 3}, shown.err
    assert shown.out.strip()
    if words[0] == "verify" and "--data" not in words:
        assert status == 0
        answers = Path("results.csv").read_text(encoding="utf-8") if "--instances" in words else shown.out
        assert "unsat" in answers


def test_prompts_are_found_at_all() -> None:
    assert {words[0] for _, words in console()} >= {"verify", "supports", "--name", "--version"}


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for page, language, text in BLOCKS:
        if language in {"", "sh", "bash", "yaml"}:
            for line in text.splitlines():
                match = re.search(r"(?:^|[ /])robust ((?:[a-z]|-).*)", line.split("#")[0])
                if match and "pip install" not in line:
                    found.append((f"{page.name}: {match.group(0).strip()}", shlex.split(match.group(1))))
    inline = re.findall(r"`robust ([a-z][^`]*)`", "\n".join(page.read_text(encoding="utf-8") for page in PAGES))
    return found + [(f"robust {text}", shlex.split(text)) for text in inline]


@pytest.mark.parametrize("words", [words for _, words in commands()], ids=[name for name, _ in commands()])
def test_a_command_named_in_the_documents_exists(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= options | {"-h", "--help"}


def test_commands_are_found_at_all() -> None:
    assert {words[0] for _, words in commands()} >= {"audit", "init", "config", "report", "list"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?:", target):
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), target
            if anchor:
                assert anchor in anchors(there), target


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_make_targets_and_modules_named_in_the_documents_exist() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    targets = set(re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets >= {"audit", "test"}
    assert targets <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    modules = set(re.findall(r"python -m ((?:docs|examples|benchmarks)\.[\w.]+)", text))
    assert len(modules) > 3
    assert [name for name in modules if not (ROOT / (name.replace(".", os.sep) + ".py")).is_file()] == []


def test_files_named_in_the_architecture_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:robust|attacks|verifiers|reports|tests)/[\w/]+(?:\.py|/))`", text))
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path.replace("NAME", "pgd")).exists() and "NAME" not in path] == []


def literal_metrics() -> set[str]:
    """What the product's code passes as ``metric=`` to a finding."""
    found: set[str] = set()
    for file in (*(ROOT / "robust").rglob("*.py"),):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                values = [keyword.value for keyword in node.keywords if keyword.arg == "metric"]
                found |= {value.value for value in values if isinstance(value, ast.Constant)}
    return found


def test_every_metric_is_explained() -> None:
    text = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    metrics = literal_metrics()
    assert len(metrics) > 25
    assert sorted(metric for metric in metrics if f"`{metric}`" not in text) == []


def test_each_check_has_its_section() -> None:
    text = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"^## (\w+)$", text, re.MULTILINE) if name != "Cost"] == [
        c.name for c in CHECKS
    ]
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [check.name for check in CHECKS]
