"""Make `characters.npz` from this interpreter's `unicodedata`: `python make_characters.py`.

Run it only on purpose: a table made by a newer Unicode can change how rare characters are cut into units,
and with that the fingerprint of a version.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np

WORD, CJK, SPACE, COMPLEX, LETTER, DIGIT, SYMBOL, TERMINAL = (1 << bit for bit in range(8))

# Han with its extensions and compatibility blocks, iteration marks, kana and bopomofo: scripts written without spaces.
CJK_RANGES = (
    (0x3005, 0x3007), (0x3041, 0x3096), (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x3105, 0x312F),
    (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF),
)  # fmt: skip

# Marks that end a sentence (Unicode's Sentence_Terminal), and the quotes and semicolons web text ends a line with.
TERMINALS = ".!?\"';…‼‽⁇⁈⁉”’»」』。！？．｡；;։؟؞؝۔܀܁܂߹।॥၊။።፧፨᙮᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗"


def is_cjk(code: int) -> bool:
    """Whether one character of this code point is a unit of its own."""
    return any(low <= code <= high for low, high in CJK_RANGES)


def is_word(character: str) -> bool:
    """Whether the folded character belongs to a unit."""
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def composing() -> set[str]:
    """The characters that canonical composition may join to the one before them."""
    seconds = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}  # Hangul vowels and tails
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    return seconds


def main() -> None:
    """Write both tables beside this file."""
    joins = composing()
    shift = np.zeros(0x110000, dtype=np.int32)
    classes = np.zeros(0x110000, dtype=np.uint8)
    for code in range(0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        if category in ("Cn", "Cs", "Co"):
            continue
        compatible = unicodedata.normalize("NFKC", character)
        folded = compatible.lower()
        whole = compatible + folded
        bits = 0
        # A capital sigma lower-cases by its neighbours; marks and jamo compose with or reorder around theirs.
        entangled = "Σ" in compatible or any(c in joins or unicodedata.combining(c) for c in whole)
        if entangled or (len(folded) != 1 and any(is_word(c) for c in folded)):
            bits |= COMPLEX
        elif len(folded) == 1:
            shift[code] = ord(folded) - code
            if is_word(folded):
                bits |= WORD
                bits |= CJK if is_cjk(ord(folded)) else 0
        if bits & COMPLEX and is_word(character):
            bits |= WORD  # what it is once the text was folded in Python
        bits |= SPACE if character.isspace() else 0
        bits |= LETTER if character.isalpha() else 0
        bits |= DIGIT if category == "Nd" else 0
        bits |= SYMBOL if category[0] in "PS" else 0
        bits |= TERMINAL if character in TERMINALS else 0
        classes[code] = bits
    target = Path(__file__).with_name("characters.npz")
    np.savez_compressed(target, fold_shift=shift.astype(np.int32), classes=classes)


if __name__ == "__main__":
    main()
