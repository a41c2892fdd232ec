from __future__ import annotations

from xml.etree import ElementTree as ET

from reports.bar_plot import describe, draw_bars
from robust.record import BarPlot, Series


def draw(*series: Series, **more: object) -> ET.Element:
    fields = {"title": "T", "y_label": "share", "y_range": (0, 1), **more, "series": series}
    return ET.fromstring(str(draw_bars(BarPlot.model_validate(fields), "a")))


def rects(root: ET.Element) -> list[tuple[str | None, str | None]]:
    return [(e.get("x"), e.get("width")) for e in root.iter("rect")]


def test_bars_start_at_zero_and_end_at_their_value() -> None:
    """A name of four letters leaves 12 + 4 * 8.8 = 47.2 on the left; the plot ends at 408."""
    root = draw(Series(label="half", value=0.5, low=0.25, high=0.75), Series(label="full", value=1.0))
    assert rects(root) == [("47.2", "180.4"), ("47.2", "360.8")]
    whisker = next(e for e in root.iter("line") if e.get("class") == "whisker")
    assert (whisker.get("x1"), whisker.get("x2")) == ("137.4", "317.8")


def test_negative_bars_go_left_from_zero() -> None:
    root = draw(Series(label="gap", value=-0.5), Series(label="gain", value=0.5), y_range=(-1, 1))
    assert rects(root) == [("137.4", "90.2"), ("227.6", "90.2")]


def test_a_hundred_classes_have_a_row_each_and_long_names_are_cut() -> None:
    root = draw(*(Series(label=f"{i} " + "long" * 20, value=i / 100) for i in range(100)))
    names = [e.text or "" for e in root.iter("text") if "name" in e.get("class", "")]
    assert len(names) == 100
    assert all(len(name) <= 24 for name in names)
    assert root.get("viewBox") == "0 0 480 1864"  # 34 + 100 * 18 + 30


def test_no_bars_equal_bars_and_values_that_must_not_be_rounded_up() -> None:
    assert "no bars" in [e.text for e in draw().iter("text")]
    assert rects(draw(Series(label="a", value=0.0), y_range=None)) == [("47.2", "0.75")]
    shown = [e.text for e in draw(Series(label="a", value=0.9999), Series(label="b", value=0.5)).iter("text")]
    assert {"0.9999", "0.500"} <= set(shown)


def test_words() -> None:
    plot = BarPlot(title="T", y_label="share", series=(Series(label="a", value=0.1), Series(label="b", value=0.9)))
    assert describe(plot) == "share of 2 bars; lowest a 0.1; highest b 0.9."
