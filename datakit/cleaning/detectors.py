r"""Detectors of personal data: how each kind looks, and what makes a look-alike no finding.

A detector has a `candidate` for polars' engine (Rust: linear, no lookaround; it must match wherever `pattern` can) and
a `pattern` for Python, whose group "v" is the value. Digits are bounded by lookarounds on digits and letters, never by
`\b`, which does not fire beside a Chinese character. `accept` validates and returns the canonical form (the same for
the same number in another notation), or None. Order matters: an identity number holds what looks like a phone number.

Sources: plates: GA 36-2018; WeChat ids: 6 to 20 letters, digits, _ and -, beginning with a letter (WeChat's own rule);
key formats: the issuers' documentation, as collected by gitleaks (config/gitleaks.toml) and detect-secrets (plugins);
telephones: see there.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from datakit.cleaning.evidence import (
    DASH,
    NO_WORD_BEFORE,
    NOT_PERSONAL,
    UNIT_AFTER,
    Detector,
    after,
    before,
    detector,
    digits_of,
    is_counted,
)
from datakit.cleaning.identifiers import is_bank_card, is_old_resident_id, is_resident_id, is_uscc
from datakit.cleaning.telephones import TELEPHONES

# --- identity, company, card ------------------------------------------------------------------------------------------


def _accept_resident(match: re.Match[str]) -> str | None:
    number = re.sub(r"[^0-9Xx]", "", match.group("v")).upper()
    return number if is_resident_id(number) else None


def _accept_old_resident(match: re.Match[str]) -> str | None:
    return match.group("v") if is_old_resident_id(match.group("v")) else None


def _accept_uscc(match: re.Match[str]) -> str | None:
    code = match.group("v")
    if code.isdigit() and NOT_PERSONAL.search(before(match)):
        return None
    return code if is_uscc(code) else None


def _accept_card(match: re.Match[str]) -> str | None:
    number = digits_of(match.group("v"))
    return number if is_bank_card(number) and not is_counted(match) else None


# --- addresses of the net ---------------------------------------------------------------------------------------------

# Extensions of files that follow an "@2x" and the like.
_FILES = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "js", "ts", "css", "py", "java", "json", "xml", "html"]
)
_VERSION_BEFORE = re.compile(
    r"(?:版本号?|固件|软件包|version|versions|ver\.?|firmware|release|build|driver|upgrade[ds]? to|§|section"
    r"|chapter|clause|第|条款|\bv)\s*[:：=为是]?\s*\Z",
    re.IGNORECASE,
)
_IP_CONTEXT = re.compile(
    r"(?:\bip|地址|服务器|主机|网关|内网|外网|host|server|address|ping|dns|gateway|ssh|//|@)[^\n]{0,12}\Z",
    re.IGNORECASE,
)
_SECTION_AFTER = re.compile(r"\s*(?:节|章|条|款|版)")


def _accept_email(match: re.Match[str]) -> str | None:
    value = match.group("v").lower()
    local, _, domain = value.rpartition("@")
    if domain.rsplit(".", 1)[-1] in _FILES or (local == "git" and after(match)[:1] == ":"):
        return None
    return value


def _accept_ip4(match: re.Match[str]) -> str | None:
    value = match.group("v")
    try:
        address = IPv4Address(value)
    except AddressValueError:
        return None
    words = before(match)
    # Addresses that every machine has name nobody.
    if address.is_loopback or address.is_unspecified or value.startswith("255."):
        return None
    if _VERSION_BEFORE.search(words) or _SECTION_AFTER.match(after(match)):
        return None
    # 1.2.3.4 and 4.1.12.3 are sections and versions unless the text speaks of addresses.
    small = all(int(part) < 20 for part in value.split("."))
    return None if small and not _IP_CONTEXT.search(words) else value


def _accept_ip6(match: re.Match[str]) -> str | None:
    value = match.group("v")
    try:
        address = IPv6Address(value)
    except AddressValueError:
        return None
    groups = [group for group in value.split(":") if group]
    if len(groups) < 3 or not any(character.isdigit() for character in value) or address.is_loopback:
        return None
    return address.compressed


# --- plates and names in messengers -----------------------------------------------------------------------------------

_PROVINCE_CHARACTERS = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
# Provinces whose character is a common syllable: after another Chinese character they need the word for plate.
_AMBIGUOUS_PROVINCES = frozenset("云新青宁贵川吉蒙甘")
_PLATE_CONTEXT = re.compile(r"车牌|牌照|车号|车辆|号牌|plate", re.IGNORECASE)


def _accept_plate(match: re.Match[str]) -> str | None:
    value = re.sub(r"[ ·•\-]", "", match.group("v"))
    if sum(character.isdigit() for character in value) < 3:
        return None
    words = before(match, 20)
    ambiguous = value[0] in _AMBIGUOUS_PROVINCES and "\u4e00" <= words[-1:] <= "\u9fff"
    return None if ambiguous and not _PLATE_CONTEXT.search(words) else value


def _accept_wechat(match: re.Match[str]) -> str | None:
    value = match.group("v")
    told = any(character.isdigit() or character in "_-" for character in value[1:])
    # A bare word after "微信" may be any word; after a colon it is the id.
    if not told and not (re.search(r"[:：=是为]\s*[\"'“]?\Z", before(match)) and not match.group("w")):
        return None
    return value.lower()


def _accept_qq(match: re.Match[str]) -> str | None:
    return None if UNIT_AFTER.match(after(match)) or re.match(r"\s*[年版人]", after(match)) else match.group("v")


# --- secrets ----------------------------------------------------------------------------------------------------------

_KEYS = (
    r"sk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_\-]{20,400}|gh[opusr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_\-]{16,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|LTAI[0-9A-Za-z]{12,24}|AKID[0-9A-Za-z]{13,40}|AIza[0-9A-Za-z_\-]{30,}|xox[abeoprs]-[0-9A-Za-z\-]{10,}"
    r"|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*"
)
_PEM = r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"
_SECRET_NAMES = (
    r"password|passwd|passcode|pwd|密码|口令|secret(?:[_ \-]?access)?(?:[_ \-]?key)?|api[_ \-]?key"
    r"|access[_ \-]?key(?:[_ \-]?(?:id|secret))?"
    r"|auth[_ \-]?token|access[_ \-]?token|refresh[_ \-]?token|bearer|token|私钥|密钥|令牌"
)
_PLACEHOLDER = re.compile(
    r"(?i)(?:your[_\-]?)?(?:password|passwd|pass|pwd|pw|token|secret|key)|x+|\*+|\.+|.*[(\[{$%].*"
)
_CODE_LIKE = re.compile(
    r"[(\[{<>$)]|\.\w+\.|^[A-Za-z_]+\d?$|^(?:self|this|os|process|config|env)\.|^https?:|^%[sd]|^\*+$|^x+\Z",
    re.IGNORECASE,
)


def _accept_key(match: re.Match[str]) -> str | None:
    value = match.group("v")
    # A run of one kind of character ("sk-xxxxxxxx…") is a placeholder.
    body = value.split("-----")[2] if value.startswith("-----") else value[4:]
    return value if len(set(body)) > 6 or value.startswith("-----") else None


def _accept_login(match: re.Match[str]) -> str | None:
    value = match.group("v")
    return None if _PLACEHOLDER.fullmatch(value) else value


def _accept_secret(match: re.Match[str]) -> str | None:
    value = match.group("v")
    name = match.group("n").lower()
    if _CODE_LIKE.search(value):
        return None
    pin = name.endswith(("password", "passwd", "passcode", "pwd", "密码", "口令"))
    if value.isdigit():
        return value if pin and len(value) >= 4 else None
    classes = sum(bool(re.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9]"))
    strong = classes >= 2 and len(value) >= 6 and (any(character.isdigit() for character in value) or classes >= 3)
    # A token or key is long; short ones are words of the text ("token: v2.1").
    return value if strong and (pin or len(value) >= 12) else None


_PLATE_BODY = (
    rf"[{_PROVINCE_CHARACTERS}][A-HJ-NP-Z][ ·•\-]?(?:[DF][A-HJ-NP-Z0-9][0-9]{{4}}|[0-9]{{5}}[DF]|[A-HJ-NP-Z0-9]{{5}}"
    r"|[A-HJ-NP-Z0-9]{4}[挂学警港澳])"
)
_CARD_BODY = (
    rf"[2-6][0-9]{{14,18}}|[2-6][0-9]{{3}}(?:[ {DASH}][0-9]{{4}}){{3}}(?:[ {DASH}][0-9]{{1,3}})?"
    rf"|3[47][0-9]{{2}}[ {DASH}][0-9]{{6}}[ {DASH}][0-9]{{5}}"
    rf"|62[0-9]{{4}}[ {DASH}][0-9]{{13}}"
)
_WECHAT_NAMES = (
    r"微信号?|薇信|威信|加[vV微薇]|[vV]信|[vV]号|(?<![A-Za-z0-9])(?:[wW]e[cC]hat|WECHAT|[wW]eixin|[vV][xX]|[wW][xX])"
)
_WECHAT_CANDIDATE = r"(?i)(?:微信|薇信|威信|加[v微薇]|v信|v号|wechat|weixin|vx|wx)[^\n]{0,12}?[a-z][a-z0-9_\-]{5}"

_ID_BODY = (
    rf"[1-9][0-9]{{5}}[ {DASH}]?(?:19|20)[0-9]{{2}}[ {DASH}]?(?:0[1-9]|1[0-2])[ {DASH}]?[0-3][0-9]"
    rf"[ {DASH}]?[0-9]{{3}}[0-9Xx]"
)
_USCC_BODY = r"[1-9ANY][1-9][0-9]{6}[0-9A-HJ-NP-RT-UW-Y]{10}"
_IP4_BODY = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
_IP6_BODY = r"[0-9A-Fa-f]{0,4}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}"
_EMAIL_BODY = r"[A-Za-z0-9._%+\-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62})\.)+[A-Za-z]{2,24}"

# In the order in which they look: what is found is hidden from those after.
DETECTORS: tuple[Detector, ...] = (
    detector(
        "secret",
        "SECRET",
        rf"{_PEM}|{_KEYS}",
        rf"(?P<v>{_PEM}[\s\S]*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)"
        rf"|(?<![A-Za-z0-9_])(?:{_KEYS}))",
        _accept_key,
    ),
    detector(
        "secret",
        "SECRET",
        r"://[^\s/:@]+:[^\s/@]+@",
        r"://[^\s/:@]{1,64}:(?P<v>[^\s/@<\ufffc]{1,128})@",
        _accept_login,
    ),
    detector(
        "email",
        "EMAIL",
        r"[A-Za-z0-9._%+\-]@[A-Za-z0-9]",
        rf"(?<![A-Za-z0-9._%+\-])(?P<v>{_EMAIL_BODY})(?![A-Za-z0-9])",
        _accept_email,
    ),
    detector("resident_id", "ID", _ID_BODY, rf"(?<![0-9])(?P<v>{_ID_BODY})(?![0-9])", _accept_resident),
    detector("uscc", "USCC", _USCC_BODY, rf"(?<![0-9A-Za-z])(?P<v>{_USCC_BODY})(?![0-9A-Za-z])", _accept_uscc),
    detector(
        "bank_card",
        "CARD",
        _CARD_BODY,
        rf"{NO_WORD_BEFORE}(?P<v>{_CARD_BODY})(?![0-9A-Za-z])(?!\.[0-9])",
        _accept_card,
    ),
    detector(
        "resident_id",
        "ID",
        r"(?i)(?:身份证|证件|\bid)[^0-9\n\ufffc]{0,12}[0-9]{15}",
        r"(?:身份证|证件|(?<![A-Za-z])(?i:id))[^0-9\n\ufffc]{0,12}(?P<v>[0-9]{15})(?![0-9A-Za-z])",
        _accept_old_resident,
    ),
    detector("ip", "IP", _IP4_BODY, rf"(?<![0-9A-Za-z_.])(?P<v>{_IP4_BODY})(?![0-9A-Za-z_]|\.[0-9])", _accept_ip4),
    detector("ip", "IP", _IP6_BODY, rf"(?<![0-9A-Za-z_:.])(?P<v>{_IP6_BODY})(?![0-9A-Za-z_:])", _accept_ip6),
    *TELEPHONES,
    detector("plate", "PLATE", _PLATE_BODY, rf"(?P<v>{_PLATE_BODY})(?![0-9A-Za-z])", _accept_plate),
    detector(
        "wechat",
        "WECHAT",
        rf"wxid_|{_WECHAT_CANDIDATE}",
        r"(?<![A-Za-z0-9_])(?P<v>wxid_[A-Za-z0-9]{8,})",
        lambda match: match.group("v"),
    ),
    detector(
        "wechat",
        "WECHAT",
        _WECHAT_CANDIDATE,
        rf"(?:{_WECHAT_NAMES})(?:[ _]?(?:[iI][dD]|账号|帐号|号码|号))?[\"'”]?"
        rf"(?:[ \t]?(?P<w>is)[ \t]|[ \t:：=是为]){{0,3}}"
        r"[\"'“]?(?P<v>[A-Za-z][A-Za-z0-9_\-]{5,19})(?![A-Za-z0-9_\-]|\.[A-Za-z]|[ \t]*[:：=])",
        _accept_wechat,
    ),
    detector(
        "qq",
        "QQ",
        r"(?i)qq[^0-9\n\ufffc]{0,8}[1-9][0-9]{4,10}",
        r"(?<![A-Za-z0-9])[qQ]{2}(?:号码|群号|账号|帐号|号|群)?[\"'”]?[ \t:：=是为]{0,3}"
        r"[\"'“]?(?P<v>[1-9][0-9]{4,10})(?![0-9A-Za-z_.])",
        _accept_qq,
    ),
    detector(
        "secret",
        "SECRET",
        rf"(?i)(?:{_SECRET_NAMES})[\"'」”]?\s*(?:[:=：]|是|为|is)\s*[\"'“]?[!-~]{{4}}"
        r"|(?:密码|口令|私钥|密钥)[\"'“]?[!-~]{4}|bearer\s[\"'“]?[!-~]{4}",
        rf"(?i)(?P<n>(?:{_SECRET_NAMES}))[\"'」”]?(?:\s*(?:[:=：]|是|为|\bis\b)\s*|(?<=[密码口令钥])|(?<=bearer)\s)[\"'“]?"
        r"(?P<v>[!#-&(-+\--:<-_a-~]{3,255}[!#-&*+\-/0-9<-_a-~])",
        _accept_secret,
    ),
)

# The first sieve, over every text: no text that holds a finding escapes it (a test holds this). Seven digits that at
# most two marks part; four numbers with dots; colons of IPv6; plates; and the words that announce the rest.
DIGITS = rf"[0-9](?:[ .()（）\u00a0{DASH}]{{0,3}}[0-9]){{6}}"
# The kinds whose values all have such digits: one look spares a text without them nine patterns.
NUMBERS = frozenset({"resident_id", "uscc", "bank_card", "mobile", "international_phone", "landline", "us_phone"})
_SIEVES = (
    DIGITS,
    r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    r"[0-9a-f]:[0-9a-f]{0,4}:[0-9a-f:]",
    rf"[{_PROVINCE_CHARACTERS}][A-Z][ ·•\-]?[A-Z0-9]{{4}}",
    r"[0-9a-z._%+\-]@[0-9a-z]|://[^\s/:@]+:",
    r"微信|薇信|威信|加[v微薇]|v信|v号|wechat|weixin|vx|wx|qq",
    r"passw|passcode|pwd|密码|口令|secret|api[_ \-]?key|access[_ \-]?key|token|bearer|私钥|密钥|令牌",
    r"sk-|gh[opusr]_|github_pat_|glpat-|AKIA|ASIA|LTAI|AKID|AIza|xox[a-z]-|hf_|npm_|eyJ|PRIVATE KEY",
)
SIEVE = f"(?i:{'|'.join(_SIEVES)})"
# Full-width letters and digits, which the sieve does not read: such texts are folded before they are searched.
WIDE = r"[０-９Ａ-Ｚａ-ｚ＠]"
