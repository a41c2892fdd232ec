"""The network of the diabetes example; its trained numbers are in ``classifier.safetensors``."""

from __future__ import annotations

from pathlib import Path

from torch import nn

HERE = Path(__file__).parent
FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def diabetes_classifier() -> nn.Sequential:
    """Ten raw columns ``[n, 10]`` (years, coded sex, kg/m2, mmHg, six serum values) to logits ``[n, 2]``."""
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
