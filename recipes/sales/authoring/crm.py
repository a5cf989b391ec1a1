"""The CRM export: one customer question and the reply a row."""

import datetime

from authoring.pieces import Desk

COLUMNS = ("客户问题", "销售回复", "跟进日期", "行业", "已审核")
_ASKS = (
    "{o}，{a}。还有，{b}，你们有办法吗？",
    "{a}，\n{b}，\n这两件事哪个先做比较好？",
    '我们{i}的同行都说"先管好{la}"，可是{b}也拖不起了，怎么看？',
    '{o}。老板原话是"{a}"，另外{b}。',
    "想问两个问题：一是{a}，二是{b}，能不能一起解决？",
)
_REPLIES = (
    "{la}方面，通常的做法是{ca}。至于{lb}，可以这样：{cb}。想先请教您，{pa}？",
    "建议分两步：\n1. {ca}；\n2. {cb}。\n在此之前请教一下，{pb}？",
    "您提到的{lb}比较急，可以先做这一项：{cb}。等数据稳定以后再处理{la}，办法是{ca}。",
    "能一起考虑，但是不建议同时上线。第一个月只做一项：{ca}。跑顺了再做第二项：{cb}。{pa}？",
    "我把两种情况的处理思路写在下面，供您内部讨论：{ca}；{cb}。有一点想核实，{pb}？",
)


def read_contents(row: dict[str, str]) -> str:
    """Question and reply."""
    return row["客户问题"] + "\n" + row["销售回复"]


def write_crm(desk: Desk) -> list[dict[str, str]]:
    """60 rows, ordered by date as an export is."""
    rng = desk.rng

    def compose() -> dict[str, str]:
        opening = desk.openings.one()
        first, second = desk.pains.draw(2, lambda pain: pain.product in opening.products)
        slots = {
            "o": opening.who, "i": opening.industry, "a": first.spoken, "b": second.spoken,
            "la": first.label, "lb": second.label, "ca": first.cure, "cb": second.cure,
            "pa": first.probe, "pb": second.probe,
        }  # fmt: skip
        day = datetime.date(2025, 3, 3) + datetime.timedelta(days=rng.randrange(240))
        values = (
            rng.choice(_ASKS).format(**slots),
            rng.choice(_REPLIES).format(**slots),
            day.isoformat(),
            opening.industry,
            rng.choice("是是否"),
        )
        return dict(zip(COLUMNS, values, strict=True))

    rows = [desk.write(compose, read_contents) for _ in range(60)]
    return sorted(rows, key=lambda row: row["跟进日期"])
