"""What a detector of personal data is, and what the words around a number say of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from datakit.recipe.pii import Kind

# Blanks and dashes that people and models put between groups of digits.
DASH = r"\-\u2010-\u2015\u2212"
SEPARATOR = rf"[ .\u00a0{DASH}]"
NO_DIGIT_BEFORE = r"(?<![0-9])(?<![0-9][.,])"
NO_DIGIT_AFTER = r"(?![0-9])(?![.,][0-9])"
NO_WORD_BEFORE = r"(?<![0-9A-Za-z_])(?<![0-9]\.)"

# What stands in a text for what is already found: in no pattern's alphabet, so nothing is found across it. Runs of it
# count as one character, so that a context reaches as far before masking as after.
HIDDEN = "\ufffc"
_HIDDEN_RUN = re.compile(f"{HIDDEN}+")

_DIGITS = re.compile(r"[0-9]+")
_WORD_BEFORE = re.compile(r"[A-Za-z_]+\Z")
_PHONE_WORDS = frozenset(
    [
        *("tel", "phone", "telephone", "mobile", "mob", "cell", "call", "ph", "m", "t", "no", "number", "contact"),
        *("fax", "whatsapp", "wx", "vx", "wechat", "hotline", "dial", "text"),
    ]
)
# What says that the digits after it count or name something else.
NOT_PERSONAL = re.compile(
    r"(?:订单|单号|编号|流水|发票|税票|快递|运单|物流|合同|工单|票号|批号|货号|型号|序列号|条码|版本号|交易号|凭证|order|invoice"
    r"|tracking|serial|sku|isbn|issn|barcode|timestamp|ticket|transaction|shipment|waybill|part[ _-]?no)"
    r"[\s_\-\"'”]*(?:号码|编码|号|id|no\.?|number|num|code|#)?[\s\"'”]*(?:is|was|为|是)?[\s:：=#＃\"'“”（(【\[]*\Z",
    re.IGNORECASE,
)
_CURRENCY_BEFORE = re.compile(r"[$¥￥€£₩]\s*\Z")
UNIT_AFTER = re.compile(
    r"\s*(?:元(?!旦|月|素)|块钱|人民币|美元|欧元|万|亿|%|％|个|件|股|吨|公里|人次|字节|bytes\b|dollars\b|yuan\b)"
)
# The number is a term of a sum or a difference.
_TERM_BEFORE = re.compile(r"(?:[0-9)]\s*[=+*/×÷\-]\s*[\-+]?|[=+*/×÷]\s*[\-+])\s*\Z")
_NUMBER_BEFORE = re.compile(r"(?<![0-9])1[3-9][0-9]{9}[\-/]\Z")
# A dash before another telephone is no minus.
_TERM_AFTER = re.compile(r"\s*(?:[=+*×÷]\s*[0-9]|-(?!1[3-9][0-9]{9}(?![0-9])|0[0-9]{2,3}-?[2-8][0-9]{6})[0-9])")


@dataclass(frozen=True)
class Detector:
    """One way in which one kind of personal data is written; see the module `detectors`."""

    kind: Kind
    token: str
    candidate: str
    pattern: re.Pattern[str]
    accept: Callable[[re.Match[str]], str | None]


def digits_of(text: str) -> str:
    """The ASCII digits of a text."""
    return "".join(_DIGITS.findall(text))


def before(match: re.Match[str], width: int = 40) -> str:
    """What stands before the value: at most `width` characters, a hidden finding counting as one."""
    start = match.start("v")
    return _HIDDEN_RUN.sub(HIDDEN, match.string[max(0, start - 10 * width) : start])[-width:]


def after(match: re.Match[str], width: int = 16) -> str:
    """What stands behind the value: at most `width` characters."""
    return match.string[match.end("v") : match.end("v") + width]


def is_counted(match: re.Match[str]) -> bool:
    """Whether the words around say that the number is an order, an amount or the like."""
    words = before(match)
    return bool(NOT_PERSONAL.search(words) or _CURRENCY_BEFORE.search(words) or UNIT_AFTER.match(after(match)))


def is_term(match: re.Match[str]) -> bool:
    """Whether the number stands in a calculation."""
    words = before(match)
    if _NUMBER_BEFORE.search(words):
        return False
    return bool(_TERM_BEFORE.search(words) or _TERM_AFTER.match(after(match)))


def follows_word(match: re.Match[str]) -> bool:
    """Whether letters touch the number from the left that do not announce a telephone ("SN138…", a hash)."""
    word = _WORD_BEFORE.search(before(match))
    return word is not None and word.group().lower().strip("_") not in _PHONE_WORDS


def detector(
    kind: Kind,
    token: str,
    candidate: str,
    pattern: str,
    accept: Callable[[re.Match[str]], str | None],
) -> Detector:
    """A detector; see `Detector` for the parts."""
    return Detector(kind, token, candidate, re.compile(pattern), accept)
