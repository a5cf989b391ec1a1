"""Check digits and registers of the numbers that name a person, a company or a card.

Every function takes the number without separators and tells whether it is well-formed; none looks anything up.
"""

from __future__ import annotations

from datetime import date

# GB/T 2260: the first two digits of an administrative division; 71, 81, 82 and 83 are Taiwan, Hong Kong, Macau
# and the residence permits of their people.
PROVINCES = frozenset(
    str(code)
    for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 83))
    for code in range(first, last + 1)
)
# GB 11643-1999, 7064:1983 MOD 11-2: 2 ** (17 - i) mod 11.
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_CHECK = "10X98765432"
# GB 32100-2015: digits and capitals without I, O, S, V, Z; the weight of place i is 3 ** i mod 31.
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUE = {character: value for value, character in enumerate(_USCC_ALPHABET)}
_USCC_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
# GB 32100-2015, table 1: registering authority and the category of the organisation.
_USCC_AUTHORITIES = frozenset("123456789ANY")
_USCC_CATEGORIES = frozenset("123459")


def is_calendar_date(year: int, month: int, day: int) -> bool:
    """Whether the day exists."""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def is_resident_id(number: str) -> bool:
    """Whether 18 characters are a Chinese resident identity number (GB 11643: division, birthday, check digit)."""
    if len(number) != 18 or not (number[:17].isascii() and number[:17].isdigit()) or number[:2] not in PROVINCES:
        return False
    if not 1900 <= int(number[6:10]) <= 2099 or not is_calendar_date(
        int(number[6:10]), int(number[10:12]), int(number[12:14])
    ):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], _RESIDENT_WEIGHTS, strict=True))
    return number[17].upper() == _RESIDENT_CHECK[total % 11]


def is_old_resident_id(number: str) -> bool:
    """Whether 15 digits can be a resident identity number of before 1999; it has no check digit."""
    if len(number) != 15 or not (number.isascii() and number.isdigit()) or number[:2] not in PROVINCES:
        return False
    return is_calendar_date(1900 + int(number[6:8]), int(number[8:10]), int(number[10:12]))


def is_uscc(code: str) -> bool:
    """Whether 18 characters are a unified social credit code (GB 32100: authority, category, division, check)."""
    if len(code) != 18 or any(character not in _USCC_VALUE for character in code):
        return False
    if code[0] not in _USCC_AUTHORITIES or code[1] not in _USCC_CATEGORIES or not code[2:8].isdigit():
        return False
    # The State Administration itself registers under division 100000.
    if code[2:4] not in PROVINCES and code[2:8] != "100000":
        return False
    total = sum(_USCC_VALUE[character] * weight for character, weight in zip(code[:17], _USCC_WEIGHTS, strict=True))
    return _USCC_VALUE[code[17]] == (31 - total % 31) % 31


def passes_luhn(number: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, character in enumerate(reversed(number)):
        digit = int(character)
        if place % 2:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return total % 10 == 0


def is_bank_card(number: str) -> bool:
    """Whether 15 to 19 digits are a payment card: an issuer's prefix with its lengths, and Luhn.

    Prefixes (ISO/IEC 7812 ranges as the networks publish them): UnionPay 62 (16 to 19 digits), Visa 4 (16, 19),
    Mastercard 51-55 and 2221-2720 (16), American Express 34 and 37 (15), JCB 3528-3589 (16), Discover 6011 and 65 (16).
    """
    if not 15 <= len(number) <= 19 or not (number.isascii() and number.isdigit()):
        return False
    return len(number) in _card_lengths(number) and passes_luhn(number) and len(set(number)) > 1


def _card_lengths(number: str) -> tuple[int, ...]:
    """The lengths that the issuer of this prefix gives its cards; empty for an unknown prefix."""
    four = int(number[:4])
    if number.startswith("62"):
        return (16, 17, 18, 19)
    if number.startswith("4"):
        return (16, 19)
    if number.startswith(("34", "37")):
        return (15,)
    sixteen = (
        5100 <= four <= 5599 or 2221 <= four <= 2720 or 3528 <= four <= 3589 or four == 6011 or 6500 <= four <= 6599
    )
    return (16,) if sixteen else ()
