"""The language of each text: scripts where they decide, fastText's lid.176 on a bounded sample elsewhere.

Chinese, Japanese and Korean are told by their characters, which is surer on short texts than any model and costs
nothing. For the rest the model sees at most `SAMPLE` characters, without URLs and code. The model is shipped
(datakit/kernels/data, CC-BY-SA-3.0, see NOTICE there) and loaded once a process, at the first text that needs it.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from datakit.kernels.buffers import TextBuffer, to_buffer
from datakit.kernels.jit import inner, kernel
from datakit.kernels.lid import MODEL, classify, load
from datakit.recipe.language import Language

__all__ = ["MODEL", "SAMPLE", "UNDETERMINED", "detect", "judge"]

# Characters. The verdict is that of 200 on 99.8 % of 46,830 public texts, at two thirds of the cost.
SAMPLE = 128
_READ = 1000  # characters looked at to find a sample among URLs and code
UNDETERMINED = "und"  # ISO 639-2: no letters to judge by

# Kana above a seventh of the East Asian characters: Japanese prose has half; Chinese has a borrowed の at most.
_KANA_SHARE = 0.15
# A short text in ASCII is English unless the model is rather sure of something else: trained on sentences, it is at a
# loss with replies ("Hello", "Deal."). Tuned on the short strings of Taskmaster, Alpaca and GPTeacher.
_SHORT = 40
_SURE = 0.8
_PLAUSIBLE = 0.02

# Labels of lid.176 that have an ISO 639-1 code of their own language or macrolanguage.
_CODES = {"arz": "ar", "yue": "zh", "wuu": "zh", "nah": "nah", "sh": "sr"}


_HEAD = SAMPLE * 3 // 2  # characters that the sample of a text without clutter is cut from
# What the pass over plain heads makes of a text.
_NOT_PLAIN, _NO_LETTERS, _PLAIN = range(3)


def detect(texts: pl.Series, said: TextBuffer | None = None) -> pl.DataFrame:
    """The language of each text and how sure that is: `language`, `confidence` (0 to 1).

    Languages are ISO 639-1 codes (639-3 where there is none; "und" where nothing can be told).
    Chinese of either script is "zh", also with English product names in it. A null is "und".
    said: the same texts as a buffer, where there is one already.
    """
    states, samples = _plain_samples(said or to_buffer(texts))
    labels, confidences = np.full(len(texts), -1, np.int64), np.zeros(len(texts), np.float32)
    found = pl.DataFrame({"language": _codes().gather(labels), "confidence": confidences})
    plain = np.flatnonzero(states == _PLAIN)
    parts = [_predicted(plain, samples, np.ones(plain.size, np.bool_))] if plain.size else []
    rest = np.flatnonzero(states == _NOT_PLAIN)
    if rest.size:
        scripts = _scripts(_sample(texts.gather(rest)), rest)
        parts.append(scripts.filter(pl.col("language").is_not_null()).select("row", "language", "confidence"))
        undecided = scripts.filter(pl.col("language").is_null())
        if undecided.height:
            # The model tells case apart and knows few sentences in capitals.
            lines = [sample.lower() if sample.isupper() else sample for sample in undecided["sample"].to_list()]
            ascii_only = np.array([line.isascii() for line in lines])
            buffer = to_buffer(pl.Series([f" {line} " for line in lines], dtype=pl.String))
            samples = TextBuffer(buffer.data.copy(), buffer.offsets)
            parts.append(_predicted(undecided["row"].to_numpy(), samples, ascii_only))
    if not parts:
        return found
    return found.with_row_index("row").update(pl.concat(parts), on="row").drop("row")


def judge(languages: pl.DataFrame, texts: pl.Series, listed: Collection[str], settings: Language) -> pl.DataFrame:
    """The texts whose language is surely not one of `listed`: row, reason ("language"), value (confidence), threshold.

    Nothing where `listed` is empty. Texts with fewer than `settings.letters` letters, and verdicts below
    `settings.confidence`, stay: better an odd row than a good one lost.
    """
    failing = (
        languages.with_row_index("row")
        .with_columns(texts.alias("text"))
        .filter(
            pl.lit(bool(listed)),
            pl.col("language") != UNDETERMINED,
            ~pl.col("language").is_in(list(listed)),
            pl.col("confidence") >= settings.confidence,
        )
        # Counted last: it is the only condition that reads whole texts.
        .filter(pl.col("text").str.count_matches(r"\p{L}") >= settings.letters)
    )
    return failing.select(
        pl.col("row").cast(pl.UInt32),
        pl.lit("language").alias("reason"),
        pl.col("confidence").cast(pl.Float64).alias("value"),
        pl.lit(settings.confidence, dtype=pl.Float64).alias("threshold"),
    )


def _sample(texts: pl.Series) -> pl.Series:
    """At most `SAMPLE` characters of each text on one line, without URLs, fenced code and markup."""
    frame = texts.fill_null("").rename("text").to_frame()
    head = frame.select(pl.col("text").str.slice(0, SAMPLE * 3 // 2)).to_series()
    # Most texts begin with prose; only where something is to be left out is a longer stretch worth reading.
    cluttered = head.str.contains(r"://|[`<]|\s{4}").arg_true()
    if cluttered.len():
        longer = texts.gather(cluttered).fill_null("").str.slice(0, _READ)
        plain = longer.str.replace_all(r"https?://\S+|```[^`]*(?:```|\z)|`[^`\n]*`|<[^<>\n]*>", " ")
        head = head.clone().scatter(cluttered, plain)
    return head.str.replace_all(r"[\s\x00]+", " ").str.strip_chars().str.slice(0, SAMPLE)


def _scripts(samples: pl.Series, rows: NDArray[np.int64]) -> pl.DataFrame:
    """row, sample, and where the script decides: language and confidence (else null)."""
    frame = pl.DataFrame({"row": pl.Series(rows, dtype=pl.UInt32), "sample": samples})
    counted = frame.with_columns(
        han=pl.col("sample").str.count_matches(r"[\p{Han}〇]"),
        kana=pl.col("sample").str.count_matches(r"[\p{Hiragana}\p{Katakana}ー]"),
        hangul=pl.col("sample").str.count_matches(r"\p{Hangul}"),
        # Words of other scripts: a Han character weighs about as much as one.
        words=pl.col("sample").str.count_matches(
            r"[\p{L}--\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}][\p{L}\p{M}'’--\p{Han}]*"
        ),
    )
    # Hangul is written in words of about three characters.
    han, kana, hangul, words = (pl.col(name).cast(pl.Float32) for name in ("han", "kana", "hangul", "words"))
    east = han + kana + hangul
    language = (
        pl.when(east + words == 0)
        .then(pl.lit(UNDETERMINED))
        .when((hangul / 3 >= words) & (hangul > han + kana))
        .then(pl.lit("ko"))
        .when((han + kana >= words) & (kana > 0) & (kana >= _KANA_SHARE * (han + kana)))
        .then(pl.lit("ja"))
        .when((han + kana >= words) & (han > 0))
        .then(pl.lit("zh"))
    )
    confidence = pl.when(east + words == 0).then(0.0).otherwise(east / (east + words))
    return counted.select("row", "sample", language=language, confidence=confidence.cast(pl.Float32))


@inner
def _is_clutter(data: NDArray[np.uint8], at: int, stop: int) -> bool:
    """Whether code, markup or a URL begins here."""
    if data[at] == 0x60 or data[at] == 0x3C:
        return True
    return bool(data[at] == 0x3A and at + 2 < stop and data[at + 1] == 0x2F and data[at + 2] == 0x2F)


@inner
def _lower(out: NDArray[np.uint8], start: int, stop: int) -> None:
    """Lower-case ASCII in place."""
    for at in range(start, stop):
        out[at] |= 0x20 * (0x41 <= out[at] <= 0x5A)


@inner
def _cut_plain(data: NDArray[np.uint8], start: int, stop: int, out: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """Write the sample of one text, a blank on both sides, to `out` from `at`; what the text is, and the end of it.

    The same sample as `_sample` makes, for texts whose head is ASCII without clutter.
    """
    begin, spaces, letters, capitals = at, 0, 0, 0
    out[at] = 0x20
    at += 1
    for place in range(start, min(stop, start + _HEAD)):
        byte = data[place]
        if byte >= 0x80 or _is_clutter(data, place, stop):
            return _NOT_PLAIN, begin
        if byte == 0x20 or 0x09 <= byte <= 0x0D or byte == 0:
            spaces = 0 if byte == 0 else spaces + 1
            if spaces == 4:
                return _NOT_PLAIN, begin
            if out[at - 1] != 0x20 and at <= begin + SAMPLE:
                out[at] = 0x20
                at += 1
            continue
        spaces = 0
        if at <= begin + SAMPLE:
            letter = 0x61 <= byte | 0x20 <= 0x7A
            letters += letter
            capitals += letter and byte < 0x60
            out[at] = byte
            at += 1
    if letters == 0:
        return _NO_LETTERS, begin
    if letters == capitals:
        _lower(out, begin, at)
    if out[at - 1] != 0x20:
        out[at] = 0x20
        at += 1
    return _PLAIN, at


@kernel
def _cut_all(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    states: NDArray[np.uint8],
    out: NDArray[np.uint8],
    bounds: NDArray[np.int64],
) -> int:
    """Write what every text is to `states`, the plain samples side by side, and where they end; how many there are."""
    count, at = 0, int(np.int64(0))
    for text in range(states.shape[0]):
        states[text], at = _cut_plain(data, offsets[text], offsets[text + 1], out, at)
        if states[text] == _PLAIN:
            count += 1
            bounds[count] = at
    return count


def _plain_samples(texts: TextBuffer) -> tuple[NDArray[np.uint8], TextBuffer]:
    """What each text is, and the samples of the plain ones."""
    states, bounds = np.empty(texts.size, np.uint8), np.zeros(texts.size + 1, np.int64)
    out = np.empty(texts.size * (SAMPLE + 2) + 2, np.uint8)
    count = _cut_all(*texts, states, out, bounds)
    return states, TextBuffer(out, bounds[: count + 1])


def load_kernels(texts: TextBuffer) -> None:
    """Load model and kernels; `texts`: one plain sentence at least. For a process that others are forked from."""
    states, samples = _plain_samples(texts)
    classify(*samples, np.ones(int((states == _PLAIN).sum()), dtype=np.int64))


def _predicted(rows: NDArray[np.int64], samples: TextBuffer, ascii_only: NDArray[np.bool_]) -> pl.DataFrame:
    """row, language and confidence by the model. samples: see `lid.classify`; they are used up."""
    short = np.diff(samples.offsets) < _SHORT + 2
    # Only short texts need to know what else is plausible; one label takes the model half the time of three.
    labels, values = classify(*samples, np.where(short & ascii_only, 3, 1))
    best, confidences = labels[:, 0].astype(np.int64), values[:, 0]
    english = labels == load().labels.index("en")
    likely = np.where(english, values, 0).max(axis=1)
    # English for a short ASCII text where the model is unsure and English plausible.
    doubted = short & ascii_only & (best >= 0) & ~english[:, 0] & (confidences < _SURE) & (likely >= _PLAUSIBLE)
    best[doubted] = load().labels.index("en")
    confidences = np.where(doubted, likely, np.where(best < 0, 0, np.minimum(confidences, 1)))
    return pl.DataFrame(
        {"row": rows, "language": _codes().gather(best), "confidence": confidences},
        schema={"row": pl.UInt32, "language": pl.String, "confidence": pl.Float32},
    )


@cache
def _codes() -> pl.Series:
    """The code of each label of the model; last the one for no label."""
    return pl.Series([*(_CODES.get(code, code) for code in load().labels), UNDETERMINED])
