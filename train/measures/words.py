"""What texts are counted in: Chinese characters and words, and terms made of them.

units("用 ERP 系统")   ->  ["用", "erp", "系", "统"]
terms("用ERP系统吗")    ->  ["erp", "系统", "统吗"]       single characters say little: pairs of them are terms
"""

from __future__ import annotations

import re
from typing import Final

_CJK: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_UNIT: Final = re.compile(f"[{_CJK}]|[^\\W_{_CJK}]+")
_RUN: Final = re.compile(f"[{_CJK}]+|[^\\W_{_CJK}]+")
_IS_CJK: Final = re.compile(f"[{_CJK}]")


def units(text: str) -> list[str]:
    """Chinese characters one by one and runs of other letters and digits, in lower case; marks are left out."""
    return [unit.lower() for unit in _UNIT.findall(text)]


def terms(text: str) -> list[str]:
    """Every two neighbouring Chinese characters (a lone one alone), and words in lower case."""
    found: list[str] = []
    for run in _RUN.findall(text):
        if _IS_CJK.match(run) and len(run) > 1:
            found.extend(run[place : place + 2] for place in range(len(run) - 1))
        else:
            found.append(run.lower())
    return found
