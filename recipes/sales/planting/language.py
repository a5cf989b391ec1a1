"""Rows in languages the recipe does not keep, and rows that only contain a few foreign words."""

import random
from pathlib import Path

from planting.rows import Entry, Field, ask, find_slots, is_chinese, read_slot, write_slot

_PIECES = Path(__file__).resolve().parent.parent / "pieces"
_BRANDS = (
    "我们现在用的是Windows Server和PostgreSQL，能接吗？", "海外同事习惯用Outlook，日历要能同步。",
    "面粉供应商是Le Petit Moulin，单据是法文的。", "设备是日本的キーエンス扫码枪，老型号。",
    "系统名叫OrderFlow Pro，接口文档是英文的。", "门店招牌叫さくら，财务主体是中文名。",
    "我们代理的品牌是Maison Duval，总部不在国内。", "开发用的是Spring Boot加Vue，前后端分离。",
    "合同里有一句Force Majeure条款，法务让我问问。", "客户要求出具Certificate of Origin，能在系统里管吗？",
    "老板在Notion里记需求，我再转述给你们。", "供应商叫ヤマダ精工，邮件都是中文。",
)  # fmt: skip
_CHINESE_WORDS = (
    "Our Chinese team calls it 台账, by the way.", "The menu says 审批, which we translate as approval.",
    "My colleague in Suzhou asked about 发票 again.", "They use the word 仓库 for every site.",
    "Someone wrote 加急 on the order.", "The header reads 客户 in the export.",
)  # fmt: skip


def _read(name: str) -> list[list[str]]:
    return [line.split("|") for line in (_PIECES / name).read_text("utf-8").splitlines() if line]


def plant_language(field: Field, rng: random.Random) -> None:
    """24 rows: four of five in each of French, German, Spanish, Russian, Japanese, Korean."""
    rows = _read("foreign.txt")
    number = 0
    for code in ("fr", "de", "es", "ru", "ja", "ko"):
        for _, question, answer in rng.sample([row for row in rows if row[0] == code], 4):
            sheet = (field.sharegpt, field.alpaca, field.tools)[number % 3]
            number += 1
            entry = Entry(ask(sheet.form, question, answer))
            sheet.insert(rng, entry.mark(f"in_{code}", "language", "drop"))


def plant_language_look_alikes(field: Field, rng: random.Random) -> None:
    """24 rows: foreign names in Chinese, Chinese words in English, traditional Chinese, short English."""
    for number, sentence in enumerate(rng.sample(_BRANDS, 10)):
        sheet = (field.sharegpt, field.alpaca)[number % 2]
        entry = field.take(rng, sheet, is_chinese)
        slot = next(s for r, s in find_slots(sheet.form, entry.value) if r == "user")
        write_slot(entry.value, slot, read_slot(entry.value, slot) + sentence)
        entry.mark("foreign_name", "language", "stay")
    for sentence in rng.sample(_CHINESE_WORDS, 4):
        entry = field.take(rng, field.sharegpt, lambda v: str(v).isascii() and len(str(v)) > 500)
        _, slot = find_slots("sharegpt", entry.value)[0]
        write_slot(entry.value, slot, read_slot(entry.value, slot) + " " + sentence)
        entry.mark("chinese_word", "language", "stay")
    for name, case in (("traditional.txt", "traditional"), ("brief_english.txt", "short_english")):
        for question, answer in rng.sample(_read(name), 5):
            sheet = rng.choice((field.sharegpt, field.alpaca))
            entry = Entry(ask(sheet.form, question, answer))
            sheet.insert(rng, entry.mark(case, "language", "stay"))
