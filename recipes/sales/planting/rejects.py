"""Rows that cannot be read, and odd rows that can."""

import json
import random

from planting.rows import Entry, Field, Row, Sheet, find_slots, is_chinese, read_slot, write_slot

_INVALID = b"\xff\xfe\xc3\x28"
_ODD_NAMES = ("工单编号", "来源渠道", "reviewer", "ticket", "source_system")
_SEPARATORS = ("\u2028", "\u0085", "\u2029")


def _break_line(rng: random.Random, kind: str, value: Row) -> bytes:
    """One line that cannot be read, made of a good row."""
    line = json.dumps(value, ensure_ascii=False)
    if kind == "no_brace":
        return line[:-1].encode()
    if kind == "no_quote":
        at = rng.choice([i for i, c in enumerate(line) if c == '"'][4:-4])
        return (line[:at] + line[at + 1 :] + '"').encode()
    if kind == "python_literal":
        return repr(value).encode()
    if kind == "truncated":
        return line[: rng.randint(len(line) // 3, len(line) * 2 // 3)].encode()
    if kind == "array":
        return json.dumps([line[:20], 1], ensure_ascii=False).encode()
    if kind == "unknown_columns":
        return json.dumps({"备注": "内部", "sheet": rng.randint(1, 9)}, ensure_ascii=False).encode()
    data = line.encode()
    at = rng.randrange(len(data) // 3, len(data) // 2)
    return data[:at] + _INVALID + data[at:]


def _blank(form: str, text: object) -> Row:
    """A row all of whose texts are `text`."""
    if form == "sharegpt":
        return {"conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": text}]}
    if form == "messages":
        return {"messages": [{"role": r, "content": text} for r in ("user", "assistant")]}
    return {"prompt": text, "chosen": text, "rejected": text}


def plant_rejects(field: Field, rng: random.Random) -> None:
    """25 rows in the three files of lines; one file ends in a truncated object."""
    sheets = (field.sharegpt, field.preference, field.tools)
    kinds = ("no_brace", "no_quote", "python_literal", "array", "unknown_columns")
    for number in range(15):
        _insert_broken(field, rng, sheets[number % 3], kinds[number % 5])
    for sheet in (field.sharegpt, field.sharegpt, field.preference):
        _insert_broken(field, rng, sheet, "invalid_utf8")
    for number, sheet in enumerate((*sheets, field.sharegpt, field.preference, field.tools)):
        wrong = number >= 3
        text: object = rng.randint(100, 99999) if wrong else rng.choice(("", "  ", " \n"))
        case = "number_for_text" if wrong else "blank"
        sheet.insert(rng, Entry(_blank(sheet.form, text)).mark(case, "rejected", "reject"))


def _insert_broken(field: Field, rng: random.Random, sheet: Sheet, kind: str) -> None:
    value = rng.choice(field.pristine[sheet.name])
    entry = Entry({}, raw=_break_line(rng, kind, value))
    if kind not in ("array", "unknown_columns") and _is_whole(entry.raw or b""):
        raise AssertionError(f"{sheet.name}: a line broken by {kind} can still be read")
    sheet.insert(rng, entry.mark(kind, "rejected", "reject"))


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line.decode())
    except ValueError:
        return False
    return True


def end_truncated(field: Field, rng: random.Random) -> None:
    """The last objects of two files are cut off; nothing may be inserted behind them."""
    for sheet in (field.sharegpt, field.tools):
        value = rng.choice(field.pristine[sheet.name])
        entry = Entry({}, raw=_break_line(rng, "truncated", value))
        sheet.entries.append(entry.mark("truncated", "rejected", "reject"))


def plant_reject_look_alikes(field: Field, rng: random.Random) -> None:
    """26 rows that are odd but whole."""
    sheets = (field.sharegpt, field.preference)
    for number in range(6):
        sheet = sheets[number % 2]
        entry = field.take(rng, sheet)
        _, slot = find_slots(sheet.form, entry.value)[0]
        text = read_slot(entry.value, slot)
        # behind a mark, so that taking the separator for white space does no harm to a word
        cut = max((i + 1 for i, char in enumerate(text[:-1]) if char in "，。,."), default=len(text))
        write_slot(entry.value, slot, text[:cut] + _SEPARATORS[number % 3] + text[cut:])
        entry.mark("line_separator", "rejected", "stay")
    for number in range(5):
        sheet = sheets[number % 2]
        entry = field.take(rng, sheet)
        entry.raw = json.dumps(entry.value).encode()
        entry.mark("unicode_escapes", "rejected", "stay")
    for number in range(5):
        sheet = sheets[number % 2]
        entry = field.take(rng, sheet, is_chinese)
        _, slot = find_slots(sheet.form, entry.value)[0]
        text = (
            read_slot(entry.value, slot)
            + f'合同里写的是"第{rng.randint(2, 40)}条"，路径是C:\\data\\n{rng.randint(1, 9)}。'
        )
        write_slot(entry.value, slot, text)
        entry.mark("escapes", "rejected", "stay")
    for number in range(5):
        entry = field.take(rng, sheets[number % 2])
        entry.value[rng.choice(_ODD_NAMES)] = rng.choice(("A组", "导入", 7, None, True))
        entry.mark("extra_column", "rejected", "stay")
    for _ in range(3):
        entry = field.take(rng, field.alpaca, lambda v: v["input"] == "")
        entry.mark("empty_input", "rejected", "stay")
    for _ in range(2):
        _make_long(field, rng)


def _make_long(field: Field, rng: random.Random) -> None:
    """A dialogue that goes on for thirty further exchanges."""
    entry = field.take(rng, field.sharegpt, lambda v: is_chinese(v) and "system" not in v)
    for donor in rng.sample(field.pristine[field.sharegpt.name], 30):
        entry.value["conversations"] += [dict(turn) for turn in donor["conversations"][:2]]
    entry.mark("long_row", "rejected", "stay")
