"""Normalisation: the repairs after which the same text is the same bytes.

What is touched, in this order and until nothing changes (so that normalising twice changes nothing):

1. mojibake: text decoded with the wrong encoding, where a regular expression suspects it and ftfy's result is better;
2. HTML remnants: entities and tags, only in texts that are neither code nor about markup (see `_resolve_html`);
3. line ends: CR, CRLF, VT, FF, NEL, LS and PS become a line feed;
4. characters: control, zero-width and bidirectional control characters go; joiners and variation selectors stay where
   scripts and emoji need them;
5. blanks: spaces and tabs at line ends, blank lines around the text and up to three leading spaces go (four or a
   tab are code to Markdown: CommonMark 0.31, section 4.4); inner blank lines stay; only where the recipe asks for it;
6. NFC. Never NFKC: it would rewrite full-width punctuation, which is right in Chinese.

One regular expression of polars finds the texts that need any of it; Python sees only those.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from datakit.recipe.normalise import Normalise

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

# Rounds until a text is stable; only texts nested against us need more, and those stay as they are.
MAX_ROUNDS = 24

# What UTF-8 continuation bytes (80-BF) look like when read as Latin-1 or as Windows-1252.
_TAIL = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ\ufffd"
# Lead bytes C2-DF, E0-EF and F0-F4 likewise; and Cyrillic UTF-8 read as Windows-1251 (every second is Р or С).
_MOJIBAKE = (
    f"[\u00c2-\u00df][{_TAIL}]|[\u00e0-\u00ef][{_TAIL}][{_TAIL}]|[\u00e4-\u00e9][{_TAIL}] [\u00e3-\u00ef][{_TAIL}]"
    f"|[\u00f0-\u00f4][{_TAIL}][{_TAIL}]|(?:[РС][\u00a0-\u00bf‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—™љ›њќћџЎўЈҐЁЄЇІіґё№єјЅѕї]){{2}}|вЂ"
    "|[ÃÂ] |ï¿½"
)
_CONTROLS = "\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f"
# Soft hyphen; ZWSP, LRM, RLM; embeddings and overrides; word joiner, invisible operators, isolates; BOM; interlinear
# annotation; noncharacters.
_INVISIBLE = "\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
_LINE_ENDS = "\r\u000b\u000c\u0085\u2028\u2029"
_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe00-\ufe0f"
_TAGS = "\U000e0000-\U000e007f"
# Scripts that shape with joiners: Hebrew to N'Ko, Arabic extended, Indic with Sinhala, Tibetan, Myanmar, Khmer,
# Mongolian, and the Arabic presentation forms.
_SHAPING = "\u0590-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ufb1d-\ufdff\ufe70-\ufefc"
# Blocks of emoji and of the symbols that sequences start from, with skin tones and the text / emoji selectors.
_EMOJI = "\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff"

_LINE_END = re.compile(f"\r\n|[{_LINE_ENDS}]")
_HAS_LINE_END = re.compile(f"[{_LINE_ENDS}]")
_HAS_UNWANTED = re.compile(f"[{_CONTROLS}{_INVISIBLE}{_JOINERS}{_SELECTORS}{_TAGS}]")
_UNWANTED = re.compile(
    f"[{_CONTROLS}{_INVISIBLE}]"
    f"|(?<![{_SHAPING}{_EMOJI}])[{_JOINERS}]|(?<=[{_EMOJI}])[{_JOINERS}](?![\u2000-\u3299\U0001f000-\U0001faff])"
    # A selector follows the character it selects the look of; more than one, or one after nothing, hides data.
    f"|(?:(?<=[\\sA-Za-z{_SELECTORS}{_JOINERS}])|^)[{_SELECTORS}]"
    # Tag characters spell the flags of regions after the black flag; elsewhere they are invisible ASCII.
    f"|(?<![\U0001f3f4{_TAGS}])[{_TAGS}]+"
)
_BLANK = frozenset(" \t\n")
_BLANK_END = re.compile(r"(?<![ \t])[ \t]+(?=\n)")
_BLANK_START = re.compile(r"\A(?:[ \t]*\n)*(?: {1,3}(?![ \t]))?")

_ENTITY = re.compile(r"&(?:amp;)*(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_BRACKETS = frozenset({"lt", "gt", "LT", "GT", "#60", "#62", "#x3c", "#x3e", "#x3C", "#x3E", "#X3C", "#X3E"})
_TAG_LIKE = re.compile(r"<[A-Za-z/!?]")
_BREAK = re.compile(r"[ \t]*<(?:br|BR)[ \t]*/?>[ \t]*\n?|</(?:br|BR)>")
_NAMES = "p|div|span|font|center|strong|em|b|i|u|P|DIV|SPAN|FONT|CENTER|STRONG|EM|B|I|U"
_CLOSING = re.compile(rf"</(p|div|center|P|DIV|CENTER)[ \t]*>[ \t]*\n?|</({_NAMES})[ \t]*>")
_OPENING = re.compile(rf"""<({_NAMES})((?:\s+[A-Za-z-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))*)\s*>""")
# A text that shows code or speaks of markup keeps all of it: there the tags and entities are the subject.
_ABOUT_MARKUP = re.compile(
    r"`|\bx?html|\bxml|\bcss\b|javascript|jsx|\bphp\b|markdown|markup|escap|entit|<!DOCTYPE|<\?|<(?:html|head|body|script"
    r"|style|table|form|input|svg|template)\b|\bimport \w|\bdef \w+\(|[{}]\s*$|\)\s*;\s*$|#include"
    r"| <br ?/?> |标签|标记|转义|实体|网页|代码|换行",
    re.IGNORECASE | re.MULTILINE,
)
_STATEMENT = re.compile(r"\)\s*;")
# One of these is in every text that the pattern above matches; to look for them one by one takes a tenth of its time.
_MARKUP_WORDS = (
    *("`", "html", "xml", "css", "javascript", "jsx", "php", "markdown", "markup", "escap", "entit"),
    *("<!doctype", "<?", "<head", "<body", "<script", "<style", "<table", "<form", "<input", "<svg", "<template"),
    *("import ", "def ", "{", "}", "#include", "标签", "标记", "转义", "实体", "网页", "代码"),
    *("\u0130", "\u0131", "\u017f", "\u212a"),  # match i, s and k where case is ignored, and do not lower to them
)
# Characters that NFC may change or reorder: marks, and (Unicode's composition exclusions, singletons and the conjoining
# jamo) characters that are not their own composition. A superset: Python's quick check decides.
_COMPOSABLE = (
    r"\p{M}\u0340\u0341\u0343\u0344\u0374\u037e\u0387\u0958-\u095f\u09dc-\u09df\u0a33-\u0a5e\u0b5c\u0b5d\u0f43-\u0fb9"
    r"\u1161-\u1175\u11a8-\u11c2\u1f71-\u1fff\u2000\u2001\u2126\u212a\u212b\u2329\u232a\u2adc\uf900-\ufad9\ufb1d-\ufb4e"
    r"\U0001d15e-\U0001d1c0\U0002f800-\U0002fa1d"
)


def normalise(texts: pl.Series, settings: Normalise) -> tuple[pl.Series, pl.Series]:
    """The texts repaired, and how many repairs each took (UInt32; 0: unchanged, to the byte).

    A null stays null. `normalise(normalise(x)) == normalise(x)`.
    """
    counts = [0] * len(texts)
    pattern = _suspicion(settings)
    rows = texts.str.contains(pattern).fill_null(False).arg_true() if pattern else pl.Series(dtype=pl.UInt32)
    changed: dict[int, str] = {}
    for row, text in zip(rows.to_list(), texts.gather(rows).to_list(), strict=True):
        repaired, edits = repair(text, settings)
        if repaired != text:
            changed[row], counts[row] = repaired, edits
    edits_column = pl.Series("edits", counts, dtype=pl.UInt32)
    if not changed:
        return texts, edits_column
    # scatter works in place, so on a copy: the caller's texts are his.
    return texts.clone().scatter(list(changed), list(changed.values())), edits_column


def repair(text: str, settings: Normalise) -> tuple[str, int]:
    """One text repaired, and the number of repairs; the text itself and 0 where it does not come to rest."""
    current, edits = text, 0
    for _ in range(MAX_ROUNDS):
        current, count, blanks = _repair_once(current, settings)
        edits += count + blanks
        # Stripped blanks uncover nothing; any other repair may have uncovered the next.
        if not count:
            return current, edits
    return text, 0


def _repair_once(text: str, settings: Normalise) -> tuple[str, int, int]:
    """The text after one round, the number of repairs, and of blanks stripped."""
    edits = blanks = 0
    # Most dirt is ASCII (blanks at line ends), and most patterns below cannot match ASCII.
    ascii_only = text.isascii()
    if settings.mojibake and not ascii_only:
        text, count = _repair_encoding(text)
        edits += count
    if settings.html and ("&" in text or "<" in text):
        text, count = _resolve_html(text)
        edits += count
    if settings.lines and _HAS_LINE_END.search(text):
        text, count = _LINE_END.subn("\n", text)
        edits += count
    if settings.characters and _HAS_UNWANTED.search(text):
        text, count = _UNWANTED.subn("", text)
        edits += count
    if settings.blanks:
        text, blanks = _strip_blanks(text)
    if settings.unicode and not ascii_only and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
        edits += 1
    return text, edits, blanks


def _strip_blanks(text: str) -> tuple[str, int]:
    edits = 0
    if text[-1:] in _BLANK:
        text, edits = text.rstrip(" \t\n"), 1
    if " \n" in text or "\t\n" in text:
        text, ends = _BLANK_END.subn("", text)
        edits += ends
    if text[:1] in _BLANK:
        stripped = _BLANK_START.sub("", text)
        edits += stripped != text
        text = stripped
    return text, edits


@cache
def _suspicion(settings: Normalise) -> str:
    """One regular expression for polars' engine (no lookaround): whatever it does not match is left alone."""
    parts = []
    if settings.mojibake:
        parts.append(_MOJIBAKE)
    if settings.html:
        parts.append(r"&#?[0-9A-Za-z]+;|</?[A-Za-z]")
    if settings.lines:
        parts.append(f"[{_LINE_ENDS}]")
    if settings.blanks:
        parts.append(r"[ \t]\n|[ \t\n]\z|\A[ \t\n]")
    if settings.characters:
        parts.append(f"[{_CONTROLS}{_INVISIBLE}{_JOINERS}{_SELECTORS}{_TAGS}]")
    if settings.unicode:
        parts.append(f"[{_COMPOSABLE}]")
    return "|".join(parts)


# --- mojibake ---------------------------------------------------------------------------------------------------------

_SUSPECT = re.compile(_MOJIBAKE)
_SUSPECT_START = re.compile("[\u00c2-\u00f4РСв]")  # what every suspicious place begins with: found ten times as fast
# E4 xx A0 is a common Chinese pattern ("你"), and many programs have made a plain space of the A0.
_LOST_A0 = re.compile(f"([\u00e4-\u00e9][{_TAIL}]) (?=[\u00e3-\u00ef][{_TAIL}])")


_MARKS = re.compile("[\u2000-\u22ff\u3000-\u303f\uff00-\uffef]")
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


def _repair_encoding(text: str) -> tuple[str, int]:
    """The text as it was before a wrong decoding, where that is plausible: fewer suspicious places, nothing lost."""
    suspects = len(_SUSPECT.findall(text)) if _SUSPECT_START.search(text) else 0
    if not suspects:
        return text, 0
    from ftfy import fix_encoding  # costs 40 ms, and few runs meet mojibake

    candidate = fix_encoding(_LOST_A0.sub("\\1\u00a0", text), _ftfy_settings())
    better = len(_SUSPECT.findall(candidate)) < suspects and candidate.count("\ufffd") <= text.count("\ufffd")
    return (candidate, suspects) if better and _is_plausible(text, candidate) else (text, 0)


def _is_plausible(text: str, candidate: str) -> bool:
    """Whether the characters that a repair brings in are no accident of two or three marks in a row.

    "3×‘甲’" reads as Hebrew bytes, "é”—" as Chinese ones. Latin letters and punctuation are taken at once; two
    East Asian characters, three of another script or one beyond the basic plane (emoji) prove each other.
    """
    gained = [character for character in (Counter(candidate) - Counter(text)).elements() if character > "\u024f"]
    foreign = [character for character in gained if not _MARKS.match(character)]
    weight = sum(3 if character > "\uffff" else 1.5 if _EAST_ASIAN.match(character) else 1 for character in foreign)
    return not foreign or weight >= 3


@cache
def _ftfy_settings() -> TextFixerConfig:
    """Settings of ftfy: encodings only; its defaults turn Chinese punctuation into ASCII."""
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=True,
        decode_inconsistent_utf8=True,
        fix_c1_controls=True,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )


# --- HTML remnants ----------------------------------------------------------------------------------------------------


def _resolve_html(text: str) -> tuple[str, int]:
    """The text without the remnants of HTML, where they can be nothing else.

    Left alone: texts that show code (backticks, fences, statements) or speak of markup. Elsewhere entities with their
    semicolon are resolved (a no-break space becomes a space; `&lt;` and `&gt;` stay where they would form a tag), <br>
    becomes a line end, and p, div, span, font, center, b, i, u, strong, em go where they come in pairs, are closing, or
    carry attributes; a lone `<b>` may be a placeholder. Other tags stay.
    """
    if not (_ENTITY.search(text) or _TAG_LIKE.search(text)) or _is_about_markup(text):
        return text, 0
    text, entities = _resolve_entities(text)
    text, breaks = _BREAK.subn("\n", text)
    text, tags = _remove_tags(text)
    return text, entities + breaks + tags


def _is_about_markup(text: str) -> bool:
    lowered = text.lower()
    suspected = any(word in lowered for word in _MARKUP_WORDS) or _STATEMENT.search(text) is not None
    return suspected and _ABOUT_MARKUP.search(text) is not None


def _resolve_entities(text: str) -> tuple[str, int]:
    edits = 0
    brackets = False

    def resolve(match: re.Match[str]) -> str:
        nonlocal edits
        name = match.group(1)
        if name in _BRACKETS and not brackets:
            return match.group()
        character = html.unescape(f"&{name};")
        if character.startswith("&") and name not in {"amp", "#38", "#x26"}:
            return match.group()  # no entity of HTML 5
        edits += 1
        return character.replace("\u00a0", " ")

    text = _ENTITY.sub(resolve, text)
    brackets = True
    with_brackets = _ENTITY.sub(resolve, text)
    return (text, edits) if _TAG_LIKE.search(with_brackets) else (with_brackets, edits)


def _remove_tags(text: str) -> tuple[str, int]:
    opened = {match.group(1) for match in _OPENING.finditer(text)}
    closed = {match.group(1) or match.group(2) for match in _CLOSING.finditer(text)}
    if not opened and not closed:
        return text, 0
    edits = 0

    def close(match: re.Match[str]) -> str:
        nonlocal edits
        edits += 1
        return "\n" if match.group(1) and match.end() < len(match.string) else ""

    def open_(match: re.Match[str]) -> str:
        nonlocal edits
        if match.group(1) not in closed and not match.group(2):
            return match.group()
        edits += 1
        return ""

    text = _OPENING.sub(open_, text)
    return _CLOSING.sub(close, text), edits
