"""Changes by the words of the command line: ``rotation=30,shift=3``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from attacks.changes.change import Chain, Change, Interval
from attacks.changes.colours import Colour, Light
from attacks.changes.frequency import Jpeg, Waves
from attacks.changes.geometry import Elastic, Moving
from attacks.changes.sharpness import Blur
from robust.errors import UsageError


def _around(value: float) -> Interval:
    return -value, value


def _factor(value: float) -> Interval:
    return min(value, 1 / value), max(value, 1 / value)


AMOUNTS: Mapping[str, tuple[str, Callable[[float], dict[str, Interval]]]] = {
    "rotation": ("degrees to either side", lambda value: {"angle": _around(value)}),
    "shift": ("pixels in every direction", lambda value: {"rows": _around(value), "columns": _around(value)}),
    "zoom": ("factor, out and in", lambda value: {"scale": _factor(value)}),
    "brightness": ("input units, darker and brighter", lambda value: {"brightness": _around(value)}),
    "contrast": ("factor, lower and higher", lambda value: {"contrast": _factor(value)}),
    "hue": ("degrees to either side", lambda value: {"hue": _around(value)}),
    "saturation": ("factor, paler and stronger", lambda value: {"saturation": _factor(value)}),
    "blur": ("standard deviation in pixels, at most", lambda value: {"sigma": (0.0, value)}),
    "waves": ("input units, each of 3 x 3 cosine waves at most", lambda value: {"amount": (0.0, value)}),
    "jpeg": ("lowest quality, 1 to 100", lambda value: {"quality": (value, 100.0)}),
    "elastic": ("pixels in every direction, at 4 x 4 knots", lambda value: {"pixels": (0.0, value)}),
}
"""Word -> what its number means, and the ranges that it stands for."""

_MAKERS: tuple[tuple[tuple[str, ...], Callable[..., Change]], ...] = (
    (("elastic",), lambda pixels: Elastic(pixels=pixels[1])),
    (("rotation", "shift", "zoom"), Moving),
    (("blur",), Blur),
    (("hue", "saturation"), Colour),
    (("brightness", "contrast"), Light),
    (("waves",), lambda amount: Waves(amount=amount[1])),
    (("jpeg",), Jpeg),
)
"""In the order in which changes follow each other: the scene, the lens, the light, the file."""


def change_of(text: str) -> Change:
    """The change that words stand for; several words, parted by commas, are one change with all their parameters.

    Raises:
        UsageError: an unknown word, or a number that is none.
    """
    amounts: dict[str, float] = {}
    for part in text.split(","):
        word, _, number = (piece.strip() for piece in part.partition("="))
        if word not in AMOUNTS or word in amounts:
            raise UsageError(
                f"there is no change called {word!r}" if word not in AMOUNTS else f"{word} is given twice",
                wanted=", ".join(f"{name}=NUMBER ({meaning})" for name, (meaning, _) in AMOUNTS.items())
                + ", or patch=HEIGHTxWIDTH alone",
                got=text,
            )
        amounts[word] = _number(word, number)
    parts = []
    for words, make in _MAKERS:
        ranges = {
            key: ends for word in words if word in amounts for key, ends in AMOUNTS[word][1](amounts[word]).items()
        }
        if ranges:
            parts.append(make(**ranges))
    return parts[0] if len(parts) == 1 else Chain(*parts)


def _number(word: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{word} needs a number", wanted=f"above 0: {AMOUNTS[word][0]}", got=text or "nothing")
    return value
