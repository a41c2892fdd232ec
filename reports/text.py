"""User-controlled text made fit for a page, an XML file, a terminal: no control characters, no surprises."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Everything that XML 1.0 forbids or a terminal obeys, and the marks that reorder text to make it read as something
# else ("Trojan Source", Boucher and Anderson 2021), and the invisible tag characters. Tab and newline stay.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff\U000e0000-\U000e0fff]"
)
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def clean(text: str) -> str:
    """``text`` with control characters, bidirectional marks and lone surrogates as U+FFFD; returns as newlines."""
    return _UNWANTED.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """``clean`` text with every run of white space as one space."""
    return " ".join(clean(text).split())


def shorten(text: str, width: int) -> str:
    """``one_line`` text of at most ``width`` characters; the middle gives way, because names differ at both ends."""
    line = one_line(text)
    if len(line) <= width:
        return line
    tail = max((width - 1) // 3, 0)
    return line[: width - 1 - tail] + "…" + (line[-tail:] if tail else "")


def slug(text: str) -> str:
    """Lower-case ASCII letters, digits and hyphens, for anchors. Never empty."""
    return _NOT_SLUG.sub("-", text.lower()).strip("-")[:60] or "x"


def unique_slugs(texts: Iterable[str], prefix: str) -> list[str]:
    """One anchor per text, each once, in order: ``check-attacks``, ``check-attacks-2``."""
    seen: set[str] = set()
    anchors = []
    for text in texts:
        base = anchor = f"{prefix}-{slug(text)}"
        count = 1
        while anchor in seen:
            count += 1
            anchor = f"{base}-{count}"
        seen.add(anchor)
        anchors.append(anchor)
    return anchors
