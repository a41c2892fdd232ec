"""Numbers as a reader wants them: ``93.5 % [91.0, 95.6]``, ``0.0123``, ``12,000``. Never rounded to 0 or 100 %."""

from __future__ import annotations

import math
from datetime import datetime

from robust.record import Finding, Interval, Threshold

MINUS = "\N{MINUS SIGN}"
DASH = "–"
EXACT = 1e-12
"""A share this near to 0 or 1 differs from it by the rounding of the interval's formula only."""


def number(value: float | int) -> str:
    """At most four significant digits; whole numbers in full with thousands separated."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e7):
        return _signed(f"{int(value):,}" if abs(value) < 10**15 else _large(value))
    size = abs(value)
    return _signed(f"{value:,.0f}" if 1e4 <= size < 1e7 else f"{value:.4g}")


def percent(value: float, *, sign: bool = True) -> str:
    """A share in per cent with one decimal, more where one decimal would claim 0 or 100 % for what is neither."""
    if not -1e6 < value < 1e6:
        return number(value * 100.0) + (" %" if sign else "")
    for decimals in (1, 2, 3):
        text = f"{100.0 * value:.{decimals}f}"
        if not _overclaims(value, float(text)):
            return _signed(text) + (" %" if sign else "")
    bound = "< 0.001" if 0 < abs(value) < 0.5 else "> 99.999"
    return (MINUS if value < 0 else "") + bound + (" %" if sign else "")


def quantity(value: float, unit: str) -> str:
    """A value with its unit; ``share`` becomes per cent."""
    if unit == "share":
        return percent(value)
    return number(value) + (f" {unit}" if unit else "")


def interval_text(interval: Interval, unit: str) -> str:
    """``[91.0, 95.6]`` in the value's unit."""
    if unit == "share":
        return f"[{percent(interval.low, sign=False)}, {percent(interval.high, sign=False)}]"
    return f"[{number(interval.low)}, {number(interval.high)}]"


def level_text(interval: Interval) -> str:
    """``95 % wilson``; a deterministic enclosure says so."""
    return interval.method if interval.level >= 1.0 else f"{number(100.0 * interval.level)} % {interval.method}"


def value_text(finding: Finding) -> str:
    """``93.5 % [91.0, 95.6] n=400``; a dash where there is no value."""
    if finding.value is None:
        return DASH
    parts = [quantity(finding.value, finding.unit)]
    if finding.interval is not None:
        parts.append(interval_text(finding.interval, finding.unit))
    if finding.n is not None:
        parts.append(f"n={finding.n:,}")
    return " ".join(parts)


def threshold_text(threshold: Threshold | None, unit: str) -> str:
    """``at least 90.0 %``; empty where there is none."""
    if threshold is None:
        return ""
    parts = []
    if threshold.minimum is not None:
        parts.append(f"at least {quantity(threshold.minimum, unit)}")
    if threshold.maximum is not None:
        parts.append(f"at most {quantity(threshold.maximum, unit)}")
    return " and ".join(parts)


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """``512 bytes``, ``14 kB``, ``2.3 MB``."""
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def moment(text: str) -> str:
    """An ISO 8601 time as ``2026-01-02 10:01:44 UTC``; anything else as it is; a dash for nothing."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return text or DASH


def file_size(count: int) -> str:
    """Bytes as ``812 kB``."""
    return f"{count} B" if count < 1000 else f"{count / 1000:,.0f} kB"


def _overclaims(value: float, shown: float) -> bool:
    near_zero, near_one = abs(value) <= EXACT, abs(abs(value) - 1.0) <= EXACT
    return (shown == 0.0 and not near_zero) or (abs(shown) == 100.0 and not near_one)


def _signed(text: str) -> str:
    if text.startswith("-"):
        return text[1:] if not text.strip("-0.,") else MINUS + text[1:]
    return text


def _large(value: float | int) -> str:
    """A whole number too long to be written out, even one that no float can hold."""
    try:
        return f"{float(value):.4g}"
    except OverflowError:
        sign = "-" if value < 0 else ""
        return f"{sign}about 1e+{int(int(abs(value)).bit_length() * math.log10(2))}"
