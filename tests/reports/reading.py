"""What a browser would see in a page, by the standard library's parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "hr", "base"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    parts: list[Element | str] = field(default_factory=list)

    def walk(self) -> list[Element]:
        return [self, *(found for part in self.parts if isinstance(part, Element) for found in part.walk())]

    def all(self, name: str) -> list[Element]:
        return [found for found in self.walk() if found.name == name]

    def by_class(self, name: str) -> list[Element]:
        return [found for found in self.walk() if name in found.attributes.get("class", "").split()]

    @property
    def text(self) -> str:
        return " ".join(self._words().split())

    def _words(self) -> str:
        return " ".join(part if isinstance(part, str) else part._words() for part in self.parts)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("document", {})
        self.open = [self.root]
        self.errors: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].parts.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].parts.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or self.open[-1].name != tag:
            self.errors.append(f"</{tag}> while <{self.open[-1].name}> is open")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def read_html(text: str) -> Element:
    """The tree of a page whose tags must all be balanced."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.errors, reader.errors[:3]
    assert len(reader.open) == 1, [element.name for element in reader.open]
    return reader.root
