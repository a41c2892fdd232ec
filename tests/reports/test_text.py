from __future__ import annotations

from reports.text import clean, one_line, shorten, slug, unique_slugs


def test_control_and_direction_marks_become_visible_and_newlines_stay() -> None:
    assert clean("a\x00b\x1bc\u202ed\ud800e\r\nf\tg") == "a\ufffdb\ufffdc\ufffdd\ufffde\nf\tg"
    assert one_line(" a\n b\t c ") == "a b c"


def test_shorten_keeps_both_ends() -> None:
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 10) == "abcdef…ijk"
    assert [len(shorten("x" * 50, width)) for width in (1, 2, 7, 49)] == [1, 2, 7, 49]


def test_slugs_are_never_empty_and_never_twice() -> None:
    assert slug("L-inf, ε=0.1!") == "l-inf-0-1"
    assert slug("漢字") == "x"
    assert unique_slugs(["a", "A", "a-2", "!"], "check") == ["check-a", "check-a-2", "check-a-2-2", "check-x"]
