"""Exact and near duplicates, and rows that only look like them."""

import copy
import json
import random
import re
from collections.abc import Callable

from planting.rows import (
    Entry,
    Field,
    Row,
    Sheet,
    ask,
    copy_entry,
    find_slots,
    is_chinese,
    is_short,
    read_contents,
    read_slot,
    write_slot,
)  # fmt: skip
from planting.shingles import blank_numbers, jaccard, shingle, split_units

_EXACT, _NEAR = "exact_duplicate", "near_duplicate"
_LEAST_UNITS = 130
_LEAST_JACCARD = 0.85
_TRIES = 400
# Every replacement is shorter than what it replaces, so that the planted copy is never the keeper.
_LIGHTER = (
    ("可以", "能"), ("以后", "后"), ("如果", "若"), ("已经", "已"), ("但是", "但"), ("没有", "没"),
    ("需要", "要"), ("因为", "因"), ("的时候", "时"), ("或者", "或"), ("应当", "应"), ("时候", "时"),
    ("以前", "前"), ("还是", "仍"), ("通常", "常"), ("比较", "较"), ("自己的", "自己"), ("一样", "同"),
)  # fmt: skip
_LIGHTER_ENGLISH = (
    (" the ", " "),
    (" that ", " "),
    (" a ", " "),
    ("I will", "I'll"),
    ("do not", "don't"),
)
_OTHER_ANSWERS = (
    "这一点我想先和交付同事核实，避免给您一个不准确的说法，明天上午十点之前给您答复。",
    "谢谢提问，目前公开资料里没有写到，我查到书面依据以后再回复，请您稍等半天。",
    "这要分两种情况看：如果是新建的项目，按标准流程走；如果是老系统替换，需要先做一次数据评估。",
    "坦白说，我们在这方面不算领先，如果它是您的首要条件，可以多看两家再决定。",
    "我先请您看一段三分钟的操作录像，看完再讨论，比我口头描述更直观，录像链接随后附上。",
    "您的问题涉及合同条款，请允许我请商务同事一起参加，咱们约个十五分钟的电话会议。",
    "具体做法因企业而异，方便告诉我您现在的流程图吗？手画的也行，我据此给出建议。",
    "这项能力放在专业版里，基础版没有，如果只是偶尔用到，可以按次购买，不必升级。",
)
_OTHER_QUESTIONS = (
    "老板让我再确认一遍，这方面你们通常怎么处理？",
    "换个角度问一下，其他同事也关心这件事，能讲讲吗？",
    "前面的同事没有说清楚，麻烦重新介绍一下。",
    "会议上有人提出疑问，你来回答一下吧。",
    "我在整理评审材料，这一项应该怎么填写？",
    "昨天电话里信号不好，没听明白，请再讲一次。",
)
_COUNTED = (
    "按{a}个账号测算，第一年的费用是{b}00元。",
    "目前库存还有{a}套，单价{b}元。",
    "上次会议是{m}月{d}日，参会{a}人。",
    "建议升级到V{m}.{d}版本，预计停机{a}分钟。",
    "首批采购{b}件，分{m}次交货。",
    "第{m}期培训定在2026年{m}月{d}日，限{a}人。",
)


def _count(rng: random.Random, sentence: str) -> str:
    return sentence.format(
        a=rng.randrange(11, 99),
        b=rng.randrange(100, 999),
        m=rng.randrange(1, 12),
        d=rng.randrange(1, 28),
    )


def _is_long(form: str) -> Callable[[Row], bool]:
    return lambda value: len(split_units(read_contents(form, value))) >= _LEAST_UNITS


def _messages_of(value: Row) -> Row:
    """A ShareGPT dialogue written as messages."""
    roles = {"human": "user", "gpt": "assistant"}
    turns = [{"role": roles[t["from"]], "content": t["value"]} for t in value["conversations"]]
    system = [{"role": "system", "content": value["system"]}] if value.get("system") else []
    return {"messages": [*system, *turns]}


def _reorder(value: Row) -> Row:
    """The same object with the keys of every object in it the other way round."""
    text = json.dumps(value)
    turned: Row = json.loads(text, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    return turned


def _vary_bytes(rng: random.Random, entry: Entry, form: str) -> str:
    """Give a copy other bytes but the same content; returns the case's name."""
    way = rng.choice(("bytes", "key_order", "whitespace", "trailing"))
    if way == "key_order":
        entry.value = _reorder(entry.value)
    elif way == "whitespace":
        entry.raw = json.dumps(entry.value, ensure_ascii=False, separators=(" ,  ", " :  ")).encode()
    elif way == "trailing":
        _, slot = find_slots(form, entry.value)[-1]
        write_slot(entry.value, slot, read_slot(entry.value, slot) + rng.choice((" ", "  ", "\n", " \n")))
    return f"copy_{way}"


def plant_exact(field: Field, rng: random.Random) -> None:
    """30 copies: within a file and across files and forms."""
    plan = ((field.sharegpt, 9), (field.alpaca, 5), (field.preference, 4), (field.tools, 4))
    for sheet, count in plan:
        for _ in range(count):
            original = field.take(rng, sheet)
            entry = copy_entry(original)
            case = _vary_bytes(rng, entry, sheet.form)
            sheet.insert(rng, entry.mark(case, _EXACT, "drop"), original)
    for sheet in (field.crm, field.crm, field.manual):
        original = field.take(rng, sheet)
        sheet.insert(rng, copy_entry(original).mark("copy_bytes", _EXACT, "drop"), original)
    for _ in range(3):
        original = field.take(rng, field.sharegpt, lambda value: not is_short(value))
        entry = Entry(_messages_of(original.value), twin=original)
        field.tools.insert(rng, entry.mark("copy_as_messages", _EXACT, "drop"))
    original = field.take(
        rng,
        field.sharegpt,
        lambda v: len(v["conversations"]) == 2 and "system" not in v and not is_short(v),
    )
    question, answer = (turn["value"] for turn in original.value["conversations"])
    entry = Entry(ask("alpaca", question, answer), twin=original)
    field.alpaca.insert(rng, entry.mark("copy_as_alpaca", _EXACT, "drop"))
    original = field.take(rng, field.preference, lambda value: isinstance(value["prompt"], str))
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    value = {key: [{"role": role, "content": original.value[key]}] for key, role in roles.items()}
    entry = Entry(value, twin=original).mark("copy_as_turns", _EXACT, "drop")
    field.preference.insert(rng, entry, original)


def plant_exact_look_alikes(field: Field, rng: random.Random) -> None:
    """24 rows that share a question or an answer with a good row, not both."""
    for number in range(24):
        sheet = (field.sharegpt, field.alpaca, field.crm)[number % 3]
        other_answer = number % 2 == 0
        for _ in range(_TRIES):
            original = rng.choice([e for e in sheet.entries if e.case == "good"])
            slots = find_slots(sheet.form, original.value)
            entry = copy_entry(original)
            role = "assistant" if other_answer else "user"
            slot = next(s for r, s in (reversed(slots) if other_answer else slots) if r == role)
            write_slot(entry.value, slot, rng.choice(_OTHER_ANSWERS if other_answer else _OTHER_QUESTIONS))
            both = [shingle(read_contents(sheet.form, e.value)) for e in (original, entry)]
            kept = read_contents(sheet.form, entry.value).replace(read_slot(entry.value, slot), "")
            # what is shared must be long enough to keep two look-alikes apart from each other
            if not original.touched and len(split_units(kept)) > 45 and jaccard(*both) < 0.7:
                break
        else:
            raise RuntimeError(f"{sheet.name}: no row fits for an exact look-alike")
        original.touched = True
        case = "same_question" if other_answer else "same_answer"
        sheet.insert(rng, entry.mark(case, _EXACT, "stay"), original)


def _lighten(rng: random.Random, text: str, edits: int) -> str:
    """The text with up to `edits` words replaced by shorter ones."""
    pairs = _LIGHTER if is_chinese(text) else _LIGHTER_ENGLISH
    found = [(m.start(), old, new) for old, new in pairs for m in re.finditer(old, text)]
    chosen: list[tuple[int, str, str]] = []
    for at, old, new in sorted(rng.sample(found, min(edits, len(found)))):
        if not chosen or at >= chosen[-1][0] + len(chosen[-1][1]):
            chosen.append((at, old, new))
    for at, old, new in reversed(chosen):
        text = text[:at] + new + text[at + len(old) :]
    return text


def _edit_lightly(rng: random.Random, sheet: Sheet, original: Entry) -> Entry | None:
    """A shorter copy at Jaccard 0.85 or more but below 1, or None when the draw failed."""
    entry = copy_entry(original)
    slots = [s for r, s in find_slots(sheet.form, entry.value) if r in ("assistant", "user")]
    slot = rng.choice([s for s in slots if len(read_slot(entry.value, s)) > 30] or slots)
    before = read_slot(entry.value, slot)
    if before.startswith("{"):
        return None
    write_slot(entry.value, slot, _lighten(rng, before, rng.randint(1, 2)))
    texts = [read_contents(sheet.form, e.value) for e in (original, entry)]
    close = jaccard(*map(shingle, texts))
    variant = blank_numbers(texts[0]) == blank_numbers(texts[1])
    fits = _LEAST_JACCARD <= close < 1 and len(texts[1]) < len(texts[0]) and not variant
    return entry if fits else None


def plant_near(field: Field, rng: random.Random) -> None:
    """28 lightly edited copies, each shorter than and behind its original."""
    plan = (
        (field.sharegpt, 12), (field.alpaca, 4), (field.preference, 6), (field.tools, 2),
        (field.crm, 2), (field.manual, 2),
    )  # fmt: skip
    for sheet, count in plan:
        for number in range(count):
            original, entry = _draw_near(field, rng, sheet)
            entry.mark("light_edit", _NEAR, "drop")
            if sheet is field.sharegpt and number < 3:
                entry.value = _messages_of(entry.value)
                field.tools.insert(rng, entry.mark("light_edit_as_messages", _NEAR, "drop"))
            else:
                sheet.insert(rng, entry, original)


def _draw_near(field: Field, rng: random.Random, sheet: Sheet) -> tuple[Entry, Entry]:
    for _ in range(_TRIES):
        original = field.take(rng, sheet, _is_long(sheet.form))
        entry = _edit_lightly(rng, sheet, original)
        if entry:
            return original, entry
        original.touched = False
    raise RuntimeError(f"{sheet.name}: no row could be edited lightly enough")


def plant_near_look_alikes(field: Field, rng: random.Random) -> None:
    """14 variants of one template that differ in numbers alone, 12 rows at Jaccard 0.5 to 0.7."""
    for number in range(14):
        sheet = (field.sharegpt, field.alpaca, field.preference, field.tools)[number % 4]
        original = field.take(rng, sheet, _is_long(sheet.form))
        slot = next(s for r, s in find_slots(sheet.form, original.value) if r == "user")
        sentence, said = rng.choice(_COUNTED), read_slot(original.value, slot)
        variant = copy_entry(original)
        write_slot(original.value, slot, said + _count(rng, sentence))
        while read_slot(original.value, slot) == read_slot(variant.value, slot) or not variant.reason:
            write_slot(variant.value, slot, said + _count(rng, sentence))
            variant.mark("other_number", _NEAR, "stay")
        sheet.insert(rng, variant, original)
    for number in range(12):
        sheet = (field.sharegpt, field.preference)[number % 2]
        original, entry = _draw_halfway(field, rng, sheet)
        sheet.insert(rng, entry.mark("half_shared", _NEAR, "stay"), original)


def _split_sentences(sheet: Sheet, value: Row) -> list[str]:
    """The sentences of the answers in a row."""
    slots = [slot for role, slot in find_slots(sheet.form, value) if role == "assistant"]
    return [x for slot in slots for x in re.split(r"(?<=。)(?!$)", read_slot(value, slot))]


def _draw_halfway(field: Field, rng: random.Random, sheet: Sheet) -> tuple[Entry, Entry]:
    """A row and another that keeps most of it: sentences are swapped for those of other rows."""
    others = [e.value for s, e in field.originals if s is sheet and e.case == "good" and is_chinese(e.value)]
    for _ in range(_TRIES):
        original = field.take(rng, sheet, lambda v: _is_long(sheet.form)(v) and is_chinese(v) and "system" not in v)
        entry = Entry(copy.deepcopy(original.value), touched=True, twin=original)
        for role, slot in find_slots(sheet.form, entry.value):
            if role == "assistant":
                said = read_contents(sheet.form, entry.value)
                fresh = [x for x in _split_sentences(sheet, rng.choice(others)) if x not in said]
                kept = re.split(r"(?<=。)(?!$)", read_slot(entry.value, slot))
                kept[-1] = rng.choice(fresh or kept[-1:])
                write_slot(entry.value, slot, "".join(kept))
        close = jaccard(*(shingle(read_contents(sheet.form, e.value)) for e in (original, entry)))
        if 0.5 <= close <= 0.7:
            return original, entry
        original.touched = False
    raise RuntimeError(f"{sheet.name}: no row at Jaccard 0.5 to 0.7 was found")
