"""Real sentences and dialogue turns, read from a folder of public data sets (listed in README.md)."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

_ENGLISH_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])|\n+")
_CHINESE_END = re.compile(r"(?<=[。！？])(?![”’」』）])|\n+")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_ODD = re.compile(r"[{}<>|\\]|https?:|lorem ipsum|```|\$\$|__", re.IGNORECASE)


class Pool(NamedTuple):
    """What one language's documents are composed of.

    sentences: whole sentences in the order of their sources, so that neighbours belong together;
    turns: short user turns of real dialogues.
    """

    sentences: list[str]
    turns: list[str]


def _json(path: Path) -> Any:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(archive.namelist()[0]))
    return json.loads(path.read_text(encoding="utf-8"))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        yield from lines


def _plain_lines(path: Path) -> Iterator[str]:
    yield from _lines(path)


def _articles(path: Path) -> Iterator[str]:
    # Each line is an article's key, one space, then its text.
    for line in _lines(path):
        yield line.partition(" ")[2]


def _json_lines(key: str) -> Callable[[Path], Iterator[str]]:
    def read(path: Path) -> Iterator[str]:
        for line in _lines(path):
            yield str(json.loads(line)[key])

    return read


def _alpaca(path: Path) -> Iterator[str]:
    for row in _json(path):
        yield str(row["output"])


def _preferences(path: Path) -> Iterator[str]:
    for row in _json(path):
        yield str(row["chosen"]["value"])
        yield str(row["rejected"]["value"])


def _prompts(path: Path) -> Iterator[str]:
    for row in _json(path):
        for message in row["conversations"]:
            yield str(message["value"])


def _ground_truth(path: Path) -> Iterator[str]:
    for page in _json(path).values():
        yield str(page["articleBody"])


def _kdconv_knowledge(path: Path) -> Iterator[str]:
    for dialogue in _json(path):
        for message in dialogue["messages"]:
            for fact in message.get("attrs", ()):
                yield str(fact["attrvalue"])


def _kdconv_turns(path: Path) -> Iterator[str]:
    for dialogue in _json(path):
        for message in dialogue["messages"]:
            yield str(message["message"])


def _crosswoz_turns(path: Path) -> Iterator[str]:
    for dialogue in _json(path).values():
        for message in dialogue["messages"]:
            yield str(message["content"])


def _taskmaster_turns(path: Path) -> Iterator[str]:
    for dialogue in _json(path):
        for utterance in dialogue["utterances"]:
            yield str(utterance["text"])


def _alpaca_turns(path: Path) -> Iterator[str]:
    for row in _json(path):
        yield f"{row['instruction']} {row['input']}".strip()


# (language, file name pattern below the data folder, reader)
_PROSE: tuple[tuple[str, str, Callable[[Path], Iterator[str]]], ...] = (
    ("en", "wiki_demo.txt", _plain_lines),
    ("en", "c4_demo.jsonl", _json_lines("text")),
    ("en", "articles_1000.train", _articles),
    ("en", "alpaca_en_demo.json", _alpaca),
    ("en", "dpo_en_demo.json", _preferences),
    ("en", "ground-truth.json", _ground_truth),
    ("en", "gsm8k/**/train.jsonl", _json_lines("question")),
    ("zh", "alpaca_zh_demo.json", _alpaca),
    ("zh", "dpo_zh_demo.json", _preferences),
    ("zh", "dpo_zh_demo.json", _prompts),
    ("zh", "kdconv/**/*.json", _kdconv_knowledge),
    ("zh", "kdconv/**/*.json", _kdconv_turns),  # few public Chinese files are prose: long turns serve as sentences too
    ("zh", "crosswoz/**/*.json.zip", _crosswoz_turns),
)
_TURNS: tuple[tuple[str, str, Callable[[Path], Iterator[str]]], ...] = (
    ("en", "taskmaster/**/data_*.json", _taskmaster_turns),
    ("en", "alpaca_en_demo.json", _alpaca_turns),
    ("zh", "kdconv/**/*.json", _kdconv_turns),
    ("zh", "crosswoz/**/*.json.zip", _crosswoz_turns),
    ("zh", "alpaca_zh_demo.json", _alpaca_turns),
)


def _is_english_sentence(sentence: str) -> bool:
    words = sentence.count(" ") + 1
    return 5 <= words <= 60 and sentence[-1] in ".!?" and sentence[0].isupper() and sentence.isprintable()


def _is_chinese_sentence(sentence: str) -> bool:
    if not (8 <= len(sentence) <= 150 and sentence[-1] in "。！？”"):
        return False
    return len(_HAN.findall(sentence)) >= 0.7 * len(sentence)


def _sentences(texts: Iterator[str], language: str) -> Iterator[str]:
    end, fits = (_ENGLISH_END, _is_english_sentence) if language == "en" else (_CHINESE_END, _is_chinese_sentence)
    for text in texts:
        for part in end.split(text):
            sentence = part.strip()
            if sentence and fits(sentence) and not _ODD.search(sentence):
                yield sentence


def read_pools(data: Path) -> dict[str, Pool]:
    """The real sentences and turns below `data`, by language ("en", "zh"), each text once, in a fixed order.

    Raises FileNotFoundError where a language has fewer than 1,000 sentences or turns there.
    """
    pools = {language: Pool([], []) for language in ("en", "zh")}
    for language, pattern, read in _PROSE:
        for path in sorted(data.rglob(pattern)):
            pools[language].sentences.extend(_sentences(read(path), language))
    for language, pattern, read in _TURNS:
        for path in sorted(data.rglob(pattern)):
            turns = (" ".join(turn.split()) for turn in read(path))
            pools[language].turns.extend(turn for turn in turns if 2 <= len(turn) <= 300 and not _ODD.search(turn))
    for language, pool in pools.items():
        for name, texts in pool._asdict().items():
            texts[:] = dict.fromkeys(texts)  # each once
            if len(texts) < 1_000:
                raise FileNotFoundError(f"{data}: only {len(texts)} {language} {name}, expected 1000 or more; "
                                        "benchmarks/README.md lists the public files to put there")  # fmt: skip
    return pools
