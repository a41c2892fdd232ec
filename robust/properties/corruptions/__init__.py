"""The fifteen common corruptions of pictures, five severities each (Hendrycks and Dietterich 2019)."""

from robust.properties.corruptions.catalogue import CORRUPTIONS, GROUPS, SEVERITIES, Corruption, corrupt, corrupt_inputs

__all__ = ["CORRUPTIONS", "GROUPS", "SEVERITIES", "Corruption", "corrupt", "corrupt_inputs"]
