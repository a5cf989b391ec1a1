"""The hand-written pieces, read from pieces/, and the drawing of pieces without near-repeats."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from planting.shingles import Neighbours

FOLDER = Path(__file__).resolve().parent.parent / "pieces"
# Good rows must stay clear of 0.6, so that an edit or a change of shingle does not reach 0.8.
_CLOSEST = 0.5
_TRIES = 4000
T = TypeVar("T")
R = TypeVar("R")


class Answered(NamedTuple):
    """A customer's question with a consultant's answer; `topic` is a product or a theme."""

    topic: str
    question: str
    answer: str


class Pain(NamedTuple):
    """One customer problem in the forms that different tasks need."""

    label: str
    spoken: str
    cure: str
    probe: str
    product: str


class Opening(NamedTuple):
    """Who is speaking, what troubles them, and the products that may fit."""

    industry: str
    who: str
    situation: str
    products: str


def read_lines(name: str) -> list[str]:
    """The non-empty lines of one file of pieces."""
    return [line for line in (FOLDER / name).read_text("utf-8").splitlines() if line.strip()]


def read_fields(name: str) -> list[list[str]]:
    """The lines of a file whose fields are separated by a vertical bar."""
    return [line.split("|") for line in read_lines(name)]


def read_answered(name: str) -> list[Answered]:
    """Question and answer blocks under `@ topic` headings."""
    topic, question, found = "", "", []
    for line in read_lines(name):
        mark, text = line[0], line[2:]
        if mark == "@":
            topic = text
        elif mark == "Q":
            question = text
        else:
            found.append(Answered(topic, question, text))
    return found


class Deck(Generic[T]):
    """Draws pieces so that every piece is used about equally often."""

    def __init__(self, rng: random.Random, pieces: Sequence[T]) -> None:
        """Hold the pieces; counts start at nought."""
        self._rng = rng
        self._pieces = list(pieces)
        self._used: Counter[int] = Counter()

    def draw(self, count: int = 1, where: Callable[[T], bool] | None = None) -> list[T]:
        """`count` different pieces that satisfy `where`, the least used first."""
        fit = [i for i, piece in enumerate(self._pieces) if where is None or where(piece)]
        self._rng.shuffle(fit)
        fit.sort(key=lambda i: self._used[i])
        chosen = fit[:count]
        self._used.update(chosen)
        self._rng.shuffle(chosen)
        return [self._pieces[i] for i in chosen]

    def one(self) -> T:
        """A single piece."""
        return self.draw()[0]


@dataclass
class Desk:
    """Everything an author needs: the pieces, the random source and the rows written so far."""

    rng: random.Random
    seen: Neighbours
    products: Deck[Answered]
    general: Deck[Answered]
    english: Deck[Answered]
    openings: Deck[Opening]
    pains: Deck[Pain]
    companies: Deck[str]

    def write(self, compose: Callable[[], R], text_of: Callable[[R], str]) -> R:
        """A row from `compose` that is not close to any row written before.

        Raises: RuntimeError when the pieces are exhausted.
        """
        for _ in range(_TRIES):
            row = compose()
            text = text_of(row)
            if not self.seen.find_above(text, _CLOSEST):
                self.seen.add(text)
                return row
        raise RuntimeError("no further row differs enough from those written; add pieces")


def open_desk(seed: int) -> Desk:
    """A desk with every piece read."""
    rng = random.Random(seed)
    products, general = read_answered("products.txt"), read_answered("generic.txt")
    return Desk(
        rng=rng,
        seen=Neighbours(),
        products=Deck(rng, products),
        general=Deck(rng, general),
        english=Deck(rng, read_answered("english.txt")),
        openings=Deck(rng, [Opening(*fields) for fields in read_fields("openings.txt")]),
        pains=Deck(rng, [Pain(*fields) for fields in read_fields("pains.txt")]),
        companies=Deck(rng, read_lines("companies.txt")),
    )


_STRENGTHS = {
    "衡舟CRM": "商机过程管理和回款跟踪",
    "衡舟费控": "差旅标准和预算的事前控制",
    "衡舟仓储": "批次效期和循环盘点",
    "衡舟客服": "多渠道记录合并和工单时限",
    "衡舟签约": "用印授权和补充协议管理",
    "衡舟报表": "指标口径治理和字段权限",
    "衡舟人事": "计件工资和多法人薪资核算",
    "衡舟排产": "插单影响分析和齐套检查",
    "衡舟采购": "比价透明和供应商对账",
    "衡舟知识库": "答案出处和分部门权限",
}
PRODUCTS = tuple(_STRENGTHS)


def fill(text: str, product: str, industry: str) -> str:
    """The text with its product, industry and strength slots filled."""
    return text.format(p=product, i=industry, c=_STRENGTHS[product])
