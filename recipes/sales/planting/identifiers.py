"""Invented identifiers: valid in form and checksum where that is asked for, and nobody's.

Resident ids use area codes that are not issued to persons (a province's own `..0100`) and 1949 as
year of birth; phone numbers use runs of noughts or the ranges that Ofcom and NANP keep for fiction;
addresses are the documentation ranges of RFC 5737 and RFC 2606.
"""

import random
import string

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_CREDIT_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_PROVINCES = "京津沪渝浙苏粤鲁川鄂闽湘皖"


def digits(rng: random.Random, count: int) -> str:
    """A run of random digits."""
    return "".join(rng.choices(string.digits, k=count))


def check_resident(first: str) -> str:
    """The 18th character of a resident id (GB 11643, ISO 7064 MOD 11-2)."""
    return _ID_CHECKS[sum(int(d) * w for d, w in zip(first, _ID_WEIGHTS, strict=True)) % 11]


def check_card(first: str) -> str:
    """The last digit of a card number (Luhn)."""
    total = 0
    for place, digit in enumerate(reversed(first)):
        value = int(digit) * (2 - place % 2)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def check_credit(first: str) -> str:
    """The 18th character of a unified social credit code (GB 32100)."""
    total = sum(_CREDIT_SIGNS.index(c) * pow(3, i, 31) for i, c in enumerate(first))
    return _CREDIT_SIGNS[-total % 31]


def _check_organisation(first: str) -> str:
    """The 9th character of an organisation code (GB 11714)."""
    signs = string.digits + string.ascii_uppercase
    pairs = zip(first, _ORGANISATION_WEIGHTS, strict=True)
    return "0123456789X0"[11 - sum(signs.index(c) * w for c, w in pairs) % 11]


def make_mobile(rng: random.Random) -> str:
    """A mobile number with a run of noughts."""
    return rng.choice(("131", "136", "138", "150", "159", "177", "186", "199")) + "0000" + digits(rng, 4)


def make_landline(rng: random.Random) -> str:
    """A landline number with its area code."""
    area = rng.choice(("010", "021", "0571", "0755", "028", "0512"))
    return f"{area}-6000{digits(rng, 4)}"


def make_resident(rng: random.Random, valid: bool = True) -> str:
    """A resident id; with `valid` false, digits only and failing both checksums of 18 characters."""
    while True:
        first = f"{rng.choice((11, 31, 33, 44, 51))}0100194910{rng.randint(10, 31)}{digits(rng, 3)}"
        check = check_resident(first)
        if valid:
            return first + check
        wrong = rng.choice(string.digits)
        if wrong not in (check, check_credit(first), check_card(first)):
            return first + wrong


def make_card(rng: random.Random, length: int = 19, valid: bool = True) -> str:
    """A bank card number under a known issuer prefix."""
    prefix = rng.choice(("622202", "622848", "621700", "622588") if length == 19 else ("625960", "622155", "436742"))
    first = prefix + "0000" + digits(rng, length - 11)
    check = check_card(first)
    return first + (check if valid else str((int(check) + rng.randint(1, 9)) % 10))


def make_credit(rng: random.Random) -> str:
    """A unified social credit code, its inner organisation code valid too."""
    body = "MA00" + digits(rng, 4)
    first = "91" + rng.choice(("110100", "310100", "330100", "440300")) + body + _check_organisation(body)
    return first + check_credit(first)


def make_plate(rng: random.Random) -> str:
    """A plate."""
    return f"{rng.choice(_PROVINCES)}{rng.choice('ABCDE')}00{digits(rng, 3)}"


def make_wechat(rng: random.Random) -> str:
    """A WeChat id."""
    return rng.choice(("hz_demo_", "lin-shifan", "xs_yangli_", "guwen-shili")) + digits(rng, 4)


def make_qq(rng: random.Random) -> str:
    """A QQ number."""
    return "9000" + digits(rng, 6)


def make_mail(rng: random.Random) -> str:
    """A mail address at an example domain."""
    name = rng.choice(("lin.wei", "sales", "zhou_ping", "caiwu", "hr-demo", "it.admin"))
    return f"{name}{digits(rng, 3)}@example.{rng.choice(('com', 'org', 'net'))}"


def make_address(rng: random.Random) -> str:
    """An IPv4 address of a documentation range."""
    return f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randint(2, 250)}"


def make_key(rng: random.Random) -> str:
    """An API key or token."""
    signs = string.ascii_letters + string.digits
    tail = "".join(rng.choices(signs, k=40))
    upper = "".join(rng.choices(string.ascii_uppercase + "234567", k=9))
    return rng.choice((f"sk-{tail}", f"AKIA{upper}EXAMPLE", f"ghp_{tail[:36]}"))


def make_american(rng: random.Random) -> str:
    """A US phone number of the range kept for fiction."""
    return f"({rng.choice((415, 212, 312, 206))}) 555-01{digits(rng, 2)}"


def make_british(rng: random.Random) -> str:
    """A UK phone number of the range kept for drama."""
    return f"+44 20 7946 0{digits(rng, 3)}"
