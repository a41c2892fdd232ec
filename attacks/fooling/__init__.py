"""Fooling inputs: unrecognisable, and yet called a class with confidence."""

from attacks.fooling.fooling import Fooling, FoolingMethod
from attacks.fooling.gradient_ascent import GradientAscent
from attacks.fooling.map_elites import MapElites
from attacks.fooling.pattern_elites import PatternElites
from attacks.fooling.plug_and_play import LinearDenoiser, PlugAndPlay

__all__ = [
    "Fooling",
    "FoolingMethod",
    "GradientAscent",
    "LinearDenoiser",
    "MapElites",
    "PatternElites",
    "PlugAndPlay",
]
