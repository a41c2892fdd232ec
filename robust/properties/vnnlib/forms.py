"""S-expressions of a text, in time linear in its length, with the line of each for error messages."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from robust.errors import PropertyError

_COMMENT = re.compile(r";[^\n]*")
_TOKEN = re.compile(r'[()]|"[^"\n]*"|\[[^\]()]*\]|[^\s()"\[]+(?:\[[^\]()]*\])?|["\[]')
"""A bracket, a quoted name, or a word; a word may carry indices or a shape with blanks inside: ``[2, 2]``."""

Form = str | list["Form"]
"""A word or a list of forms."""


@dataclass(frozen=True)
class Statement:
    """A form at the top of the file and the place of its first token."""

    form: list[Form]
    token: int


class Source:
    """A text that can say where something stands in it.

    Args:
        text: of the whole file.
        name: of the file; for messages.
    """

    def __init__(self, text: str, name: str = "the query") -> None:
        self.name = name
        self._text = _COMMENT.sub("", text) if ";" in text else text

    def statements(self) -> list[Statement]:
        """All forms at the top.

        Raises:
            PropertyError: brackets that do not match, a word outside them.
        """
        found: list[Statement] = []
        open_: list[list[Form]] = []
        for place, token in enumerate(_TOKEN.findall(self._text)):
            if token == "(":
                inner: list[Form] = []
                if open_:
                    open_[-1].append(inner)
                else:
                    found.append(Statement(inner, place))
                open_.append(inner)
            elif token == ")":
                if not open_:
                    self.fail("a bracket is closed that was never opened", place)
                open_.pop()
            elif open_:
                open_[-1].append(token)
            else:
                self.fail(f"{token!r} stands outside all brackets", place, wanted="(declare-... ) or (assert ...)")
        if open_:
            self.fail("the file ends inside a bracket", found[-1].token, hint="the file may be truncated")
        return found

    def fail(
        self, message: str, token: int | None, *, wanted: object = None, got: object = None, hint: str | None = None
    ) -> NoReturn:
        """Raise with the line of a token."""
        place = "" if token is None else f", line {self.line(token)}"
        raise PropertyError(f"{self.name}{place}: {message}", wanted=wanted, got=got, hint=hint)

    def line(self, token: int) -> int:
        """1-based line of a token."""
        for place, match in enumerate(_TOKEN.finditer(self._text)):
            if place == token:
                return self._text.count("\n", 0, match.start()) + 1
        return self._text.count("\n") + 1


def read_text(path: str | Path) -> str:
    """A file's text, unpacked if it is gzipped.

    Raises:
        PropertyError: it cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return content.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise PropertyError(
            f"cannot read the query {path}", wanted="a VNN-LIB file, plain or gzipped", got=error, hint="check the path"
        ) from error
