"""Word documents section by section: WordprocessingML (ECMA-376 part 1, section 17), read with lxml.

Headings are what the style says (`heading 1` in every language of Word, or an outline level). Deleted and moved text
is left out, inserted text, text boxes, equations and notes are kept; the cells of a table's row are parted by tabs.
Elements are known by their local names, so that the transitional and the strict namespaces read alike.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from datakit.sources.block import Broken
from datakit.sources.office import open_package

_HEADING: Final = re.compile(r"(?:heading|标题)\s*([1-9])$|(title|标题)$", re.IGNORECASE)
_GONE: Final = frozenset({"del", "moveFrom", "Fallback", "pPr", "rPr", "instrText", "delText", "txbxContent", "tbl"})
_MARKS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_LEVELS: Final = 9


@dataclass
class Section:
    """What stands below a heading.

    heading: empty before the first one; level: 1 to 9, 0 without a heading; lines: paragraphs, list items, rows of
    tables, each with what parts it from the next.
    """

    heading: str = ""
    level: int = 0
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The heading, a blank line, and what stands below it; empty where nothing is said."""
        parts = [(self.heading, "\n\n"), *self.lines] if self.heading else self.lines
        return "".join(text + gap for text, gap in parts).strip()


def read_word(data: bytes, largest: int) -> list[Section]:
    """The sections of a docx file, blank ones left out.

    Args:
        data: the file.
        largest: bytes that it may unpack to.

    Raises:
        Broken: it is encrypted, damaged, too large, or no Word document.
    """
    return [section for section in _Document(data, largest).sections() if section.text]


class _Document:
    def __init__(self, data: bytes, largest: int) -> None:
        self._package = open_package(data, largest)
        self._main = self._target("", "officeDocument") or "word/document.xml"
        self._levels = self._heading_levels()
        self._notes = {kind: self._read_notes(kind) for kind in ("footnote", "endnote")}

    def sections(self) -> Iterator[Section]:
        root = self._part(self._main)
        if root is None:
            raise Broken("broken_document", f"holds no {self._main}: no Word document")
        section, notes = Section(), [""]
        for block in _blocks(next((child for child in root if _name(child) == "body"), root)):
            if _name(block) == "tbl":
                section.lines += [(row, "\n") for row in _rows(block)]
                section.lines.append(("", "\n"))
                continue
            text, level = _text(block), self._level(block)
            if level and text.strip():
                yield _with_notes(section, notes)
                section, notes = Section(" ".join(text.split()), level), [""]
            elif text.strip():
                section.lines.append((text.strip(), "\n" if _is_item(block) else "\n\n"))
            notes += self._noted(block)
        yield _with_notes(section, notes)

    def _level(self, paragraph: Any) -> int:
        """The level of a heading, 0 for any other paragraph."""
        style = _value(paragraph, "pPr", "pStyle")
        own = _value(paragraph, "pPr", "outlineLvl")
        if own is not None and own.isdigit() and int(own) < _LEVELS:
            return int(own) + 1
        return self._levels.get(style, 0) if style else 0

    def _heading_levels(self) -> dict[str, int]:
        """Style id to level, for styles that are headings or based on one."""
        root = self._part(self._target(self._main, "styles") or "word/styles.xml")
        found: dict[str, int] = {}
        based: dict[str, str] = {}
        for style in root if root is not None else ():
            key = _attribute(style, "styleId")
            if _name(style) != "style" or key is None:
                continue
            name, outline = _HEADING.match(_value(style, "name") or ""), _value(style, "pPr", "outlineLvl")
            if name is not None:
                found[key] = int(name[1] or 1)
            elif outline is not None and outline.isdigit() and int(outline) < _LEVELS:
                found[key] = int(outline) + 1
            elif (parent := _value(style, "basedOn")) is not None:
                based[key] = parent
        for _ in range(len(based) and _LEVELS):
            found |= {key: found[parent] for key, parent in based.items() if parent in found and key not in found}
        return found

    def _read_notes(self, kind: str) -> dict[str, str]:
        root = self._part(self._target(self._main, f"{kind}s") or f"word/{kind}s.xml")
        notes = {}
        for note in root if root is not None else ():
            if _name(note) == kind and _attribute(note, "type") is None:
                text = " ".join(_text(block).strip() for block in _blocks(note)).strip()
                notes[_attribute(note, "id") or ""] = text
        return notes

    def _noted(self, paragraph: Any) -> list[str]:
        return [
            self._notes[kind].get(_attribute(element, "id") or "", "")
            for element in paragraph.iter()
            if (kind := _name(element).removesuffix("Reference")) in self._notes
        ]

    def _target(self, part: str, kind: str) -> str | None:
        """Where a part's relation of this kind leads."""
        folder, name = posixpath.split(part)
        root = self._part(posixpath.join(folder, "_rels", f"{name}.rels"))
        for relation in root if root is not None else ():
            if (relation.get("Type") or "").endswith(f"/{kind}") and relation.get("TargetMode") != "External":
                return posixpath.normpath(posixpath.join("/", folder, relation.get("Target") or "")).lstrip("/")
        return None

    def _part(self, name: str) -> Any:
        from lxml import etree

        try:
            data = self._package.read(name)
        except KeyError:
            return None
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        try:
            return etree.fromstring(data, parser)
        except etree.XMLSyntaxError as error:
            raise Broken("broken_document", f"{name} is damaged ({error.msg})") from None


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables in their order, those in content controls and text boxes among them."""
    for child in parent:
        name = _name(child)
        if name == "p":
            yield child
            for inner in child.iter():
                if _name(inner) == "txbxContent" and not _is_fallback(inner, child):
                    yield from _blocks(inner)
        elif name == "tbl":
            yield child
        elif name not in _GONE:
            yield from _blocks(child)


def _is_fallback(box: Any, paragraph: Any) -> bool:
    """Whether a text box is the copy for old readers, or stands inside another one, which yields it."""
    for parent in box.iterancestors():
        if parent is paragraph:
            return False
        if _name(parent) in ("Fallback", "txbxContent"):
            return True
    return False


def _rows(table: Any) -> Iterator[str]:
    """The rows of a table, cells parted by tabs; of a table in a cell the texts in a line."""
    for row in table.iter():
        if _name(row) == "tr" and next(parent for parent in row.iterancestors() if _name(parent) == "tbl") is table:
            cells = []
            for cell in row.iter():
                owner = next((parent for parent in cell.iterancestors() if _name(parent) == "tr"), None)
                if _name(cell) == "tc" and owner is row:
                    texts = [_text(inner) for inner in cell.iter() if _name(inner) == "p"]
                    cells.append(" ".join(" ".join(texts).split()))
            if any(cells):
                yield "\t".join(cells)


def _text(paragraph: Any) -> str:
    """What a paragraph says; its text boxes are blocks of their own."""
    parts: list[str] = []
    waiting = [iter(paragraph)]
    while waiting:
        element = next(waiting[-1], None)
        if element is None:
            waiting.pop()
            continue
        name = _name(element)
        if name == "t":
            parts.append(element.text or "")
        elif name in _MARKS:
            parts.append("" if _attribute(element, "type") in ("page", "column") else _MARKS[name])
        elif name not in _GONE:
            waiting.append(iter(element))
    return "".join(parts)


def _with_notes(section: Section, notes: list[str]) -> Section:
    section.lines += [(note, "\n\n") for note in notes if note]
    return section


def _is_item(paragraph: Any) -> bool:
    return any(_name(inner) == "numPr" for child in paragraph if _name(child) == "pPr" for inner in child)


def _value(element: Any, *path: str) -> str | None:
    """The `val` of the element that a path of local names leads to."""
    for name in path:
        element = next((child for child in element if _name(child) == name), None)
        if element is None:
            return None
    return _attribute(element, "val")


def _attribute(element: Any, name: str) -> str | None:
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)


def _name(element: Any) -> str:
    """The local name; empty for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if type(tag) is str else ""
