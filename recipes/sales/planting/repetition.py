"""Degenerate, looping answers, and answers that repeat for good reasons."""

import random

from planting.rows import Entry, Field, ask, find_slots, is_chinese, read_slot, write_slot
from planting.shingles import split_units

_SENTENCES = (
    "我们的系统功能强大，欢迎您随时联系我们。", "请您放心，我们会为您提供最好的服务。", "这个方案非常适合贵公司使用。",
    "感谢您的咨询，我们会尽快给您答复。", "数据安全是我们一直重视的事情。", "实施顾问会全程陪同您上线。",
    "价格方面可以和我们的商务同事沟通。", "我们已经服务了很多同行业的客户。", "您可以先申请试用再做决定。",
    "仓储模块支持批次管理和货位管理。", "报表可以在手机上随时查看。", "合同条款以双方盖章的版本为准。",
    "系统升级不会影响您的日常使用。", "采购协同能够帮助您降低成本。",
)  # fmt: skip
_ENGLISH = (
    "Our platform is easy to use and easy to learn.",
    "Please contact our sales team for details.",
    "We value your business and your time.",
    "The pilot takes four weeks to complete.",
    "Every report can be opened on a phone.",
    "Your data stays where you decide to keep it.",
)
_PHRASES = ("好的好的", "没问题", "非常非常好", "是的没错", "马上就来", "可以可以")
_LISTS = (
    "可以分三步走：\n1. 先把{a}类客户的资料补齐；\n2. 再用两周时间试运行审批；\n3. 最后由财务核对{a}笔样本，没有差异就正式切换。",
    "支持的内容如下：\n- 支持按区域分配客户\n- 支持离线签到\n- 支持{a}种自定义字段\n- 支持导出审计日志\n- 支持单点登录",
    "| 版本 | 账号数 | 年费 |\n| --- | --- | --- |\n| 基础版 | 5 | 0 |\n| 专业版 | {a} | {b}00 |\n| 集团版 | 不限 | 另议 |",
    "谢谢谢谢，太客气了。后面有{a}家门店要上线，还要麻烦您多费心。",
    "哈哈哈哈，您这个比喻很形象，{a}个人抢一把钥匙，确实是流程出了问题。",
    "感谢您的耐心等待。核实下来有{a}条记录需要修正，已经处理完毕。再次感谢您的耐心等待。",
    "请您依次确认：第一，合同主体；第二，开票信息；第三，{a}个账号的名单；第四，培训时间；第五，验收人。",
    "上午：仓库盘点{a}个货位。下午：财务对账。晚上：系统备份。次日上午：复核差异。",
)


def _loop(rng: random.Random, kind: str) -> str:
    """A degenerate answer."""
    if kind == "sentence":
        return rng.choice(_SENTENCES) * rng.randint(15, 28)
    if kind == "phrase":
        return "，".join([rng.choice(_PHRASES)] * rng.randint(36, 60)) + "。"
    if kind == "line":
        return "\n".join([rng.choice(_SENTENCES)] * rng.randint(20, 30))
    if kind == "tail":
        opening, looped = rng.sample(_SENTENCES, 2)
        return opening + looped * rng.randint(18, 26)
    raise ValueError(f"kind: found {kind!r}, expected sentence, phrase, line or tail")


def plant_repetition(field: Field, rng: random.Random) -> None:
    """25 looping answers to questions that customers asked."""
    kinds = ("sentence", "phrase", "line", "tail", "english")
    english = rng.sample(_ENGLISH, 5)
    for number in range(25):
        kind = kinds[number % 5]
        # each English sentence once: the question is too short to keep two such rows apart
        looped = [english.pop()] * rng.randint(16, 24) if kind == "english" else []
        answer = " ".join(looped) or _loop(rng, kind)
        if len(split_units(answer)) < 80:
            raise AssertionError(f"a looping answer has fewer than 80 units: {answer[:40]}")
        sheet = (field.sharegpt, field.alpaca, field.tools, field.sharegpt)[number % 4]
        question = field.borrow_question(rng)
        if kind == "english":
            question = f"Could you tell me more, in {rng.randint(3, 9)} points or so?"
        entry = Entry(ask(sheet.form, question, answer))
        sheet.insert(rng, entry.mark(f"loop_{kind}", "repetition", "drop"))


def plant_repetition_look_alikes(field: Field, rng: random.Random) -> None:
    """24 answers with lists, tables and polite formulas."""
    for number in range(24):
        sheet = (field.sharegpt, field.alpaca, field.preference)[number % 3]
        entry = field.take(rng, sheet, is_chinese)
        slot = next(s for r, s in reversed(find_slots(sheet.form, entry.value)) if r == "assistant")
        text = _LISTS[number % len(_LISTS)].format(a=rng.randint(12, 60), b=rng.randrange(100, 400))
        write_slot(entry.value, slot, read_slot(entry.value, slot) + "\n" + text)
        entry.mark("honest_repeat", "repetition", "stay")
