"""Telephone numbers: Chinese mobiles and landlines, +1 numbers, and other countries' with their code.

Sources: prefixes and area codes: the numbering plan of MIIT (telephone network numbering, 2017); +1 numbers: NANPA
(area code and exchange begin with 2-9); other numbers: ITU-T E.164 (at most 15 digits).
"""

from __future__ import annotations

import re

from datakit.cleaning.evidence import (
    DASH,
    NO_DIGIT_AFTER,
    NO_DIGIT_BEFORE,
    SEPARATOR,
    Detector,
    before,
    detector,
    digits_of,
    follows_word,
    is_counted,
    is_term,
)

_CONTEXT_WORDS = (
    r"(?:电话|手机|座机|固话|致电|拨打|热线|传真|来电|联系|客服"
    r"|(?<![a-z])(?:tele)?(?:phone|mobile|cell|call|tel|contact|fax|hotline|dial|sms|whatsapp|reach"
    r"|(?:my|his|her|your|our|their) number)"
    r"(?:s|ed|ing)?(?![a-z]))"
)
_PHONE_CONTEXT = re.compile(_CONTEXT_WORDS + r"[^0-9\n。；;]{0,16}\Z", re.IGNORECASE)
# The same for polars' engine, which knows no lookaround.
_CONTEXT_CANDIDATE = re.sub(r"\(\?<?!\[a-z\]\)", "", _CONTEXT_WORDS) + r"[^0-9\n。；;]{0,17}"


def _accept_mobile(match: re.Match[str]) -> str | None:
    if follows_word(match) or is_counted(match) or is_term(match):
        return None
    return digits_of(match.group("v"))[-11:]


def _accept_landline(match: re.Match[str]) -> str | None:
    value = match.group("v")
    number = digits_of(value)
    if number == value and not _PHONE_CONTEXT.search(before(match)):
        return None  # unbroken digits are a phone only where the text says so
    if follows_word(match) or is_counted(match) or is_term(match) or len(set(number[3:])) == 1:
        return None
    return number.removeprefix("86") if number.startswith("860") else number


def _accept_local(match: re.Match[str]) -> str | None:
    return None if is_counted(match) else digits_of(match.group("v"))


def _accept_us(match: re.Match[str]) -> str | None:
    value = match.group("v")
    number = digits_of(value)
    if "." in value and not re.fullmatch(r"(?:\+?1[. ])?\(?\d{3}\)?[. ]\d{3}\.\d{4}", value):
        return None  # a decimal number
    marked = "(" in value or value.startswith("+") or re.search(rf"[.{DASH}]", value)
    if not marked and not _PHONE_CONTEXT.search(before(match)):
        return None
    if follows_word(match) or is_counted(match) or is_term(match):
        return None
    return "1" + number[-10:]


# ITU E.164 country codes; 1 and 7 are single digits.
# (Written as ranges; what is not assigned is left out.)
_COUNTRY_CODES = frozenset(
    str(code)
    for first, last in (
        (1, 1), (7, 7), (20, 20), (27, 27), (30, 34), (36, 36), (39, 41), (43, 49), (51, 58), (60, 66), (81, 82),
        (84, 84), (86, 86), (90, 95), (98, 98), (211, 213), (216, 216), (218, 218), (220, 246), (248, 258), (260, 269),
        (290, 291), (297, 299), (350, 359), (370, 378), (380, 383), (385, 387), (389, 389), (420, 421), (423, 423),
        (500, 509), (590, 599), (670, 670), (672, 683), (685, 692), (800, 800), (808, 808), (850, 850), (852, 853),
        (855, 856), (870, 870), (878, 878), (880, 883), (886, 886), (888, 888), (960, 968), (970, 977), (979, 979),
        (992, 996), (998, 998),
    )
    for code in range(first, last + 1)
)  # fmt: skip


def _accept_international(match: re.Match[str]) -> str | None:
    number = digits_of(match.group("v"))
    if not 9 <= len(number) <= 15 or number.endswith("00000") or is_counted(match) or is_term(match):
        return None
    if number == match.group("v")[1:] and re.search(r"[0-9)]\s*\Z", before(match)):
        return None  # a sum
    if not any(number[:size] in _COUNTRY_CODES for size in (1, 2, 3)):
        return None
    if number.startswith("1"):
        return number if re.fullmatch(r"1[2-9]\d{2}[2-9]\d{6}", number) else None
    if number.startswith("86"):
        national = number[2:].removeprefix("0")
        return "0" + national if re.fullmatch(r"(?:10|2\d|[3-9]\d{2})[2-8]\d{6,7}", national) else None
    return number


_MOBILE_BODY = (
    rf"1[3-9][0-9](?:[0-9]{{8}}|{SEPARATOR}[0-9]{{4}}{SEPARATOR}[0-9]{{4}}|[0-9]{{4}}{SEPARATOR}[0-9]{{4}}|[0-9]{SEPARATOR}[0-9]{{3}}{SEPARATOR}[0-9]{{4}}"
    rf"|[0-9]{{2}}{SEPARATOR}[0-9]{{6}}|[0-9]{{2}}{SEPARATOR}[0-9]{{3}}{SEPARATOR}[0-9]{{3}})"
)
_AREA = r"0(?:10|2[0-57-9]|[3-9][0-9]{2})"
_LANDLINE_BODY = (
    rf"(?:\({_AREA}\)|（{_AREA}）|{_AREA})[ \u00a0{DASH}]{{0,3}}[2-8][0-9]{{2,3}}[ {DASH}]?[0-9]{{4}}"
    rf"|[48]00[ {DASH}]?(?:[0-9]{{3}}[ {DASH}]?[0-9]{{4}}|[0-9]{{4}}[ {DASH}]?[0-9]{{3}})"
    rf"|400[0-9][ {DASH}][0-9]{{3}}[ {DASH}][0-9]{{3}}"
)
_US_BODY = (
    rf"(?:\+?1{SEPARATOR}?)?(?:\([2-9][0-9]{{2}}\){SEPARATOR}?|[2-9][0-9]{{2}}{SEPARATOR}?)"
    rf"[2-9][0-9]{{2}}{SEPARATOR}?[0-9]{{4}}"
)

_LOCAL_BODY = rf"[2-8][0-9]{{2,3}}[ {DASH}]?[0-9]{{4}}"
_LOCAL_NAMES = "电话|座机|固话|致电|拨打|热线|传真|[Tt][Ee][Ll]|[Pp]hone"
_EXTENSION = r"(?:(?:转|[ ]?ext\.?|[ ]?x)[ ]?[0-9]{1,6}|-[0-9]{1,5})?"

TELEPHONES: tuple[Detector, ...] = (
    detector(
        "mobile",
        "PHONE",
        _MOBILE_BODY,
        rf"{NO_DIGIT_BEFORE}(?<!\+)(?P<v>(?:\(?(?:\+|00)?86\)?{SEPARATOR}{{0,2}})?{_MOBILE_BODY}){NO_DIGIT_AFTER}(?![A-Za-z_])",
        _accept_mobile,
    ),
    detector(
        "international_phone",
        "PHONE",
        rf"\+[1-9][0-9]{{0,2}}(?:{SEPARATOR}?[(]?[0-9]{{1,4}}[)]?){{2,6}}",
        rf"(?<![0-9A-Za-z_+)\]])(?P<v>\+[1-9][0-9]{{0,2}}(?:{SEPARATOR}?[(]?[0-9]{{1,4}}[)]?){{2,6}}){NO_DIGIT_AFTER}(?![A-Za-z_])",
        _accept_international,
    ),
    detector(
        "landline",
        "PHONE",
        _LANDLINE_BODY,
        rf"{NO_DIGIT_BEFORE}(?<![0-9][-/])(?P<v>(?:\+?86{SEPARATOR}?)?(?:{_LANDLINE_BODY}){_EXTENSION})"
        rf"{NO_DIGIT_AFTER}(?![A-Za-z_])",
        _accept_landline,
    ),
    detector(
        "us_phone",
        "PHONE",
        rf"(?i)[2-9][0-9]{{2}}(?:\){SEPARATOR}?|{SEPARATOR})[2-9][0-9]{{2}}{SEPARATOR}?[0-9]{{4}}"
        rf"|[2-9][0-9]{{5}}{SEPARATOR}[0-9]{{4}}|\+1{SEPARATOR}?[2-9][0-9]{{9}}|{_CONTEXT_CANDIDATE}1?[2-9][0-9]{{9}}",
        rf"{NO_DIGIT_BEFORE}(?<![0-9][-/])(?P<v>{_US_BODY}){NO_DIGIT_AFTER}(?![A-Za-z_]|{SEPARATOR}[0-9]{{4}})",
        _accept_us,
    ),
    detector(
        "landline",
        "PHONE",
        rf"(?:{_LOCAL_NAMES})[号码是为:： ]{{0,6}}{_LOCAL_BODY}",
        rf"(?:{_LOCAL_NAMES})[号码是为:： ]{{0,6}}(?P<v>{_LOCAL_BODY}){NO_DIGIT_AFTER}(?![{DASH}][0-9])",
        _accept_local,
    ),
)
