"""VNN-LIB 1 and 2, in and out: text -> ``Query`` -> cases, each an input box and an unsafe set; and back."""

from robust.properties.vnnlib.query import Case, NetworkDeclaration, Query, Variable
from robust.properties.vnnlib.read import parse_query, read_query
from robust.properties.vnnlib.write import property_query, write_version_1, write_version_2

__all__ = [
    "Case",
    "NetworkDeclaration",
    "Query",
    "Variable",
    "parse_query",
    "property_query",
    "read_query",
    "write_version_1",
    "write_version_2",
]
