"""[clean.rules]: which rules judge which kind of row, and their thresholds.

```toml
[clean.rules.text]
gopher_words = { min = 30 }          # max stays as shipped
c4_curly_braces = false              # off

[clean.rules.text.zh]                # for texts in Chinese only; wins over [clean.rules.text]
fineweb_newlines = { max = 0.25 }

[clean.rules.messages]
repetition_lines = { max = 0.5, units = 100 }
gopher_words = { min = 5 }           # switches on what is off by default for dialogues
```

A field that is not set keeps the shipped value for the kind and language: `datakit.cleaning.rules` holds
them, docs/rules.md lists them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from datakit.recipe.base import Table


class Limit(Table):
    """One rule: on or off, and from where on it drops. Written as a table, or as true or false."""

    on: bool | None = Field(default=None, description="false switches the rule off")

    @model_validator(mode="before")
    @classmethod
    def _from_switch(cls, value: Any) -> Any:
        return {"on": value} if isinstance(value, bool) else value

    def values(self) -> dict[str, float]:
        """The thresholds that were set."""
        return {name: value for name, value in self.model_dump(exclude={"on"}).items() if value is not None}


class Max(Limit):
    """Drops above `max`."""

    max: float | None = Field(default=None, ge=0, description="a row above it is dropped")


class Min(Limit):
    """Drops below `min`."""

    min: float | None = Field(default=None, ge=0, description="a row below it is dropped")


class Bounds(Min, Max):
    """Drops below `min` and above `max`."""

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class RepetitionMax(Max):
    """Drops above `max`, in texts of at least so many units: a short refrain is no loop."""

    units: int | None = Field(
        default=None, ge=0, description="units (words, Chinese characters) from which on the rule holds"
    )


class NoiseMax(Max):
    """Drops above `max`, in texts of at least so many characters: :-) is no noise."""

    characters: int | None = Field(
        default=None, ge=0, description="characters that are not white space, from which on the rule holds"
    )


class LinesMax(Max):
    """Drops above `max`, in texts of at least so many lines: of one line there is no share."""

    lines: int | None = Field(default=None, ge=0, description="lines from which on the rule holds")


class LinesMin(Min):
    """Drops below `min`, in texts of at least so many lines."""

    lines: int | None = Field(default=None, ge=0, description="lines from which on the rule holds")


class LanguageRules(Table):
    """One field a rule; a row gets the first reason in the order of `datakit.cleaning.rules.REASONS`."""

    empty: Limit = Field(default=Limit(), description="nothing but white space")
    too_short: Min = Field(default=Min(), description="characters")
    too_long: Max = Field(default=Max(), description="characters")
    encoding_damage: Max = Field(
        default=Max(), description="share of characters that stand for nothing, 锟斤拷, 烫烫烫"
    )
    blob: Max = Field(default=Max(), description="longest run of base64 or hexadecimal characters, outside URLs")
    blob_dense: Max = Field(default=Max(), description="longest stretch of ASCII almost without white space (scripts)")
    symbol_noise: NoiseMax = Field(default=NoiseMax(), description="share of symbols among characters")
    repetition_run: Max = Field(
        default=Max(), description="longest run of one letter, digit, Chinese character or emoji"
    )
    repetition_paragraphs: RepetitionMax = Field(default=RepetitionMax(), description="share of repeated paragraphs")
    repetition_paragraph_characters: RepetitionMax = Field(
        default=RepetitionMax(), description="share of characters in repeated paragraphs"
    )
    repetition_lines: RepetitionMax = Field(default=RepetitionMax(), description="share of repeated lines")
    repetition_line_characters: RepetitionMax = Field(
        default=RepetitionMax(), description="share of characters in repeated lines"
    )
    repetition_top_2_gram: RepetitionMax = Field(
        default=RepetitionMax(), description="share of characters in the most frequent 2-gram of words"
    )
    repetition_top_3_gram: RepetitionMax = Field(default=RepetitionMax(), description="the same for 3-grams")
    repetition_top_4_gram: RepetitionMax = Field(default=RepetitionMax(), description="the same for 4-grams")
    repetition_duplicate_5_gram: RepetitionMax = Field(
        default=RepetitionMax(), description="share of characters in repeated 5-grams of words"
    )
    repetition_duplicate_6_gram: RepetitionMax = Field(default=RepetitionMax(), description="the same for 6-grams")
    repetition_duplicate_7_gram: RepetitionMax = Field(default=RepetitionMax(), description="the same for 7-grams")
    repetition_duplicate_8_gram: RepetitionMax = Field(default=RepetitionMax(), description="the same for 8-grams")
    repetition_duplicate_9_gram: RepetitionMax = Field(default=RepetitionMax(), description="the same for 9-grams")
    repetition_duplicate_10_gram: RepetitionMax = Field(default=RepetitionMax(), description="the same for 10-grams")
    gopher_words: Bounds = Field(default=Bounds(), description="words")
    gopher_word_length: Bounds = Field(default=Bounds(), description="mean characters a word")
    gopher_hashes: Max = Field(default=Max(), description="# a word")
    gopher_ellipses: Max = Field(default=Max(), description="ellipses a word")
    gopher_bullet_lines: Max = Field(default=Max(), description="share of lines that begin with a bullet")
    gopher_ellipsis_lines: Max = Field(default=Max(), description="share of lines that end in an ellipsis")
    gopher_letter_words: Min = Field(default=Min(), description="share of words with a letter")
    gopher_stop_words: Min = Field(default=Min(), description="different English stop words, of 8")
    gopher_stop_words_zh: Min = Field(default=Min(), description="different Chinese stop words, of 22")
    c4_lorem_ipsum: Max = Field(default=Max(), description="times of 'lorem ipsum'")
    c4_curly_braces: Max = Field(default=Max(), description="times of {")
    c4_javascript_lines: Max = Field(default=Max(), description="share of lines that speak of JavaScript")
    c4_policy_lines: Max = Field(default=Max(), description="share of lines on cookies, privacy, terms of use")
    c4_unpunctuated_lines: LinesMax = Field(
        default=LinesMax(), description="share of lines without an English end mark"
    )
    c4_short_lines: Max = Field(default=Max(), description="share of lines of fewer than 3 words")
    c4_sentences: Min = Field(default=Min(), description="sentences in the lines that C4 would keep")
    fineweb_line_punctuation: LinesMin = Field(
        default=LinesMin(), description="share of lines with an end mark of any script"
    )
    fineweb_short_lines: Max = Field(default=Max(), description="share of lines of at most 30 characters")
    fineweb_duplicate_lines: Max = Field(
        default=Max(), description="share of characters, line feeds aside, in repeated lines"
    )
    fineweb_newlines: Max = Field(default=Max(), description="line feeds a word")


class KindRules(LanguageRules):
    """The rules of one kind of row; tables inside hold for one language and win over the fields here."""

    en: LanguageRules = Field(default=LanguageRules(), description="for rows in English")
    zh: LanguageRules = Field(default=LanguageRules(), description="for rows in Chinese (also Cantonese and Wu)")
    other: LanguageRules = Field(default=LanguageRules(), description="for rows in any other language")

    @field_validator("en", "zh", "other", mode="before")
    @classmethod
    def _a_table(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a table of rules, as in [clean.rules.text.zh]")
        return value


class RulesSettings(Table):
    """The [clean.rules] table: one table a kind of row."""

    text: KindRules = Field(default=KindRules(), description="texts: web pages, articles, book pages")
    messages: KindRules = Field(default=KindRules(), description="dialogues; the assistant's words are judged")
    preference: KindRules = Field(default=KindRules(), description="pairs; the chosen answer is judged")
    unpaired: KindRules = Field(default=KindRules(), description="answers with a label; the answer is judged")
    prompt: KindRules = Field(default=KindRules(), description="prompts without an answer")
