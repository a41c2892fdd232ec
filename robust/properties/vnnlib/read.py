"""Read VNN-LIB: the declarations of version 1 and of version 2, then the assertions, which are alike."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from robust.errors import PropertyError
from robust.properties.vnnlib.cases import CaseBuilder
from robust.properties.vnnlib.forms import Form, Source, Statement, read_text
from robust.properties.vnnlib.formula import Reader
from robust.properties.vnnlib.query import NetworkDeclaration, Query, Variable

_INDEXED = re.compile(r"([^\[\]]+)\[([\d\s,]*)\]")
_SHAPED = re.compile(r"\[\s*(?:\d+\s*(?:,\s*\d+\s*)*)?\]")
_FIRST = re.compile(r"([XY])_(\d+)")

ELEMENT_TYPES = frozenset(
    (
        *("real", "float16", "float32", "float64", "bfloat16", "bool", "complex64", "complex128"),
        *("float8e4m3fn", "float8e5m2", "float8e4m3fnuz", "float8e5m2fnuz", "float4e2m1"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
)
"""Of VNN-LIB 2.0. ``Real``, as version 1 writes it, is read as ``real``."""

LARGEST = 10_000_000


def read_query(path: str | Path) -> Query:
    """A query file, plain or gzipped, of either version.

    Raises:
        PropertyError: it cannot be read, or what ``parse_query`` raises.
    """
    return parse_query(read_text(path), str(path))


def parse_query(text: str, name: str = "the query") -> Query:
    """The query that a text states.

    Args:
        text: VNN-LIB 1 or 2.
        name: of the file; for messages.

    Raises:
        PropertyError: not VNN-LIB, an unknown variable, an input without bounds, an empty box, no constraint on
            outputs (version 1), too many branches; with the line of the statement where there is one.
    """
    with _no_collections():
        return _parse(Source(text, name), name)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Half of the time of a large file would go to looking for cycles, of which there are none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _parse(source: Source, name: str) -> Query:
    statements = source.statements()
    if not statements:
        source.fail("there is nothing in it", None, wanted="declarations and assertions")
    version = 2 if any(_head(item) in ("vnnlib-version", "declare-network") for item in statements) else 1
    try:
        return _second(source, statements) if version == 2 else _first(source, statements)
    except PropertyError as error:
        if error.message.startswith(name):
            raise
        raise PropertyError(f"{name}: {error.message}", wanted=error.wanted, got=error.got, hint=error.hint) from error


def _first(source: Source, statements: list[Statement]) -> Query:
    counts = {"X": 0, "Y": 0}
    seen: set[str] = set()
    for item in statements:
        if _head(item) not in ("declare-const", "declare-fun"):
            continue
        word = item.form[1] if len(item.form) > 1 else ""
        match = _FIRST.fullmatch(word) if isinstance(word, str) else None
        if match is None or item.form[-1] not in ("Real", "real"):
            source.fail("a declaration was expected", item.token, wanted="(declare-const X_0 Real)", got=item.form)
        if match[0] in seen:
            source.fail(f"{match[0]} is declared twice", item.token)
        seen.add(match[0])
        counts[match[1]] = max(counts[match[1]], int(match[2]) + 1)
    if len(seen) != counts["X"] + counts["Y"]:
        source.fail("the numbers of the declared variables have gaps", None, wanted="X_0, X_1, ... and Y_0, Y_1, ...")
    if not counts["X"] or not counts["Y"]:
        source.fail("a query needs inputs and outputs", None, wanted="X_0 and Y_0 at least", got=sorted(seen)[:4])
    numbers = {f"X_{place}": place for place in range(counts["X"])}
    numbers |= {f"Y_{place}": counts["X"] + place for place in range(counts["Y"])}
    network = NetworkDeclaration("", (Variable("X", "real", (counts["X"],)),), (Variable("Y", "real", (counts["Y"],)),))
    return _query(source, statements, 1, (network,), numbers, {"declare-const", "declare-fun"})


def _second(source: Source, statements: list[Statement]) -> Query:
    for item in statements:
        if _head(item) == "vnnlib-version" and item.form[1:] not in (["<2.0>"], ["2.0"]):
            source.fail("another version of VNN-LIB", item.token, wanted="<2.0>", got=item.form[1:])
    networks: list[NetworkDeclaration] = []
    for item in statements:
        if _head(item) == "declare-network":
            networks.append(_network(source, item, networks))
    if not networks:
        source.fail("no network is declared", None, wanted="(declare-network N ...)")
    variables = [item for network in networks for item in network.inputs]
    variables += [item for network in networks for item in network.answers]
    if len({item.name for item in variables}) != len(variables):
        source.fail("a variable is declared twice", None, got=sorted(item.name for item in variables))
    numbers: dict[str, int] = {}
    start = 0
    for variable in variables:
        numbers |= _elements(variable, start)
        start += variable.elements
    return _query(source, statements, 2, tuple(networks), numbers, {"vnnlib-version", "declare-network"})


def _elements(variable: Variable, start: int) -> dict[str, int]:
    """``X[0,1]`` -> number; a scalar answers to its bare name too."""
    words = [""]
    for size in variable.shape:
        words = [f"{word}{',' if word else ''}{place}" for word in words for place in range(size)]
    found = {f"{variable.name}[{word}]": start + place for place, word in enumerate(words)}
    return found if variable.shape else {variable.name: start, **found}


def _network(source: Source, item: Statement, earlier: list[NetworkDeclaration]) -> NetworkDeclaration:
    if len(item.form) < 2 or not isinstance(item.form[1], str):
        source.fail("a network needs a name", item.token, wanted="(declare-network N ...)")
    found: dict[str, list[Variable]] = {"declare-input": [], "declare-hidden": [], "declare-output": []}
    relations: dict[str, str] = {}
    names = {network.name: network for network in earlier}
    if item.form[1] in names:
        source.fail(f"the network {item.form[1]} is declared twice", item.token)
    for part in item.form[2:]:
        head = part[0] if isinstance(part, list) and part else part
        if isinstance(part, list) and isinstance(head, str) and head in found:
            found[head].append(_variable(source, part, item.token, hidden=head == "declare-hidden"))
        elif isinstance(part, list) and head in ("equal-to", "isomorphic-to", "isometric-to") and len(part) == 2:
            relations["equal" if head == "equal-to" else "isomorphic"] = str(part[1])
        else:
            source.fail("an unknown declaration inside a network", item.token, wanted=", ".join(found), got=part)
    for other in relations.values():
        if other not in names:
            source.fail(f"there is no network {other!r} before this one", item.token, got=sorted(names))
    if not found["declare-input"] or not found["declare-output"]:
        source.fail("a network needs an input and an output", item.token)
    network = NetworkDeclaration(
        item.form[1],
        tuple(found["declare-input"]),
        tuple(found["declare-output"]),
        tuple(found["declare-hidden"]),
        relations.get("equal"),
        relations.get("isomorphic"),
    )
    twin = names.get(network.equal_to or "")
    if twin is not None and (_sizes(twin.inputs), _sizes(twin.outputs)) != (
        _sizes(network.inputs),
        _sizes(network.outputs),
    ):
        source.fail(f"{network.name} is equal to {twin.name} but has other shapes", item.token)
    return network


def _sizes(variables: Iterable[Variable]) -> list[tuple[int, ...]]:
    return [item.shape for item in variables]


def _variable(source: Source, part: list[Form], token: int, *, hidden: bool) -> Variable:
    words = [word for word in part[1:] if isinstance(word, str)]
    if len(words) != len(part) - 1 or len(words) < 2:
        source.fail("a variable needs a name and an element type", token, got=part)
    name, dtype, *rest = words
    dtype = "real" if dtype == "Real" else dtype
    if dtype not in ELEMENT_TYPES:
        source.fail(f"unknown element type {dtype!r}", token, wanted=", ".join(sorted(ELEMENT_TYPES)))
    shape: tuple[int, ...] = ()
    if rest and _SHAPED.fullmatch(rest[0]):
        shape = tuple(int(size) for size in rest.pop(0).strip("[]").split(",") if size.strip())
    if rest and rest[0].startswith("["):
        source.fail("a shape is a list of sizes", token, wanted="[1,5]", got=rest[0])
    onnx_name = rest.pop(0).strip('"') if rest else None
    if rest or (hidden and onnx_name is None):
        source.fail("a hidden variable needs the name of its ONNX value" if hidden else "too many words", token)
    variable = Variable(name, dtype, shape, onnx_name)
    if not 0 < variable.elements <= LARGEST:
        source.fail(f"{name} has an impossible shape", token, wanted=f"1 to {LARGEST} elements", got=shape)
    return variable


def _query(
    source: Source,
    statements: list[Statement],
    version: int,
    networks: tuple[NetworkDeclaration, ...],
    numbers: dict[str, int],
    skipped: set[str],
) -> Query:
    inputs = sum(item.elements for network in networks for item in network.inputs)
    names = [""] * inputs
    for word, number in numbers.items():
        if number < inputs:
            names[number] = word
    builder = CaseBuilder(inputs, sum(item.elements for network in networks for item in network.answers), names)
    reader = Reader(source, numbers.get if version == 1 else _lenient(numbers))
    for item in statements:
        head = _head(item)
        if head == "assert":
            if len(item.form) != 2:
                source.fail("an assertion holds one constraint", item.token)
            builder.add(reader.formula(item.form[1], item.token))
        elif head not in skipped and head not in ("set-logic", "check-sat", "set-info", "get-model"):
            source.fail(f"unknown statement {head!r}", item.token, wanted="declarations and (assert ...)")
    cases = builder.cases(strictly=version == 1)
    return Query(version, networks, tuple(builder.observed), cases)


class _lenient:  # noqa: N801 - used as a function
    """Looks words up, with blanks inside the indices removed."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self._numbers = numbers

    def __call__(self, word: str) -> int | None:
        found = self._numbers.get(word)
        if found is None and _INDEXED.fullmatch(word):
            return self._numbers.get("".join(word.split()))
        return found


def _head(item: Statement) -> str:
    head = item.form[0] if item.form else ""
    return head if isinstance(head, str) else ""
