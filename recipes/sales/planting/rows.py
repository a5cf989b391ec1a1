"""Rows of raw/ while they are being planted: entries, sheets, and where their texts sit."""

import copy
import csv
import gzip
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Slot = tuple[str | int, ...]
Row = dict[str, Any]
_ROLES = {"human": "user", "gpt": "assistant"}


@dataclass(frozen=True)
class Case:
    """One row of expected.csv; `secrets` and `restored` are for tests and are not written."""

    source: str
    line: int
    case: str
    reason: str
    verdict: str
    secrets: tuple[str, ...] = ()
    restored: str = ""


@dataclass(eq=False)
class Entry:
    """One row: its value, or the bytes that stand for it where they are not plain JSON of it."""

    value: Row
    raw: bytes | None = None
    case: str = "good"
    reason: str = ""
    verdict: str = "keep"
    touched: bool = False
    twin: "Entry | None" = None
    secrets: tuple[str, ...] = ()
    restored: str = ""

    def mark(self, case: str, reason: str, verdict: str) -> "Entry":
        """Label the entry; it is not drawn again."""
        self.case, self.reason, self.verdict, self.touched = case, reason, verdict, True
        return self


@dataclass(eq=False)
class Sheet:
    """One file of raw/."""

    name: str
    form: str
    entries: list[Entry] = field(default_factory=list)

    def insert(self, rng: random.Random, entry: Entry, after: Entry | None = None) -> None:
        """Put the entry at a random place, behind `after` where that stands in this sheet."""
        first = self.entries.index(after) + 1 if after in self.entries else 0
        # a Markdown file keeps its title first
        first = max(first, 1 if self.form == "section" else 0)
        self.entries.insert(rng.randint(first, len(self.entries)), entry)


def find_slots(form: str, value: Row) -> list[tuple[str, Slot]]:
    """(role, path) of every text that is said in a row, in order; system prompts left out."""
    if form == "sharegpt":
        turns = value["conversations"]
        return [(_ROLES[t["from"]], ("conversations", i, "value")) for i, t in enumerate(turns)]
    if form == "alpaca":
        history = range(len(value.get("history", [])))
        said: list[tuple[str, Slot]] = []
        for i in history:
            said += [("user", ("history", i, 0)), ("assistant", ("history", i, 1))]
        return [*said, ("user", ("instruction",)), ("user", ("input",)), ("assistant", ("output",))]
    if form == "messages":
        return _find_in_messages(value["messages"], "messages")
    if form == "preference":
        names = {"prompt": "user", "chosen": "assistant", "rejected": "rejected"}
        slots: list[tuple[str, Slot]] = []
        for key, role in names.items():
            if isinstance(value[key], str):
                slots.append((role, (key,)))
            else:
                inner = _find_in_messages(value[key], key)
                slots += inner if key == "prompt" else [(role, slot) for _, slot in inner]
        return slots
    if form == "crm":
        return [("user", ("客户问题",)), ("assistant", ("销售回复",))]
    return [("assistant", ("text",))]


def _find_in_messages(messages: list[dict[str, Any]], key: str) -> list[tuple[str, Slot]]:
    return [(m["role"], (key, i, "content")) for i, m in enumerate(messages) if m["role"] != "system" and m["content"]]


def read_slot(value: Row, slot: Slot) -> str:
    """The text at a path."""
    node: Any = value
    for key in slot:
        node = node[key]
    return str(node)


def write_slot(value: Row, slot: Slot, text: str) -> None:
    """Put a text at a path."""
    node: Any = value
    for key in slot[:-1]:
        node = node[key]
    node[slot[-1]] = text


def read_contents(form: str, value: Row) -> str:
    """What similarity is measured on: the texts of a row that are not empty, joined by line feeds."""
    texts = (read_slot(value, slot) for _, slot in find_slots(form, value))
    return "\n".join(text for text in texts if text)


class Field:
    """All sheets, and the drawing of good rows that nothing has touched yet."""

    def __init__(self, good: Path) -> None:
        """Read good/; sheets stand in the order in which sources sort."""
        self._borrowed: set[str] = set()
        self.sheets = [
            Sheet("crm.csv", "crm", [Entry(row) for row in _read_table(good / "crm.csv")]),
            Sheet("dialogues.sharegpt.jsonl", "sharegpt"),
            Sheet("instructions.alpaca.json", "alpaca"),
            Sheet("manual.md", "section"),
            Sheet("manual.txt", "whole"),
            Sheet("preference.jsonl", "preference"),
            Sheet("tools.messages.jsonl.gz", "messages"),
        ]
        self.crm, self.sharegpt, self.alpaca, self.manual, whole, self.preference, self.tools = self.sheets
        for sheet in (self.sharegpt, self.preference, self.tools):
            data = (good / sheet.name).read_bytes()
            text = (gzip.decompress(data) if sheet.name.endswith(".gz") else data).decode()
            sheet.entries = [Entry(json.loads(line)) for line in text.split("\n") if line]
        rows = json.loads((good / self.alpaca.name).read_text("utf-8"))
        self.alpaca.entries = [Entry(row) for row in rows]
        text = (good / self.manual.name).read_text("utf-8")
        sections = re.split(r"(?m)^(?=#)", text)
        self.manual.entries = [Entry({"text": s.strip() + "\n"}) for s in sections if s.strip()]
        whole.entries = [Entry({"text": (good / whole.name).read_text("utf-8")}, touched=True)]
        self.originals = [(s, e) for s in self.sheets for e in s.entries]
        # the good rows as they were read, for texts that must not carry what was planted
        self.pristine = {s.name: [copy.deepcopy(e.value) for e in s.entries] for s in self.sheets}

    def take(
        self,
        rng: random.Random,
        sheet: Sheet,
        where: Callable[[Row], bool] = lambda value: True,
    ) -> Entry:
        """A random untouched good row of a sheet, marked as touched.

        Raises: RuntimeError when no row is left.
        """
        free = [e for e in sheet.entries if not e.touched and where(e.value)]
        if not free:
            raise RuntimeError(f"{sheet.name}: no untouched good row is left; author more rows")
        entry = rng.choice(free)
        entry.touched = True
        return entry

    def borrow_question(self, rng: random.Random) -> str:
        """What some customer first said in a good dialogue, for a planted answer; each once."""
        said = [value["conversations"][0]["value"] for value in self.pristine[self.sharegpt.name]]
        free = [text for text in said if len(text) > 40 and text not in self._borrowed]
        question = str(rng.choice(free))
        self._borrowed.add(question)
        return question


def is_short(value: Row) -> bool:
    """Whether a dialogue is one of the short, good exchanges (such as 好的，稍后发您。)."""
    turns = value["conversations"]
    return len(turns) == 2 and len(turns[1]["value"]) < 60


def is_chinese(value: object) -> bool:
    """Whether most of a row or a text is Chinese."""
    text = json.dumps(value, ensure_ascii=False)
    return len(re.findall(r"[\u4e00-\u9fff]", text)) > len(text) * 0.3


def copy_entry(entry: Entry) -> Entry:
    """An independent copy of a row, not yet labelled."""
    return Entry(copy.deepcopy(entry.value), touched=True, twin=entry)


def ask(form: str, question: str, answer: str) -> Row:
    """A new row of a form that holds one question and one answer."""
    if form == "sharegpt":
        turns = (("human", question), ("gpt", answer))
        return {"conversations": [{"from": who, "value": text} for who, text in turns]}
    if form == "alpaca":
        return {"instruction": question, "input": "", "output": answer}
    if form == "messages":
        turns = (("user", question), ("assistant", answer))
        return {"messages": [{"role": who, "content": text} for who, text in turns]}
    if form == "crm":
        fields = {"客户问题": question, "销售回复": answer}
        return fields | {"跟进日期": "2025-06-18", "行业": "其他", "已审核": "否"}
    raise ValueError(f"form: found {form!r}, expected sharegpt, alpaca, messages or crm")


def _read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def render(sheet: Sheet) -> bytes:
    """The bytes of one file of raw/."""
    if sheet.form == "crm":
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, list(sheet.entries[0].value), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(e.value for e in sheet.entries)
        return table.getvalue().encode("gb18030")
    if sheet.form in ("section", "whole"):
        return "\n".join(e.value["text"] for e in sheet.entries).encode()
    parts = [_render_row(e) for e in sheet.entries]
    if sheet.form == "alpaca":
        return b"[\n" + b",\n".join(parts) + b"\n]\n"
    # a truncated last object has no line feed behind it
    end = b"" if sheet.entries[-1].case == "truncated" else b"\n"
    lines = b"\n".join(parts) + end
    return gzip.compress(lines, mtime=0) if sheet.name.endswith(".gz") else lines


def _render_row(entry: Entry) -> bytes:
    return entry.raw or json.dumps(entry.value, ensure_ascii=False).encode()


def number(sheets: list[Sheet]) -> Iterator[Case]:
    """The cases of all rows in the order of (source, line)."""
    for sheet in sorted(sheets, key=lambda s: s.name):
        for line, e in enumerate(sheet.entries, 1):
            yield Case(sheet.name, line, e.case, e.reason, e.verdict, e.secrets, e.restored)
