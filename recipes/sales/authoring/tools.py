"""Dialogues with tool calls, in the OpenAI messages form: CRM look-up, quotation, calendar."""

import json
from typing import Any

from authoring.pieces import PRODUCTS, Deck, Desk, Pain

Message = dict[str, Any]
_STAGES = ("初步接触", "需求确认", "方案评审", "商务谈判", "等待签约")
_OWNERS = ("周顾问", "韩顾问", "陆顾问", "方顾问", "贺顾问", "丁顾问", "孟顾问")
_ROOMS = ("线上会议", "客户会议室", "杭州办公室三楼", "电话沟通", "展厅")
_LOOK_ASKS = (
    "帮我查一下{c}目前跟到哪一步了，我记得他们提过{l}。",
    "{c}的情况发我看看，下午要开会，重点是{l}。",
    "刚接手{c}，想知道之前是谁在跟、谈过{l}没有。",
    "{c}那边又来问{l}，系统里有历史记录吗？",
    "老板问起{c}，你查查客户档案，尤其{l}这块。",
)
_QUOTE_ASKS = (
    "给{c}算一份{p}的价格，{n}个账号，签{y}年，需求已经聊清楚了。",
    "{c}确认要{p}，账号{n}个，合同期{y}年，麻烦算总价。",
    "需求调研做完了，{c}用{p}，一共{n}人，先按{y}年测算。",
    "测算：{p}，{n}账号，{y}年，客户是{c}，他们主要想解决{l}。",
)
_BOOK_ASKS = (
    "和{c}约{d}{t}，聊{l}，地点{r}。",
    "帮我在日历上建个会，{d}{t}，{c}，主题是{l}，方式：{r}。",
    "{c}同意见面了，{d}{t}，{r}，主要讨论{l}。",
    "安排{d}{t}跟{c}沟通{l}，{r}，提前一天提醒我。",
)
_LOOK_TAILS = (
    "建议先问清楚{probe}，再谈{cure}。",
    "他们当时的原话是：{spoken}。这次可以带着办法去，比如{cure}。",
    "档案里没有写{probe}，见面时补上会更稳妥。",
    "如果对方继续问{label}，可以介绍的做法是{cure}。",
    "上次留下的疑问还没有答复，对方说“{spoken}”，这件事要先给个说法。",
)
_QUOTE_TAILS = (
    "报价有效期三十天，正式文件以系统审批为准。",
    "折扣是系统按年限自动带出的，再低需要区域经理审批。",
    "这个数字不含税和实施费，发给客户之前请核对范围。",
    "发出前再确认一次{probe}，免得后面返工。",
    "可以在方案里说明它怎样处理{label}：{cure}。",
)
_BOOK_TAILS = (
    "需要我把{product}的材料一起附上吗？",
    "会前可以准备一个问题：{probe}？",
    "提醒已经设好，议程里写了{label}和后续分工。",
    "对方提过“{spoken}”，建议先听他讲完再演示。",
    "材料方面，可以围绕{cure}来准备。",
)


def _schema(name: str, about: str, **fields: str) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in fields.items()}
    parameters = {"type": "object", "properties": properties, "required": sorted(fields)}
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": parameters},
    }


_LOOK = _schema("crm_lookup", "查询客户档案和最近跟进", customer="string")
_QUOTE = _schema(
    "calculate_quote",
    "按产品、账号数和年限计算报价",
    product="string",
    seats="integer",
    years="integer",
)
_BOOK = _schema(
    "book_meeting",
    "在日历中预约会议",
    customer="string",
    date="string",
    time="string",
    topic="string",
)


def read_contents(row: dict[str, Any]) -> str:
    """The joined contents of all turns but the system prompt."""
    return "\n".join(m["content"] for m in row["messages"] if m["role"] != "system" and m["content"])


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class Calls:
    """Composes one conversation with one or two tool calls."""

    def __init__(self, desk: Desk) -> None:
        """Keep the desk; call ids are numbered."""
        self._desk, self._rng, self._number = desk, desk.rng, 0
        decks = {"look": _LOOK_ASKS, "quote": _QUOTE_ASKS, "book": _BOOK_ASKS}
        self._asks = {key: Deck(desk.rng, asks) for key, asks in decks.items()}

    def _call(self, name: str, arguments: dict[str, Any], result: dict[str, Any]) -> list[Message]:
        self._number += 1
        key = f"call_{self._number:04d}"
        function = {"name": name, "arguments": _dump(arguments)}
        return [
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": key, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": key, "name": name, "content": _dump(result)},
        ]

    def _end(self, tails: tuple[str, ...], pain: Pain) -> str:
        """Two closing sentences that do not use the same piece of the problem."""
        while True:
            chosen = "".join(self._rng.sample(tails, 2))
            if all(chosen.count("{" + field + "}") < 2 for field in pain._fields):
                return chosen.format(**pain._asdict())

    def _look(self, company: str, pain: Pain) -> list[Message]:
        rng = self._rng
        ask = self._asks["look"].one().format(c=company, l=pain.label)
        owner, stage = rng.choice(_OWNERS), rng.choice(_STAGES)
        day = f"{rng.randrange(1, 12)}月{rng.randrange(1, 29)}日"
        result = {
            "customer": company,
            "stage": stage,
            "owner": owner,
            "last_contact": day,
            "note": pain.spoken,
        }
        said = rng.choice(
            (
                f"{company}处在{stage}阶段，由{owner}负责，最近一次联系是{day}。",
                f"查到了：{owner}在跟，{day}联系过，目前是{stage}。",
                f"档案显示，{day}{owner}记录了一次沟通，商机停留在{stage}。",
            )
        )
        said += self._end(_LOOK_TAILS, pain)
        return [
            {"role": "user", "content": ask},
            *self._call("crm_lookup", {"customer": company}, result),
            {"role": "assistant", "content": said},
        ]

    def _quote(self, company: str, pain: Pain) -> list[Message]:
        rng = self._rng
        product = pain.product if rng.random() < 0.7 else rng.choice(PRODUCTS)
        seats, years = rng.randrange(8, 260), rng.choice((1, 2, 3))
        unit = rng.randrange(28, 90) * 10
        percent = 100 - 5 * (years - 1)
        total = seats * unit * years * percent // 100
        ask = self._asks["quote"].one().format(c=company, p=product, n=seats, y=years, l=pain.label)
        said = rng.choice(
            (
                f"{seats}个账号、{years}年的总价是{total}元，单价{unit}元，折扣系数{percent}%。",
                f"测算结果：{total}元。每个账号每年{unit}元，{years}年期按{percent}%计。",
                f"{company}的{product}合计{total}元，账号单价{unit}元。",
            )
        )
        said += self._end(_QUOTE_TAILS, pain)
        result = {"unit_price": unit, "percent": percent, "total": total, "currency": "CNY"}
        arguments = {"product": product, "seats": seats, "years": years}
        return [
            {"role": "user", "content": ask},
            *self._call("calculate_quote", arguments, result),
            {"role": "assistant", "content": said},
        ]

    def _book(self, company: str, pain: Pain) -> list[Message]:
        rng = self._rng
        day = f"{rng.choice(('下周', '本周'))}{rng.choice('一二三四五')}"
        time = rng.choice(("上午九点半", "上午十点", "下午两点", "下午三点半", "下午四点"))
        room = rng.choice(_ROOMS)
        ask = self._asks["book"].one().format(c=company, d=day, t=time, l=pain.label, r=room)
        said = rng.choice(
            (
                f"已约好，{day}{time}，{room}。",
                f"日历上建好了：{company}，{day}{time}。",
                f"{day}{time}没有冲突，预约成功，方式是{room}。",
            )
        )
        said += self._end(_BOOK_TAILS, pain)
        arguments = {"customer": company, "date": day, "time": time, "topic": pain.label}
        result = {"status": "confirmed", "conflicts": 0, "place": room}
        return [
            {"role": "user", "content": ask},
            *self._call("book_meeting", arguments, result),
            {"role": "assistant", "content": said},
        ]

    def compose(self) -> dict[str, Any]:
        """A row of one or two calls about one customer."""
        company = self._desk.companies.one()
        first, second = self._desk.pains.draw(2)
        parts = self._rng.choice(
            (
                (self._look,),
                (self._quote,),
                (self._book,),
                (self._look, self._book),
                (self._look, self._quote),
                (self._quote, self._book),
            )
        )
        messages: list[Message] = []
        if self._rng.random() < 0.5:
            messages.append(
                {
                    "role": "system",
                    "content": "你是销售团队的助手，可以查询客户、计算报价和预约会议。",
                }
            )
        for part, pain in zip(parts, (first, second), strict=False):
            messages += part(company, pain)
        return {"messages": messages, "tools": [_LOOK, _QUOTE, _BOOK]}


def write_tool_rows(desk: Desk) -> list[dict[str, Any]]:
    """60 rows."""
    calls = Calls(desk)
    return [desk.write(calls.compose, read_contents) for _ in range(60)]
