"""Stacked bars and shares over time: places worked out by hand."""

from __future__ import annotations

import re

import pytest

from reports.decisions_plot import Share, describe, draw_decisions, legend, numbers, present, words
from robust.record import DecidedBar, Decisions


def plot(*bars: DecidedBar) -> Decisions:
    samples = tuple(map(str, range(max([0, *(len(bar.verdicts) for bar in bars)]))))
    return Decisions(title="What decided", bar_label="epsilon", samples=samples, bars=bars)


FOUR = DecidedBar(
    label="0.1",
    verdicts=("broken", "proved", "undecided", "broken"),
    engines=("attack", "crown", "", "branch and bound"),
    seconds=(0.01, 0.1, 1.0, 1.0),
)


def paths(svg: str, style: str) -> list[list[tuple[float, float]]]:
    """Corners of the areas of a style."""
    found = re.findall(rf'<path d="M([^"]*)Z" class="{style}"', svg)
    return [[tuple(map(float, corner.split(","))) for corner in d.split("L")] for d in found]  # type: ignore[misc]


def test_proofs_come_first_and_attacks_last() -> None:
    assert present(plot(FOUR)) == [
        Share("proved", "crown"),
        Share("undecided", ""),
        Share("broken", "branch and bound"),
        Share("broken", "attack"),
    ]


def test_the_parts_of_a_bar_are_its_counts_side_by_side() -> None:
    svg = str(draw_decisions(plot(FOUR), "a")).split("</svg>")[0]
    ends = {style: (min(x for x, _ in part), max(x for x, _ in part)) for style in ("part c2", "part c4", "part c1")
            for part in paths(svg, style)}  # fmt: skip
    quarter = ends["part c2"][1] - ends["part c2"][0]
    assert quarter > 50
    assert ends["part c4"][0] - ends["part c2"][1] == pytest.approx(quarter, abs=0.1)  # the undecided one between
    assert ends["part c4"][1] == pytest.approx(ends["part c1"][0], abs=0.1)
    assert ends["part c1"][1] - ends["part c2"][0] == pytest.approx(4 * quarter, abs=0.1)
    assert "1 open" in svg


def test_shares_over_time_add_up_and_stop_below_what_is_undecided() -> None:
    """0.01 s: the attack; 0.1 s: CROWN as well; 1 s: branch and bound. From 240 (none) to 34 (all): 51.5 for each."""
    svg = str(draw_decisions(plot(FOUR), "a")).split("</svg>")[1]
    (crown,), (split,), (attack,) = (paths(svg, f"part {style}") for style in ("c2", "c4", "c1"))
    assert min(y for _, y in crown) == pytest.approx(240 - 51.5)
    assert min(y for _, y in split) == pytest.approx(240 - 2 * 51.5)
    assert min(y for _, y in attack) == pytest.approx(240 - 3 * 51.5)
    assert (56.0, 188.5) in attack  # from the left edge, 0.01 s, one of four
    assert (260.0, 188.5) in crown  # from the middle of two powers of ten, 0.1 s


def test_legend_numbers_and_description_say_the_same() -> None:
    entries = [text for _, text in legend(plot(FOUR), "a")]
    assert entries == [words(share) for share in present(plot(FOUR))]
    assert numbers(plot(FOUR)).rows == (
        ("0.1", "proved by CROWN", 1, 0.1, 0.1),
        ("0.1", "undecided: neither proved nor broken", 1, 1.0, 1.0),
        ("0.1", "broken by branch and bound", 1, 1.0, 1.0),
        ("0.1", "broken by an attack", 1, 0.01, 0.01),
    )
    assert "0.1: 1 proved, 1 undecided, 2 broken." in describe(plot(FOUR))


def test_odd_records_are_drawn() -> None:
    short = DecidedBar(label="<b>", verdicts=("proved",) * 3, engines=("oracle", "smt"), seconds=(-1.0, 1e300))
    for one in (plot(), plot(short), plot(FOUR, short)):
        svg = str(draw_decisions(one, "a"))
        assert svg.count("<svg") == 2
        assert "nan" not in svg.lower()
        assert "<b>" not in svg
