"""Texts cut into tokens as Elasticsearch's standard analyser does: the index and the queries are cut by the same rule.

Word boundaries follow Unicode's UAX 29 as Lucene's StandardTokenizer reads it (lucene/core, StandardTokenizerImpl): an
ideograph or a Hiragana sign is a token of its own, Katakana, Hangul and all other letters stay together, signs such
as the apostrophe between letters and the decimal point between digits do not part a word. Then lower case; accents
stay, as in Elasticsearch ("café" is not "cafe").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 255  # characters; Lucene cuts a longer token into pieces of this length

GAP = "\ue000"  # between two messages: a phrase never reaches over it
ALWAYS = "\ue001"  # the token that every document holds: "all but ..." needs an "all"

# ASCII signs that may stand inside a token, for FTS5's tokenizer, which is to part at spaces only.
INNER_SIGNS = "_.,:;'"

_IDEOGRAPH = "\u2e80-\u2fd5\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_HIRAGANA = "\u3041-\u3096\u309d-\u309f"
_KATAKANA = "\u3031-\u3035\u309b\u309c\u30a0-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d"
_THAI = "\u0e00-\u0e3a\u0e40-\u0e4e\u0e80-\u0edf\u1000-\u103f\u1050-\u108f\u1780-\u17d3"  # and Lao, Burmese, Khmer
_EMOJI = "\u2600-\u27bf\U0001f300-\U0001faff"
_FLAG = "[\U0001f1e6-\U0001f1ff]"
_BETWEEN_LETTERS = "'.:·‧‘’․：﹕﹒＇．"
_BETWEEN_DIGITS = "',.;‘’․，；﹐﹔﹒＇．"


def _class(*categories: str) -> str:
    """The signs of the basic plane of some Unicode categories, as a character class without brackets."""
    ranges: list[list[int]] = []
    for point in range(0x80, 0x10000):
        if unicodedata.category(chr(point)) in categories:
            if ranges and ranges[-1][1] == point - 1:
                ranges[-1][1] = point
            else:
                ranges.append([point, point])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


_MARK = _class("Mn", "Mc", "Me") + "\u00ad\u200c-\u200f"  # what attaches to the letter before it
_APART = _IDEOGRAPH + _HIRAGANA + _KATAKANA + _THAI + _class("No") + "\u3006"
_PIECE = rf"_*[^\W_{_APART}](?:[^\W{_APART}]|[{_MARK}])*"
_LETTER = rf"[^\W\d_{_APART}{_MARK}]"
_TOKEN = re.compile(
    rf"[{_IDEOGRAPH}{_HIRAGANA}][{_MARK}]*"
    rf"|[{_KATAKANA}][{_KATAKANA}{_MARK}]*"
    rf"|[{_THAI}][{_THAI}{_MARK}]*"
    rf"|{_PIECE}(?:(?:(?<={_LETTER})[{_BETWEEN_LETTERS}](?={_LETTER})|(?<=\d)[{_BETWEEN_DIGITS}](?=\d)){_PIECE})*"
    rf"|[{_EMOJI}](?:\u200d[{_EMOJI}]|[{_MARK}\U0001f3fb-\U0001f3ff])*"
    rf"|{_FLAG}{{2}}"
)
_SINGLE = re.compile(rf"[{_IDEOGRAPH}{_HIRAGANA}]")


def tokens_of(text: str) -> list[str]:
    """The tokens of a text in their order, in lower case."""
    # Sign by sign, as Java does: Python makes two signs of one "İ", and another sigma of the last one of a word.
    tokens = _TOKEN.findall(text.replace("İ", "i").replace("Σ", "σ").lower())
    if all(len(token) <= LONGEST for token in tokens):
        return tokens
    return [token[at : at + LONGEST] for token in tokens for at in range(0, len(token), LONGEST)]


def is_single(token: str) -> bool:
    """Whether a token is one sign of running text (an ideograph, a Hiragana sign) and not a word."""
    return _SINGLE.match(token) is not None


def indexed(texts: Iterable[str]) -> str:
    """What the index holds of a field: the tokens of its texts, parted by spaces, the texts parted by a gap."""
    return f" {GAP} ".join(" ".join(tokens_of(text)) for text in texts)


def keyword(text: str) -> str:
    """A text as one token that only the very same text gives, and whose beginnings are those of the text."""
    return text.encode("utf-8", "surrogatepass").hex()
