"""A slow mask of ChatML, token by token and byte by byte, that shares no code with datakit."""

from __future__ import annotations

import re
from typing import Any

HEADER, STOP = "<|im_start|>assistant\n", "<|im_end|>"


def byte_letters() -> dict[str, int]:
    """The letter by which byte-level BPE writes each byte, as GPT-2's `bytes_to_unicode` lays them out."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in kept}
    letters |= {chr(0x100 + n): byte for n, byte in enumerate(b for b in range(256) if b not in kept)}
    return letters


def trained_bytes(text: str, row: dict[str, Any], *, thinking: bool = True, last: bool = False) -> list[bool]:
    """Whether each byte of a ChatML render is to be trained. Nothing in the row may spell a special token."""
    flags = [False] * len(text.encode())
    answers = [message for message in row["messages"] if message["role"] == "assistant"]
    place = 0
    for number, message in enumerate(answers):
        begin = text.index(HEADER, place) + len(HEADER)
        end = text.index(STOP, begin) + len(STOP)
        place = end
        if message.get("train") is False or (last and number < len(answers) - 1):
            continue
        thinks = bool(message.get("reasoning_content")) or "</think>" in (message["content"] or "")
        block = re.match(r"<think>.*?</think>\s*", text[begin:end], re.DOTALL)
        if block and not (thinks and thinking):
            begin += block.end()
        first, behind = len(text[:begin].encode()), len(text[:end].encode())
        flags[first:behind] = [True] * (behind - first)
    return flags


def labels(ids: list[int], flags: list[bool], tokens: list[str], added: set[int]) -> list[int]:
    """A label a token: its id where all of its bytes are trained.

    Args:
        ids: of the render.
        flags: as `trained_bytes` gives them.
        tokens: how the vocabulary writes each of `ids`.
        added: ids of added tokens, which the vocabulary writes as they are.
    """
    letters = byte_letters()
    found, place = [], 0
    for number, written in zip(ids, tokens, strict=True):
        size = len(written.encode()) if number in added else len([letters[letter] for letter in written])
        found.append(number if all(flags[place : place + size]) else -100)
        place += size
    assert place == len(flags), "the tokens are not the text"
    return found
