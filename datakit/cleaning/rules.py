"""Rules: what each measures, from where on it drops, and the judgement over a frame of scores.

Sources of the thresholds: Gopher (Rae et al. 2021, arXiv 2112.11446, section A1.1 and table A1) and C4 (Raffel et
al. 2020, section 2.2) as in datatrove's `gopher_quality_filter.py`, `gopher_repetition_filter.py`, `c4_filters.py`;
FineWeb (Penedo et al. 2024) as in `fineweb_quality_filter.py`; FineWeb-2's `configs/cmn_Hani.yml` for Chinese.
docs/rules.md says what differs. The thresholds for dialogues and those of encoding_damage, symbol_noise, blob and
repetition_run are ours, set on public replies so that none drops more than one in a hundred (docs/rules.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.kernels.buffers import Texts, to_buffer
from datakit.kernels.repetition import CJK_PER_WORD
from datakit.kernels.statistics import COUNTS, count
from datakit.recipe.rules import KindRules, LanguageRules, Limit, RulesSettings

Language = Literal["en", "zh", "other"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh", "other")

CHINESE: Final = ("zh", "yue", "wuu")
"""lid.176's codes of languages in Chinese characters that share FineWeb-2's thresholds for Mandarin."""

REPETITION_UNITS: Final = 50
"""Below so many units a refrain or 谢谢谢谢 is speech; Gopher drops shorter texts for their length anyway."""

Thresholds = Mapping[str, float]
"""`min`, `max`, and what a text must have for the rule to hold: `units`, `characters` (not white space), `lines`."""


class Rule(NamedTuple):
    """A reason word, the score it looks at, and its shipped thresholds; None where it is off.

    text: by language, en, zh and other. answer: for every other kind, whatever the language.
    """

    name: str
    score: str
    en: Thresholds | None = None
    zh: Thresholds | None = None
    other: Thresholds | None = None
    answer: Thresholds | None = None

    def shipped(self, kind: str, language: Language) -> Thresholds | None:
        """The thresholds without any recipe."""
        by_language = {"en": self.en, "zh": self.zh, "other": self.other}
        return by_language[language] if kind == "text" else self.answer


def _everywhere(name: str, score: str, **thresholds: float) -> Rule:
    return Rule(name, score, thresholds, thresholds, thresholds, thresholds)


def _repetition(name: str, en: float, zh: float | None, answer: float) -> Rule:
    """A repetition rule; other languages than Chinese have Gopher's thresholds."""
    gopher = {"max": en, "units": REPETITION_UNITS}
    chinese = None if zh is None else {"max": zh, "units": REPETITION_UNITS}
    return Rule(name, name, gopher, chinese, gopher, {"max": answer, "units": REPETITION_UNITS})


RULES: Final = (
    _everywhere("empty", "non_space", min=1),
    Rule("too_short", "characters"),
    Rule("too_long", "characters"),
    _everywhere("encoding_damage", "encoding_damage", max=0.01),
    _everywhere("blob", "blob", max=300),
    _everywhere("blob_dense", "blob_dense", max=200),
    _everywhere("symbol_noise", "symbol_noise", max=0.6, characters=20),
    _everywhere("repetition_run", "repetition_run", max=100),
    _repetition("repetition_paragraphs", 0.30, None, 0.6),
    _repetition("repetition_paragraph_characters", 0.20, None, 0.5),
    _repetition("repetition_lines", 0.30, 0.287, 0.6),
    _repetition("repetition_line_characters", 0.20, None, 0.5),
    _repetition("repetition_top_2_gram", 0.20, 0.256, 0.5),
    _repetition("repetition_top_3_gram", 0.18, 0.201, 0.5),
    _repetition("repetition_top_4_gram", 0.16, 0.171, 0.5),
    _repetition("repetition_duplicate_5_gram", 0.15, 0.198, 0.5),
    _repetition("repetition_duplicate_6_gram", 0.14, 0.182, 0.5),
    _repetition("repetition_duplicate_7_gram", 0.13, 0.167, 0.5),
    _repetition("repetition_duplicate_8_gram", 0.12, 0.154, 0.5),
    _repetition("repetition_duplicate_9_gram", 0.11, 0.140, 0.5),
    _repetition("repetition_duplicate_10_gram", 0.10, 0.127, 0.5),
    Rule("gopher_words", "words", {"min": 50, "max": 100_000}, {"min": 50, "max": 100_000}),
    Rule("gopher_word_length", "gopher_word_length", {"min": 3, "max": 10}, {"min": 1, "max": 5}),
    Rule("gopher_hashes", "gopher_hashes", {"max": 0.1}, {"max": 0.1}),
    Rule("gopher_ellipses", "gopher_ellipses", {"max": 0.1}, {"max": 0.1}),
    Rule("gopher_bullet_lines", "gopher_bullet_lines", {"max": 0.9}, {"max": 0.9}),
    Rule("gopher_ellipsis_lines", "gopher_ellipsis_lines", {"max": 0.3}, {"max": 0.3}),
    Rule("gopher_letter_words", "gopher_letter_words", {"min": 0.8}, {"min": 0.735}),
    Rule("gopher_stop_words", "gopher_stop_words", {"min": 2}),
    Rule("gopher_stop_words_zh", "gopher_stop_words_zh", None, {"min": 2}),
    Rule("c4_lorem_ipsum", "c4_lorem_ipsum", {"max": 0}),
    Rule("c4_curly_braces", "c4_curly_braces", {"max": 0}),
    # C4 cuts such lines out of a page; a page that would lose more than half of its lines is one of them.
    Rule("c4_javascript_lines", "c4_javascript_lines", {"max": 0.5}),
    Rule("c4_policy_lines", "c4_policy_lines", {"max": 0.5}),
    Rule("c4_unpunctuated_lines", "c4_unpunctuated_lines", {"max": 0.88, "lines": 2}),
    Rule("c4_short_lines", "c4_short_lines", {"max": 0.67}),
    Rule("c4_sentences", "c4_sentences", {"min": 5}),
    Rule("fineweb_line_punctuation", "fineweb_line_punctuation", {"min": 0.12, "lines": 2}, {"min": 0.106, "lines": 2}),
    Rule("fineweb_short_lines", "fineweb_short_lines", {"max": 0.67}),
    Rule("fineweb_duplicate_lines", "fineweb_duplicate_lines", {"max": 0.01}, {"max": 0.1}),
    Rule("fineweb_newlines", "fineweb_newlines", {"max": 0.3}, {"max": 0.178}),
)
"""All rules; a row gets the first that it fails: first what is no language, then loops, then the page rules."""

REASONS: Final = tuple(rule.name for rule in RULES)
"""The reason words, in the order in which rules are tried."""


_WHOLE: Final = ("characters", "non_space", "units", "cjk_units", "lines")

SCORES: Final = tuple(dict.fromkeys((*_WHOLE, "words", *(rule.score for rule in RULES))))
"""The columns that `measure` gives."""


def measure(texts: Texts) -> pl.DataFrame:
    """The scores of each text.

    texts: String, or a buffer; null counts as the empty text. A row a text; columns characters, non_space, units,
    cjk_units, lines: UInt32; words and every other score of `RULES`: Float32. A share of nothing is 0.
    """
    counts = count(to_buffer(texts))
    column = dict(zip(COUNTS, counts.T, strict=True))
    whole = {name: pl.Series(column[name], dtype=pl.UInt32) for name in _WHOLE}
    shares = {name: pl.Series(values.astype(np.float32)) for name, values in _scores(column).items()}
    return pl.DataFrame(whole | shares)


def _share(part: NDArray[Any], of: NDArray[Any]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.divide(part, of, out=np.zeros(len(part), np.float64), where=of > 0)
    return shares


def _scores(count: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[Any]]:
    """Every score of `RULES` and the words; int64 or float64, one value a text."""
    words = count["units"] - count["cjk_units"] + count["cjk_units"] / CJK_PER_WORD
    letter_words = count["letter_words"] + count["cjk_units"] / CJK_PER_WORD
    characters, lines = count["characters"], count["lines"]
    scores: dict[str, NDArray[Any]] = {
        "words": words,
        "encoding_damage": _share(count["damaged"], count["non_space"]),
        "blob": count["longest_encoded"],
        "blob_dense": count["longest_dense"],
        "symbol_noise": _share(count["half_symbols"], 2 * count["symbol_base"]),
        "repetition_run": count["longest_run"],
        "repetition_paragraphs": _share(count["duplicate_paragraphs"], count["paragraphs"]),
        "repetition_paragraph_characters": _share(count["duplicate_paragraph_characters"], characters),
        "repetition_lines": _share(count["duplicate_lines"], lines),
        "repetition_line_characters": _share(count["duplicate_line_characters"], characters),
    }
    for gram in range(2, 11):
        name = f"{'top' if gram < 5 else 'duplicate'}_{gram}_gram"
        # Overlapping occurrences (of 哈哈 in 哈哈哈) and Chinese, counted as if spaced, can exceed the text.
        scores[f"repetition_{name}"] = np.minimum(_share(count[f"{name}_characters"], characters), 1)
    return scores | {
        "gopher_word_length": _share(count["unit_characters"], words),
        "gopher_hashes": _share(count["hashes"], words),
        "gopher_ellipses": _share(count["ellipses"], words),
        "gopher_bullet_lines": _share(count["bullet_lines"], lines),
        "gopher_ellipsis_lines": _share(count["ellipsis_lines"], lines),
        "gopher_letter_words": _share(letter_words, words),
        "gopher_stop_words": count["english_stop_words"],
        "gopher_stop_words_zh": count["chinese_stop_words"],
        "c4_lorem_ipsum": count["lorem_ipsum"],
        "c4_curly_braces": count["braces"],
        "c4_javascript_lines": _share(count["javascript_lines"], lines),
        "c4_policy_lines": _share(count["policy_lines"], lines),
        "c4_unpunctuated_lines": _share(count["unpunctuated_lines"], lines),
        "c4_short_lines": _share(count["few_word_lines"], lines),
        # A text of one line is one paragraph whatever it ends in, not a menu entry.
        "c4_sentences": count["sentences"] + np.where(lines == 1, count["open_sentences"], 0.0),
        "fineweb_line_punctuation": _share(count["terminal_lines"], lines),
        "fineweb_short_lines": _share(count["short_lines"], lines),
        "fineweb_duplicate_lines": _share(count["duplicate_line_characters"], characters - count["newlines"]),
        "fineweb_newlines": _share(count["newlines"], words),
    }


def effective_rules(settings: RulesSettings, kind: str, language: Language) -> dict[str, dict[str, float]]:
    """The rules that are on for a kind and language, in order, each with the thresholds in force.

    A threshold set for the language wins over one set for the kind, and that over the shipped one. A rule that
    is off by default comes on with `true` or a threshold; its other thresholds are then those of texts in the language.
    """
    of_kind: KindRules = getattr(settings, kind)
    of_language: LanguageRules = getattr(of_kind, language)
    rules = {}
    for rule in RULES:
        steps: list[Limit] = [getattr(of_kind, rule.name), getattr(of_language, rule.name)]
        thresholds = rule.shipped(kind, language)
        for limit in steps:
            if limit.on is False:
                thresholds = None
            elif limit.on or limit.values():
                fallback = rule.shipped("text", language) or rule.en or {}
                thresholds = {**(fallback if thresholds is None else thresholds), **limit.values()}
        if thresholds:
            rules[rule.name] = dict(thresholds)
    return rules


def judge(scores: pl.DataFrame, languages: pl.Series, kind: str, settings: RulesSettings) -> pl.DataFrame:
    """The first rule that each failing row fails, in the order of `REASONS`.

    Args:
        scores: from `measure`; for dialogues and pairs, of the text that answers.
        languages: String, ISO 639 codes, one a row; null: zh where most units are Chinese characters, else other.
        kind: text, messages, preference, unpaired or prompt.
        settings: the [clean.rules] table.

    Returns:
        A row for each failing row, ascending: row (UInt32, its place in `scores`), reason (String), value and
        threshold (Float64: what was measured, and the bound it passed).
    """
    reason = np.full(len(scores), -1, np.int64)
    value, threshold = np.zeros(len(scores)), np.zeros(len(scores))
    groups = _language_groups(scores, languages)
    for language in LANGUAGES:
        rows = np.flatnonzero(groups == LANGUAGES.index(language))
        if len(rows) == 0:
            continue
        for name, limits in effective_rules(settings, kind, language).items():
            rows, failed, values, bounds = _apply(RULES[REASONS.index(name)], limits, scores, rows)
            reason[failed], value[failed], threshold[failed] = REASONS.index(name), values, bounds
    rows = np.flatnonzero(reason >= 0)
    return pl.DataFrame(
        {
            "row": pl.Series(rows, dtype=pl.UInt32),
            "reason": pl.Series([REASONS[index] for index in reason[rows].tolist()], dtype=pl.String),
            "value": pl.Series(value[rows], dtype=pl.Float64),
            "threshold": pl.Series(threshold[rows], dtype=pl.Float64),
        }
    )


def _language_groups(scores: pl.DataFrame, languages: pl.Series) -> NDArray[np.int64]:
    """The place in LANGUAGES of each row's language."""
    known = languages.fill_null("").to_numpy()
    chinese = np.isin(known, CHINESE) | ((known == "") & (scores["cjk_units"] * 2 > scores["units"]).to_numpy())
    return np.where(known == "en", 0, np.where(chinese, 1, 2))


def _apply(
    rule: Rule, limits: Thresholds, scores: pl.DataFrame, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The rows that pass, the rows that fail, and for these the value and the bound it passed."""
    values = scores[rule.score].to_numpy()[rows].astype(np.float32)
    # Scores are stored in 32 bits: a threshold is compared as such, so that 0.3 is not above 0.3.
    low, high = np.float32(limits.get("min", 0)), np.float32(limits.get("max", np.inf))
    below, above = values < low, values > high
    fails = below | above
    for name, score in (("units", "units"), ("characters", "non_space"), ("lines", "lines")):
        if limits.get(name):
            fails &= scores[score].to_numpy()[rows] >= limits[name]
    bounds = np.where(below[fails], limits.get("min", 0), limits.get("max", np.inf))
    return rows[~fails], rows[fails], values[fails].astype(np.float64).round(6), bounds
