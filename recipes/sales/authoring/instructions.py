"""Alpaca rows: the everyday writing and analysis tasks of a sales team."""

import json
from collections.abc import Callable
from typing import Any

from authoring.pieces import Deck, Desk, Opening, Pain, fill, read_fields, read_lines

Row = dict[str, Any]
_BUDGETS = ("八万以内", "十五万左右", "二十万上下", "还没有定", "三十万封顶", "要看方案再批")
_TIMES = ("国庆前", "三个月内", "明年一季度", "越快越好", "春节之后", "年底之前")
_SIZES = ("四十多人", "一百二十人", "二百八十人左右", "五百人出头", "七十人", "将近一千人")
_PLANS = (
    "{label}：{probe}？听完再谈{cure}。",
    "请对方讲讲{label}的近况，重点弄清{probe}。",
    "{probe}？如果答案不乐观，可以提到{product}。",
    "上次听到{spoken}，这次核实一下现在怎样了。",
    "针对{label}，带上{product}的页面，需要时演示{cure}。",
)
_TONES = (
    "语气平实",
    "不超过两百字",
    "不要夸大效果",
    "结尾给出下一步",
    "先复述对方的顾虑",
    "避免术语",
)


def read_contents(row: Row) -> str:
    """Everything that is said in a row, the system prompt left out."""
    turns = [part for pair in row.get("history", []) for part in pair]
    return "\n".join([*turns, row["instruction"], row["input"], row["output"]])


class Tasks:
    """One method a task; each returns an Alpaca row made of the desk's pieces."""

    def __init__(self, desk: Desk) -> None:
        """Read the pieces that only these tasks use."""
        self._desk = desk
        self._rng = desk.rng
        self._pushy = Deck(desk.rng, read_fields("pushy.txt"))
        self._translations = Deck(desk.rng, read_fields("translations.txt"))
        self._systems = Deck(desk.rng, read_lines("systems.txt"))

    def _situation(self, count: int) -> tuple[Opening, list[Pain], str, str, str]:
        rng, opening = self._rng, self._desk.openings.one()
        return (
            opening,
            self._desk.pains.draw(count, lambda pain: pain.product in opening.products),
            rng.choice(_SIZES),
            rng.choice(_BUDGETS),
            rng.choice(_TIMES),
        )

    def extract(self) -> Row:
        """A customer's message turned into JSON."""
        opening, pains, size, budget, time = self._situation(3)
        told = [p.spoken for p in pains]
        message = self._rng.choice(
            (
                f"{opening.who}，规模{size}。{told[0]}，{told[1]}，最近{told[2]}。预算{budget}，希望{time}能用上。",
                f"先说预算，{budget}。我们{size}，属于{opening.industry}。现在{told[0]}；另外{told[1]}。老板还提到{told[2]}。时间上{time}。",
                f"{told[0]}，这是第一件头疼的事。第二件，{told[1]}。第三件是{told[2]}。我们是{opening.industry}，{size}，{time}要有结果，钱的方面{budget}。",
            )
        )
        output = {
            "行业": opening.industry,
            "规模": size,
            "问题": [p.label for p in pains],
            "预算": budget,
            "期限": time,
            "相关模块": sorted({p.product for p in pains}),
        }
        ask = self._rng.choice(
            (
                "从客户留言中提取行业、规模、问题、预算和期限，输出JSON。",
                "把下面这段留言整理成结构化数据，字段用中文，结果为JSON。",
                "请阅读客户来信，列出关键信息，只输出JSON，不要解释。",
            )
        )
        return {
            "instruction": ask,
            "input": message,
            "output": json.dumps(output, ensure_ascii=False),
        }

    def summarise(self) -> Row:
        """Call notes turned into a short summary."""
        opening, pains, size, budget, time = self._situation(3)
        notes = "\n".join(
            f"{who}：{said}" for p in pains for who, said in (("客户", p.spoken), ("顾问", p.probe + "？"))
        )
        output = (
            f"客户来自{opening.industry}行业，{size}。谈话围绕{pains[0].label}、{pains[1].label}和{pains[2].label}展开，"
            f"其中{pains[0].label}表述得最具体。可以考虑的方向是{pains[0].cure}。"
            f"预算{budget}，期望时间为{time}，{pains[2].probe}这一点对方没有回答，下次需要补问。"
        )
        ask = self._rng.choice(("用一段话总结这次通话，并指出还需要确认的信息。", "请把通话记录概括成给主管看的小结。"))
        return {
            "instruction": ask,
            "input": f"背景：{opening.who}\n{notes}\n预算：{budget}；时间：{time}",
            "output": output,
        }

    def write_mail(self) -> Row:
        """A follow-up mail after a visit."""
        opening, pains, _, _, time = self._situation(2)
        output = (
            f"您好：\n\n感谢您昨天抽时间交流。您提到{pains[0].spoken}，也谈到{pains[1].spoken}。"
            f"回来以后我和产品同事讨论了一下，第一个问题可以这样处理：{pains[0].cure}。"
            f"第二个问题建议分步来，先做到{pains[1].cure}。\n\n"
            f"为了把方案写得更准，想再确认两点：{pains[0].probe}？{pains[1].probe}？"
            f"收到您的回复以后，我会按照{time}的目标排出计划。\n\n祝工作顺利。\n衡舟顾问"
        )
        ask = f"拜访{opening.industry}客户以后，写一封跟进邮件，{self._rng.choice(_TONES)}。"
        return {
            "instruction": ask,
            "input": f"要点：{pains[0].label}；{pains[1].label}；目标{time}上线。",
            "output": output,
        }

    def plan_visit(self) -> Row:
        """An agenda of questions for the next visit."""
        opening, pains, size, _, _ = self._situation(4)
        shapes = self._rng.sample(_PLANS, len(pains))
        lines = [
            f"{i}. {shape.format(**p._asdict())}" for i, (shape, p) in enumerate(zip(shapes, pains, strict=True), 1)
        ]
        output = "\n".join(
            [
                "拜访提纲",
                *lines,
                f"收尾时和对方约定下一次沟通的时间，并确认{pains[0].label}由谁负责。",
            ]
        )
        ask = f"下周要拜访一家{opening.industry}企业，{size}，已知{opening.situation}。请列一份提问提纲。"
        return {"instruction": ask, "input": "", "output": output}

    def classify(self) -> Row:
        """The module a message belongs to, with the reason."""
        opening, pains, _, _, _ = self._situation(2)
        output = (
            f"主要意向：{pains[0].product}\n次要意向：{pains[1].product}\n"
            f"理由：客户先说的是{pains[0].label}，对应的做法是{pains[0].cure}；"
            f"后面补充的{pains[1].label}属于{pains[1].product}的范围。建议先问：{pains[0].probe}？"
        )
        ask = self._rng.choice(
            (
                "判断客户意向属于哪个模块，并说明理由。",
                "给这条咨询打上产品标签，写出依据和建议的追问。",
            )
        )
        return {
            "instruction": ask,
            "input": f"{opening.who}，{pains[0].spoken}。{pains[1].spoken}，这个你们管吗？",
            "output": output,
        }

    def answer(self) -> Row:
        """An answer with a system prompt and earlier turns."""
        opening = self._desk.openings.one()
        first = self._desk.products.draw(1, lambda a: a.topic in opening.products)[0]
        second = self._desk.general.one()
        product = first.topic
        return {
            "system": self._systems.one(),
            "history": [[f"{opening.who}。{first.question}", first.answer]],
            "instruction": fill(second.question, product, opening.industry),
            "input": "",
            "output": fill(second.answer, product, opening.industry),
        }

    def rewrite(self) -> Row:
        """Pushy sentences put in a better way."""
        first, second = self._pushy.draw(2)
        output = f"1. {first[2]}\n2. {second[2]}\n\n原句的问题分别是{first[0]}和{second[0]}，改写后把决定权还给客户。"
        if first[0] == second[0]:
            output = f"1. {first[2]}\n2. {second[2]}\n\n两句原话都属于{first[0]}，改写后保留了信息，去掉了压力。"
        ask = self._rng.choice(
            (
                "把下面两句话改得专业、克制。",
                "这是质检挑出来的话术，请改写成顾问式的表达。",
                "指出问题并改写以下销售话术。",
            )
        )
        return {"instruction": ask, "input": f"1. {first[1]}\n2. {second[1]}", "output": output}

    def translate(self) -> Row:
        """Sentences of a business letter, into English."""
        chosen = self._translations.draw(2)
        ask = self._rng.choice(
            (
                "翻译成英文，用于商务邮件。",
                "Translate into English for a customer email.",
                "把这两句话译成自然的英文。",
            )
        )
        return {
            "instruction": ask,
            "input": "".join(c[0] for c in chosen),
            "output": " ".join(c[1] for c in chosen),
        }

    def compare(self) -> Row:
        """A table that sets two ways of working side by side."""
        opening, pains, _, _, time = self._situation(3)
        rows = [f"| {p.label} | {p.spoken} | {p.cure} |" for p in pains]
        output = "\n".join(
            [
                "| 环节 | 现状 | 改进后 |",
                "| --- | --- | --- |",
                *rows,
                "",
                f"以上改进以{time}完成第一项为目标，其余视试点情况安排。",
            ]
        )
        ask = f"为{opening.industry}客户做一张现状与改进对照表，涉及{'、'.join(p.label for p in pains)}。"
        return {"instruction": ask, "input": "", "output": output}

    def calculate(self) -> Row:
        """A quotation worked out step by step."""
        rng = self._rng
        first, second = self._desk.pains.draw(2)
        company, seats = self._desk.companies.one(), rng.randrange(12, 180)
        price, days, rate = (
            rng.randrange(30, 95) * 10,
            rng.randrange(5, 26),
            rng.randrange(16, 28) * 100,
        )
        total, service = seats * price, days * rate
        steps = rng.choice(
            (
                f"软件年费为{seats}×{price}={total}元，实施服务为{days}×{rate}={service}元，首年合计{total + service}元。第二年起只需支付年费，即{total}元。",
                f"先算账号：{seats}个账号，每个{price}元，共{total}元。再算服务：{days}人天，每天{rate}元，共{service}元。两项相加是{total + service}元，不含税。",
                f"合计{total + service}元，由两部分组成。年费{total}元（{price}元乘以{seats}）；实施{service}元（{rate}元乘以{days}天），实施费只收一次。",
            )
        )
        ask = f"{company}需要{first.product}，解决{first.label}，{seats}个账号，单价{price}元每年，实施{days}人天，每天{rate}元。请计算首年费用。"
        tail = f"如果还要处理{second.label}，需要增加{second.product}，建议先确认{second.probe}，再补充报价。"
        return {"instruction": ask, "input": "", "output": steps + tail}


def write_instructions(desk: Desk) -> list[Row]:
    """120 rows, twelve a task; shuffled."""
    tasks = Tasks(desk)
    composers: list[Callable[[], Row]] = [
        tasks.extract, tasks.summarise, tasks.write_mail, tasks.plan_visit, tasks.classify,
        tasks.answer, tasks.rewrite, tasks.translate, tasks.compare, tasks.calculate,
    ]  # fmt: skip
    rows = [desk.write(compose, read_contents) for compose in composers for _ in range(12)]
    desk.rng.shuffle(rows)
    return rows
