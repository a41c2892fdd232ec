"""Arrows between packages point one way; the table below is the whole rule."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOUNS = {
    "robust.errors",
    "robust.record",
    "robust.statistics",
    "robust.properties",
    "robust.graph",
    "robust.subjects",
    "robust.data",
    "robust",
}
MEASURES = {"robust.calibration", "robust.ood", "robust.fairness", "robust.generation", "robust.explanation"}
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(NOUNS, NOUNS),
    "robust.errors": set(),
    "robust.record": {"robust.errors"},
    "robust.statistics": {"robust.errors", "robust.record"},
    "attacks": NOUNS,
    "verifiers": NOUNS,
    **{measure: NOUNS | {"attacks", "verifiers"} | MEASURES for measure in MEASURES},
    "robust.checker": set(),
    "robust.audit": NOUNS | {"attacks", "verifiers", "robust.checker"} | MEASURES,
    "robust.cli": NOUNS | {"attacks", "verifiers", "robust.audit", "robust.checker", "reports"},
    "reports": {"robust.record", "robust.errors"},
}
FILES = sorted(path for room in ("robust", "attacks", "verifiers", "reports") for path in (ROOT / room).rglob("*.py"))


def room_of(module: str) -> str:
    """``robust.audit.runner`` -> ``robust.audit``; ``attacks.pgd`` -> ``attacks``."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "robust" and len(parts) > 1 else parts[0]


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "robust":
                rooms = {f"robust.{alias.name}" for alias in node.names}
                found |= {room if room in MAY_IMPORT else "robust" for room in rooms}
            else:
                found.add(node.module)
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}: relative import; write the whole name")
    return {name for name in found if name.split(".")[0] in {"robust", "attacks", "verifiers", "reports"}}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    room = room_of(module)
    assert room in MAY_IMPORT, f"{room} is a new room: say in this test whom it may look into"
    wrong = {name for name in imports_of(path) if room_of(name) not in MAY_IMPORT[room] | {room}}
    if module == "robust":
        wrong -= NOUNS
    assert not wrong, f"{module} may not import {sorted(wrong)}"


def test_the_rule_can_fail(tmp_path: Path) -> None:
    stray = tmp_path / "stray.py"
    stray.write_text("from robust.audit.runner import run_audit\nfrom robust import cli\n", encoding="utf-8")
    assert imports_of(stray) == {"robust.audit.runner", "robust.cli"}
    assert room_of("robust.audit.runner") not in MAY_IMPORT["attacks"]


def test_the_checker_stands_alone() -> None:
    for path in (ROOT / "robust" / "checker").glob("*.py"):
        assert "torch" not in {name.split(".")[0] for name in _all_imports(path)}, path


def test_nobody_imports_torchvision() -> None:
    for path in FILES:
        assert "torchvision" not in {name.split(".")[0] for name in _all_imports(path)}, path


def _all_imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
