"""Personal data to be masked, and numbers that are nobody's phone, id or card."""

import json
import random
from collections.abc import Callable

from planting.identifiers import (
    check_card,
    digits,
    make_address,
    make_american,
    make_british,
    make_card,
    make_credit,
    make_key,
    make_landline,
    make_mail,
    make_mobile,
    make_plate,
    make_qq,
    make_resident,
    make_wechat,
)  # fmt: skip
from planting.rows import Field, find_slots, is_chinese, read_slot, write_slot

_Make = Callable[[random.Random], str]
# kind, how it is made, sentences that carry it (touching Chinese characters on purpose)
_SECRETS: tuple[tuple[str, _Make, tuple[str, ...]], ...] = (
    ("mobile", make_mobile, ("我的手机{}随时能打通。", "打{}找我就行。", "联系人电话{}谢谢。")),
    ("landline", make_landline, ("座机是{}转前台。", "办公室电话{}，上班时间都有人。")),
    ("resident_id", make_resident, ("法人身份证{}请核对。", "授权人证件号码{}，开户要用。")),
    ("bank_card", make_card, ("退款打到卡号{}即可。", "对私账户{}，户名稍后给。")),
    ("bank_card_16", lambda rng: make_card(rng, 16), ("信用卡{}已经绑定。", "押金从{}这张卡扣。")),
    ("credit_code", make_credit, ("开票税号{}不要写错。", "统一社会信用代码{}，合同里要用。")),
    ("plate", make_plate, ("我开{}过去，麻烦登记门岗。", "送货车牌{}已报备。")),
    ("wechat", make_wechat, ("加我微信：{}，发你图纸。", "我的微信号 {} 备注公司名。")),
    ("qq", make_qq, ("QQ：{}，资料发那里。", "我不用邮箱，QQ号{}长期在线。")),
    ("email", make_mail, ("报价发到{}吧。", "请抄送{}这个邮箱。")),
    ("ip", make_address, ("测试服务器是{}，防火墙已放行。", "内部系统地址{}打不开。")),
    ("key", make_key, ("接口密钥是 {} ，先测试用。", "我把令牌贴这里：{}")),
    ("phone_us", make_american, ("美国办公室电话 {} 也可以打。", "海外同事的号码：{}。")),
    ("phone_uk", make_british, ("伦敦那边是 {} ，注意时差。", "英国客户留的电话：{}。")),
)
_ENGLISH = "You can reach me on {} after lunch."
_ARGUMENTS = (
    ("phone", "mobile"),
    ("email", "email"),
    ("phone_abroad", "phone_us"),
    ("tax_id", "credit_code"),
)


def _order(rng: random.Random) -> str:
    """An order number of 15 digits that is no phone, card or id: it begins with 90."""
    while True:
        number = "90" + digits(rng, 13)
        if check_card(number[:-1]) != number[-1]:
            return number


def _long_run(rng: random.Random) -> str:
    """A mobile number's digits inside a longer run."""
    return "20" + make_mobile(rng) + digits(rng, 9)


_HARMLESS: tuple[tuple[str, Callable[[random.Random], str]], ...] = (
    ("price", lambda r: f"整套报价{r.randrange(120, 990)}00元，含税。"),
    ("amount", lambda r: f"去年采购额{r.randrange(1100, 1990)}0000元左右。"),
    ("order", lambda r: f"订单号{_order(r)}什么时候发货？"),
    ("date", lambda r: f"合同签于2024-0{r.randint(1, 9)}-{r.randint(10, 28)}，一年一签。"),
    ("compact_date", lambda r: f"发票日期写20240{r.randint(1, 9)}{r.randint(10, 28)}。"),
    ("percent", lambda r: f"去年退货率{r.randint(2, 9)}.{r.randint(10, 99)}%，想降一半。"),
    ("quantity", lambda r: f"年产量大约{r.randrange(131, 199)}00套。"),
    ("model", lambda r: f"设备型号A{digits(r, 5)}，用了六年。"),
    ("invoice", lambda r: f"发票号码0{digits(r, 7)}对应的是上个月那笔。"),
    ("bad_resident_id", lambda r: f"资产编码{make_resident(r, valid=False)}贴在机身上。"),
    ("bad_card", lambda r: f"物料条码{make_card(r, 16, valid=False)}扫不出来。"),
    ("service_number", lambda r: f"我打{r.choice(('10086', '12345', '95588', '10010'))}问过了，和他们无关。"),
    ("year", lambda r: f"公司{r.randint(1988, 2012)}年成立，{r.randint(2013, 2022)}年搬的新厂。"),
    ("long_run", lambda r: f"批次码{_long_run(r)}太长了，标签放不下。"),
)  # fmt: skip


def _append_to_user(
    rng: random.Random,
    field: Field,
    number: int,
    sentence: str,
    case: str,
    verdict: str,
    secret: str = "",
) -> None:
    """Add a sentence to what a customer says in an untouched good row."""
    sheet = (
        field.sharegpt,
        field.preference,
        field.alpaca,
        field.sharegpt,
        field.crm,
        field.tools,
    )[number % 6]
    english = sentence.isascii()
    entry = field.take(rng, sheet, lambda value: is_chinese(value) or english or sheet is field.tools)
    slots = [slot for role, slot in find_slots(sheet.form, entry.value) if role == "user"]
    slot = slots[0] if sheet is field.alpaca else slots[-1]
    write_slot(entry.value, slot, read_slot(entry.value, slot) + (" " if english else "") + sentence)
    entry.mark(case, "pii", verdict)
    entry.secrets = (secret,) if secret else ()


def plant_pii(field: Field, rng: random.Random) -> None:
    """32 rows that carry personal data: every kind twice, and four inside a call's arguments."""
    makers = {kind: make for kind, make, _ in _SECRETS}
    for number, (kind, make, sentences) in enumerate(_SECRETS * 2):
        secret = make(rng)
        sentence = rng.choice(sentences).format(secret)
        _append_to_user(rng, field, number, sentence, kind, "edit", secret)
    for key, kind in _ARGUMENTS:
        entry = field.take(rng, field.tools)
        secret = makers[kind](rng)
        call = next(m for m in entry.value["messages"] if m.get("tool_calls"))
        function = call["tool_calls"][0]["function"]
        arguments = json.loads(function["arguments"]) | {key: secret}
        function["arguments"] = json.dumps(arguments, ensure_ascii=False)
        entry.mark("in_arguments", "pii", "edit").secrets = (secret,)
    secret = make_american(rng)
    _append_to_user(rng, field, 0, _ENGLISH.format(secret), "english", "edit", secret)


def plant_pii_look_alikes(field: Field, rng: random.Random) -> None:
    """28 rows with harmless numbers, every kind twice."""
    for number, (case, make) in enumerate(_HARMLESS * 2):
        _append_to_user(rng, field, number, make(rng), case, "stay")
