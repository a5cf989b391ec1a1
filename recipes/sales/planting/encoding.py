"""Mojibake that can be undone, and honest accents and symbols."""

import random

from planting.rows import Field, Row, Sheet, find_slots, is_chinese, read_slot, write_slot

_HONEST = (
    "样本里有位客户叫Müller，名字不要写错。", "他们在São Paulo有一个仓库。", "会面地点是Café Zürich，二楼。",
    "品牌写作Citroën®，注意那两个点。", "他说：“先别急——等数据出来再谈……”", "型号是Ｘ２０，请保留全角。",
    "版权行写© 2026 衡舟™即可。", "误差用σ表示，阈值是3σ，β版先不发。", "谢谢你们👍，体验很好😊！",
    "对接人是François，下周到。", "温度控制在25℃±2℃。", "公式里是Δt≤5，不是约等于。",
    "简历上写的是Renée，请核对。", "我们在Málaga和Köln都有经销商。", "评分是★★★★☆，差一颗星。",
)  # fmt: skip


def _break(text: str, page: str) -> str:
    """UTF-8 bytes read as Latin-1, or as Windows-1252 with its holes left as they are."""
    data = text.encode()
    if page == "latin-1":
        return data.decode("latin-1")
    found = []
    for byte in data:
        try:
            found.append(bytes([byte]).decode("cp1252"))
        except UnicodeDecodeError:
            found.append(chr(byte))
    return "".join(found)


def _sheets(field: Field) -> tuple[Sheet, ...]:
    return field.sharegpt, field.alpaca, field.preference, field.sharegpt


def plant_mojibake(field: Field, rng: random.Random) -> None:
    """24 rows with one text broken: 19 Chinese, 5 English."""
    for number in range(24):
        english = number >= 19
        sheet = field.sharegpt if english else _sheets(field)[number % 4]

        def fits(value: Row, sheet: Sheet = sheet, english: bool = english) -> bool:
            text = "".join(read_slot(value, s) for _, s in find_slots(sheet.form, value))
            return "'" in text if english else is_chinese(value)

        entry = field.take(rng, sheet, fits)
        slots = [slot for _, slot in find_slots(sheet.form, entry.value)]
        texts = {slot: read_slot(entry.value, slot) for slot in slots}
        if english:
            slot = next(s for s in slots if "'" in texts[s])
            good, page = texts[slot].replace("'", "\u2019"), "cp1252"
        else:
            slot = rng.choice([s for s in slots if len(texts[s]) >= 20])
            good, page = texts[slot], rng.choice(("latin-1", "cp1252"))
        write_slot(entry.value, slot, _break(good, page))
        entry.mark(page.replace("-", "") + ("_english" if english else ""), "mojibake", "edit")
        entry.restored = good


def plant_mojibake_look_alikes(field: Field, rng: random.Random) -> None:
    """24 rows with accents, curly quotes, full-width signs, symbols, emoji."""
    sentences = rng.sample(_HONEST, len(_HONEST)) + rng.sample(_HONEST, 24 - len(_HONEST))
    for number, sentence in enumerate(sentences):
        sheet = _sheets(field)[number % 4]
        entry = field.take(rng, sheet, is_chinese)
        slot = rng.choice(
            [s for r, s in find_slots(sheet.form, entry.value) if r == "user" and read_slot(entry.value, s)]
        )
        write_slot(entry.value, slot, read_slot(entry.value, slot) + sentence)
        entry.mark("honest_signs", "mojibake", "stay")
