"""The language of each text: scripts where they decide, fastText's lid.176 on a bounded sample elsewhere.

Chinese, Japanese and Korean are told by their characters, which is surer on short texts than any model and costs
nothing. For the rest the model sees at most `SAMPLE` characters, without URLs and code. The model is shipped
(datakit/cleaning/data, CC-BY-SA-3.0, see NOTICE there) and loaded once a process, at the first text that needs it.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Protocol, cast

import polars as pl

from datakit.recipe.language import Language

MODEL = Path(__file__).parent / "data" / "lid.176.ftz"
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


class _Model(Protocol):
    def multilinePredict(  # noqa: N802  (fastText's name)
        self, lines: list[str], k: int, threshold: float, errors: str
    ) -> tuple[list[list[str]], list[list[float]]]: ...


def detect(texts: pl.Series) -> pl.DataFrame:
    """The language of each text and how sure that is: `language`, `confidence` (0 to 1).

    Languages are ISO 639-1 codes (639-3 where there is none; "und" where nothing can be told).
    Chinese of either script is "zh", also with English product names in it. A null is "und".
    """
    scores = _scripts(_sample(texts))
    undecided = scores.filter(pl.col("language").is_null())
    if undecided.height:
        codes, confidences = _predict(undecided["sample"].to_list())
        predicted = pl.DataFrame(
            {"row": undecided["row"], "language": codes, "confidence": confidences},
            schema={"row": pl.UInt32, "language": pl.String, "confidence": pl.Float32},
        )
        scores = scores.update(predicted, on="row")
    return scores.select("language", "confidence")


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


def _scripts(samples: pl.Series) -> pl.DataFrame:
    """row, sample, and where the script decides: language and confidence (else null)."""
    frame = pl.DataFrame({"sample": samples}).with_row_index("row")
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


def _predict(samples: list[str]) -> tuple[list[str], list[float]]:
    """Codes and probabilities by the model."""
    # The model tells case apart and knows few sentences in capitals.
    lines = [(sample.lower() if sample.isupper() else sample) + "\n" for sample in samples]
    codes, confidences = [UNDETERMINED] * len(lines), [0.0] * len(lines)
    short = [place for place, sample in enumerate(samples) if len(sample) < _SHORT]
    long = [place for place, sample in enumerate(samples) if len(sample) >= _SHORT]
    # Only short texts need to know what else is plausible; one label costs the model three quarters of three.
    for places, wanted in ((short, 3), (long, 1)):
        labels, probabilities = _model().multilinePredict([lines[place] for place in places], wanted, 0.0, "strict")
        for place, names, values in zip(places, labels, probabilities, strict=True):
            code, confidence = _choose(samples[place], [name.removeprefix("__label__") for name in names], list(values))
            codes[place], confidences[place] = _CODES.get(code, code), min(confidence, 1.0)
    return codes, confidences


def _choose(sample: str, names: list[str], values: list[float]) -> tuple[str, float]:
    """The best label; English for a short ASCII text where the model is unsure and English plausible."""
    if not names:
        return UNDETERMINED, 0.0
    if names[0] != "en" and len(sample) < _SHORT and values[0] < _SURE and sample.isascii():
        english = dict(zip(names, values, strict=True)).get("en", 0.0)
        if english >= _PLAUSIBLE:
            return "en", float(english)
    return names[0], float(values[0])


@cache
def _model() -> _Model:
    # The binding itself: the wrapper around it prints warnings and fails with some numpy versions.
    from fasttext.FastText import fasttext as binding

    model = binding.fasttext()
    model.loadModel(str(MODEL))
    return cast(_Model, model)
