"""docs/systems.md gives each of the 59 systems one place, and names no file that is not there without saying so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from robust.audit.catalogue import CHECKS
from robust.subjects import protocols

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
PATHS = re.findall(r"`((?:[\w-]+/)+(?:[\w-]+\.py)?)`(\*?)", TEXT)
ROOMS = {"robust", "attacks", "verifiers", "reports", "tests"}
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)
]
GROUPS = [line for line in TEXT.splitlines() if re.match(r"\| G\d+ ", line)]


def test_each_system_has_one_row() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 60))
    assert len({row[1] for row in ROWS}) == 59


def test_each_group_has_one_row_and_a_system() -> None:
    names = [re.match(r"\| (G\d+) ", line) for line in GROUPS]
    found = [match.group(1) for match in names if match]
    assert found == [f"G{number}" for number in range(1, 15)]
    assert {group for row in ROWS for group in row[3].split(", ")} == set(found)


@pytest.mark.parametrize(("path", "star"), sorted(set(PATHS)))
def test_a_path_exists_or_has_a_star(path: str, star: str) -> None:
    assert path.split("/")[0] in ROOMS
    assert (ROOT / path).exists() is not bool(star), "a star means: not there yet"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_a_status_is_no_more_than_the_tree_bears(row: list[str]) -> None:
    starred = re.findall(r"`[\w./]+`\*", row[4])
    assert row[5] in {"works", "in part", "planned"}
    if row[5] == "works":
        assert re.findall(r"`(?:robust|attacks|verifiers)/[\w/.]+`(?!\*)|`Generator`", row[4])
    else:
        assert starred, "what is missing has a place"


def test_protocols_named_without_a_star_exist() -> None:
    nouns = {*vars(protocols), "Dataset"}
    named = set(re.findall(r"`([A-Z]\w+)`(\*?)", "\n".join(GROUPS)))
    assert len(named) > 5
    for name, star in named:
        assert (name in nouns) is not bool(star), name


def test_checks_named_without_a_star_exist() -> None:
    known = {check.name for check in CHECKS}
    for line in GROUPS:
        for name, star in re.findall(r"`(\w+)`(\*?)", line.strip("|").split("|")[-1]):
            assert (name in known) is not bool(star), name
