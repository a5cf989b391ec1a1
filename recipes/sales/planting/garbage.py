"""Answers that are noise, and answers whose odd signs are meant."""

import base64
import random

from planting.rows import Entry, Field, ask, find_slots, is_chinese, read_slot, write_slot

_SYMBOLS = "@#￥%……&*^~$|\\<>{}[]+=_§¤†‡№"
_MARKS = "。，！？；：、…—·"
_FILLERS = "锟斤拷烫屯葺锘铪"
_NAMES = ("_0x", "t", "e", "n", "fn", "cb", "$", "q")
_PROSE = (
    "我们会在两个工作日之内把修改后的方案发给您请注意查收并确认其中的时间安排和双方分工",
    "仓库的货位编码需要在上线之前全部贴好否则手持终端无法识别也就谈不上准确的库存",
    "关于合同中的验收标准建议由双方的项目负责人逐条核对以后再签字以免日后产生分歧",
    "系统每天凌晨自动备份数据并保存三十天如果发现误删请尽快联系服务人员协助恢复",
)
_SNIPPETS = (
    '返回的数据格式如下：\n{{"customer": "示例客户", "seats": {a}, "modules": ["crm", "wms"], "trial": true}}',
    '可以用这段代码测试接口：\n```python\nimport json\nrow = {{"seats": {a}}}\nprint(json.dumps(row))\n```',
    "编码后的样例是 aGVuZ3pob3Ut{a}==，解码后应当与原文一致，仅供联调时对照。",
    "本周的安排：\n✅ 需求确认\n🔧 环境准备（{a}台）\n📦 数据导入\n🎓 用户培训",
    "计算方法是：年费 = 单价 × 账号数 × (1 - 折扣)，即 {b} × {a} × (1 - 0.05)。",
    "说明文档放在 https://docs.example.com/guide/{a}/start?lang=zh&v={b} ，打开即可阅读。",
    "| 阶段 | 天数 | 负责人 |\n| --- | --- | --- |\n| 调研 | {a} | 顾问 |\n| 配置 | 5 | 双方 |\n| 试运行 | 10 | 客户 |",
    "配置文件写成 `timeout={a}` 和 `retry=3`，其余保持默认，不要改动 `[server]` 一节。",
)


def _make_noise(rng: random.Random, kind: str) -> str:
    """A text of one kind of garbage, 400 characters or so."""
    length = rng.randint(400, 700)
    if kind == "symbols":
        return "".join(rng.choices(_SYMBOLS, k=length))
    if kind == "base64":
        return base64.b64encode(rng.randbytes(length)).decode()
    if kind == "hex":
        return rng.randbytes(length // 2 + 1).hex()
    if kind == "punctuation":
        return "".join(rng.choices(_MARKS, k=length // 3))
    if kind == "script":
        return _make_script(rng, length)
    prose, found = "".join(rng.sample(_PROSE, 3)), []
    for char in prose:
        lost = "\ufffd" * rng.randint(1, 2) if kind == "replacement" else "".join(rng.sample(_FILLERS, 3))
        found.append(char if rng.random() < 0.35 else lost)
    return "".join(found)


def _make_script(rng: random.Random, length: int) -> str:
    """Minified script left over from a web page."""
    parts: list[str] = []
    while sum(map(len, parts)) < length:
        a, b, c = (rng.choice(_NAMES) + rng.randbytes(1).hex() for _ in range(3))
        parts.append(
            rng.choice(
                (
                    f"!function({a},{b}){{for(var {c}={rng.randint(0, 99)};{c}<{a}.length;{c}++){b}[{a}[{c}]]^={rng.randint(0, 255)}}}({a},{b});",
                    f"var {a}={b}||{{}},{c}=[0x{rng.randbytes(2).hex()},0x{rng.randbytes(2).hex()}];",
                    f"{a}.prototype.{b}=function({c}){{return this.{a}&&{c}?{b}[{rng.randint(0, 9)}]:void 0}};",
                    f'window.{a}=window.{a}||[];{a}.push(["{b}",{rng.randint(100, 999)}]);',
                )
            )
        )
    return "".join(parts)


def plant_garbage(field: Field, rng: random.Random) -> None:
    """25 noise answers, one of them a section of the manual and three in the CRM export."""
    kinds = ("symbols", "base64", "hex", "replacement", "fillers", "punctuation", "script")
    for number in range(21):
        kind = kinds[number % len(kinds)]
        sheet = (field.sharegpt, field.alpaca, field.tools, field.sharegpt)[number % 4]
        entry = Entry(ask(sheet.form, field.borrow_question(rng), _make_noise(rng, kind)))
        sheet.insert(rng, entry.mark(kind, "garbage", "drop"))
    for kind in ("symbols", "base64", "fillers"):
        value = ask("crm", field.borrow_question(rng), _make_noise(rng, kind))
        field.crm.insert(rng, Entry(value).mark(kind, "garbage", "drop"))
    section = f"## 附录\n\n{_make_noise(rng, 'base64')}\n"
    field.manual.insert(rng, Entry({"text": section}).mark("base64", "garbage", "drop"))


def plant_garbage_look_alikes(field: Field, rng: random.Random) -> None:
    """24 answers with JSON, code, a short base64 text, emoji, formulas, addresses, tables."""
    for number in range(24):
        sheet = (field.sharegpt, field.alpaca, field.preference)[number % 3]
        entry = field.take(rng, sheet, is_chinese)
        slot = next(s for r, s in reversed(find_slots(sheet.form, entry.value)) if r == "assistant")
        snippet = _SNIPPETS[number % len(_SNIPPETS)].format(a=rng.randint(12, 99), b=rng.randrange(200, 900))
        write_slot(entry.value, slot, read_slot(entry.value, slot) + "\n\n" + snippet)
        entry.mark("meant_signs", "garbage", "stay")
