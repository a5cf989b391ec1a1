"""The kernels' counts against plain Python, and the definitions in single cases."""

import random
import re
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.kernels.buffers import to_buffer
from datakit.kernels.characters import CJK, CLASS, LETTER, SPACE, SYMBOL, TERMINAL, WORD
from datakit.kernels.lines import LINE_COUNTS, PHRASE_WORDS
from datakit.kernels.statistics import CHINESE_STOP_WORDS, COUNTS, ENGLISH_STOP_WORDS, count, hash_word

CJK_ORDERS = {2: 4, 3: 5, 4: 7, 5: 9, 6: 11, 7: 13, 8: 14, 9: 16, 10: 18}


def has(character, bit):
    return bool(CLASS[ord(character)] & bit)


def strip(text):
    while text and has(text[0], SPACE):
        text = text[1:]
    while text and has(text[-1], SPACE):
        text = text[:-1]
    return text


def lower(text):
    return "".join(c.lower() if "A" <= c <= "Z" else c for c in text)


def cut_units(text):
    """Units as (start, text)."""
    units, run = [], ""
    for at, character in enumerate(text + " "):
        alone = has(character, CJK)
        if has(character, WORD) and not alone:
            run += character
            continue
        if run:
            units.append((at - len(run), run))
            run = ""
        if alone:
            units.append((at, character))
    return units


def count_repeats(things):
    seen, repeats, characters = set(), 0, 0
    for thing, length in things:
        if thing in seen:
            repeats, characters = repeats + 1, characters + length
        seen.add(thing)
    return repeats, characters


def score_grams(units):
    cjk = 2 * sum(has(unit[0], CJK) for unit in units) > len(units)
    scores = {}
    for words in range(2, 11):
        n = CJK_ORDERS[words] if cjk else words
        grams = [tuple(units[at : at + n]) for at in range(len(units) - n + 1)]
        size = lambda gram: sum(map(len, gram)) + words - 1  # noqa: E731, B023
        if words < 5:
            top, times = Counter(grams).most_common(1)[0] if grams else ((), 0)
            scores[f"top_{words}_gram_characters"] = times * size(top) if times > 1 else 0
            continue
        seen, at, total = set(), 0, 0
        while at < len(grams):
            if grams[at] in seen:
                total += size(grams[at])
                at += n
            else:
                seen.add(grams[at])
                at += 1
        scores[f"duplicate_{words}_gram_characters"] = total
    return scores


def count_sentences(line):
    sentences, marked, ended = 1, False, False
    for character in line:
        if character in ".?!":
            marked = True
        elif character in "。？！":
            ended = True
        elif has(character, SPACE):
            ended, marked = ended or marked, False
        elif character not in "\"')]’”」』）":
            sentences += ended
            marked = ended = False
    return sentences


POLICY = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]


def phrases_of(units, start, end):
    """The phrases whose last unit lies between the two characters, as sets of the line and times of lorem ipsum."""
    found, lorem = set(), 0
    for index, (at, _) in enumerate(units):
        if not start <= at < end:
            continue
        last = " " + " ".join(unit for _, unit in units[max(0, index - 2) : index + 1])
        if last.endswith(" javascript"):
            found.add("javascript")
        if any(last.endswith(" " + phrase) for phrase in POLICY):
            found.add("policy")
        lorem += last.endswith(" lorem ipsum")
    return found, lorem


def count_lines(text, units):
    tally = dict.fromkeys(LINE_COUNTS, 0)
    lines, paragraphs, paragraph, at = [], [], [], 0
    for raw in [*text.split("\n"), ""]:
        line, begin = strip(raw), at
        at += len(raw) + 1
        if not line:
            if paragraph:
                paragraphs.append((tuple(paragraph), len("\n".join(paragraph))))
            paragraph = []
            continue
        lines.append((line, len(line)))
        paragraph.append(line)
        ellipsis = line.endswith(("...", "…"))
        tally["bullet_lines"] += line.startswith(("•", "-"))
        tally["ellipsis_lines"] += ellipsis
        tally["terminal_lines"] += has(line[-1], TERMINAL)
        tally["short_lines"] += len(line) <= 30
        phrases, lorem = phrases_of(units, begin, at)
        tally["lorem_ipsum"] += lorem
        tally["javascript_lines"] += "javascript" in phrases
        tally["policy_lines"] += "policy" in phrases
        bare = re.sub(r"(\[[0-9]*\])+$", "", line)
        punctuated = bare.endswith((".", "?", "!", '"', "'")) and not bare.endswith("...")
        words = "".join(" " if has(c, SPACE) else c for c in line).split(" ")
        words = [word for word in words if word]
        tally["unpunctuated_lines"] += not punctuated
        tally["few_word_lines"] += len(words) < 3
        if len(words) >= 3 and max(map(len, words)) <= 1000 and not phrases:
            tally["sentences" if punctuated else "open_sentences"] += count_sentences(line)
    if paragraph:
        paragraphs.append((tuple(paragraph), len("\n".join(paragraph))))
    tally["lines"], tally["paragraphs"] = len(lines), len(paragraphs)
    tally["duplicate_lines"], tally["duplicate_line_characters"] = count_repeats(lines)
    tally["duplicate_paragraphs"], tally["duplicate_paragraph_characters"] = count_repeats(paragraphs)
    return tally


def is_damaged(character):
    point = ord(character)
    return (
        (0x80 <= point <= 0x9F and point != 0x85)
        or 0xE000 <= point <= 0xF8FF
        or 0xFDD0 <= point <= 0xFDEF
        or point & 0xFFFE == 0xFFFE
        or point == 0xFFFD
        or 0x40000 <= point <= 0xDFFFF
        or point >= 0xF0000
    )


def count_noise(text):
    wrecks = re.finditer("[锟斤拷锘铪葺烫屯]{3,}", text)
    damaged = sum(map(is_damaged, text))
    damaged += sum(len(w[0]) for w in wrecks if text[max(0, w.start() - 1) : w.start()] not in set("\"'(`‘“《「『（【"))
    aside = re.compile("[|\u2500-\u27bf\U0001f000-\U0001faff]")
    runs = [(m[0][0], len(m[0])) for m in re.finditer(r"(.)\1*", text, re.DOTALL)]
    halves, base, ellipses, longest = 0, 0, 0, 0
    for character, length in runs:
        symbol = has(character, SYMBOL) and not has(character, WORD)
        if has(character, WORD) or (aside.match(character) and character >= "\u2600"):
            longest = max(longest, length)
        if aside.match(character) or has(character, SPACE):
            continue
        halves += (1 if character in "\"',:;()[]{}" else 2) if symbol else 0
        base += 1 if symbol else length
        ellipses += symbol and (character == "…" or (character == "." and length > 2))
    encoded, dense = longest_blobs(text)
    return {
        "newlines": text.count("\n"), "hashes": text.count("#"), "braces": text.count("{"), "ellipses": ellipses,
        "damaged": damaged, "half_symbols": halves, "symbol_base": base, "longest_run": longest,
        "longest_encoded": encoded, "longest_dense": dense,
    }  # fmt: skip


def longest_blobs(text):
    # The two slashes of :// still stand before the URL; the second is where it begins, and it ends before its end.
    bare = re.sub(
        r"://(?:[^\x00-\x20\x7f-\U0010ffff\"')<>\\\]|}])*", lambda url: ":/" + "\x00" * (len(url[0]) - 2), text
    )
    encoded = max((len(re.findall(r"(.)\1*", run)) for run in re.findall(r"[A-Za-z0-9+/=_-]+", bare)), default=0)
    dense, densest, piece = 0, 0, 0
    for at, character in enumerate(bare):
        if character == "\x00" and text[at] != "\x00":
            dense = 0
        elif at and text[at - 1] == text[at]:
            pass
        elif not "\x20" < character < "\x7f":
            dense = dense if character == " " and piece >= 20 else 0
        else:
            dense = max(0, dense - 10) if character == '"' else dense + 1
        densest = max(densest, dense)
        piece = 0 if has(text[at], SPACE) else piece + 1
    return encoded, densest


def reference(text):
    located = cut_units(text)
    units = [lower(unit) for _, unit in located]
    cjk = [unit for unit in units if has(unit[0], CJK)]
    return {
        "characters": len(text),
        "non_space": sum(not has(c, SPACE) for c in text),
        "units": len(units),
        "cjk_units": len(cjk),
        "unit_characters": sum(map(len, units)),
        "letter_words": sum(any(has(c, LETTER) for c in unit) for unit in units if not has(unit[0], CJK)),
        "english_stop_words": len(set(units) & set(ENGLISH_STOP_WORDS)),
        "chinese_stop_words": len((set(units) | set(text) & {"·"}) & set(CHINESE_STOP_WORDS)),
        **count_noise(text),
        **count_lines(text, [(at, lower(unit)) for at, unit in located]),
        **score_grams(units),
    }


def counted(texts):
    rows = count(to_buffer(pl.Series(texts, dtype=pl.String)))
    return [dict(zip(COUNTS, row, strict=True)) for row in rows.tolist()]


PIECES = [
    "the", "The", "of", "that", "have", "with", "be", "word", "don't", "3.5", "x1", "naïve", "Ärger", "привет",
    "ﬁne", "的", "年", "在", "好", "你好", "世界", "价格", "カナ", "한국어", "哈", "锟斤拷", "烫", "“锟斤拷",
    "屯屯屯", "\ufffd", "\ue000", " ", " ", " ", " ", "  ", "\n", "\n\n", "\n \n", "\t", "\r\n", "\u3000", ".",
    ". ", "。", "！", "?", "...", "…", "……", ",", "，", "#", "{", "}", "- ", "• ", "----", "|", "─",
    "[12]", "[]", "]", '"', "'", "”", "_", "=", "+/", "://", "http://a.b/c?d=e ",
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "f(x){a=b;c}", "😀", "😀😀", "·", "javascript", "JavaScript",
    "terms of use", "privacy policy", "use of cookies", "uses cookies", "Lorem ipsum", "use", "policy",
    "cookies", "\x85", "\x80", "\x00",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=80).map("".join), max_size=5))
def test_counts_are_those_of_plain_python(texts):
    for text, row in zip(texts, counted(texts), strict=True):
        assert row == reference(text)


def mixed_texts(seed, texts=120):
    """Texts of words, phrases and lines that repeat in all lengths."""
    rng = random.Random(seed)
    for _ in range(texts):
        vocabulary = rng.sample(PIECES, rng.randint(2, len(PIECES)))
        phrases = ["".join(rng.choices(vocabulary, k=rng.randint(1, 12))) for _ in range(5)]
        gap = rng.choice(["", " ", " ", "\n"])
        yield gap.join(rng.choice(phrases if rng.random() < 0.6 else vocabulary) for _ in range(rng.randint(1, 200)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_counts_of_long_mixed_texts_are_those_of_plain_python(seed):
    texts = list(mixed_texts(seed))
    for text, row in zip(texts, counted(texts), strict=True):
        assert row == reference(text)


def test_counts_do_not_depend_on_neighbours():
    texts = [*mixed_texts(4, texts=30), "", "a"]
    together = count(to_buffer(pl.Series(texts)))
    alone = np.concatenate([count(to_buffer(pl.Series([text]))) for text in texts])
    assert (together == alone).all()


def test_nothing_gives_no_rows_and_null_counts_as_empty():
    assert counted([]) == []
    assert counted([None, ""]) == [dict.fromkeys(COUNTS, 0)] * 2


def test_greedy_duplicates_jump_over_the_repeat():
    # Of "a b c d e" four times, the walk meets each 5-gram once, then jumps five words for each of three repeats.
    (row,) = counted([" ".join("abcde" * 4)])
    assert row["duplicate_5_gram_characters"] == 3 * len("a b c d e")


def test_the_top_gram_must_occur_twice():
    once, twice = counted(["one two three", "one two one two"])
    assert once["top_2_gram_characters"] == 0
    assert twice["top_2_gram_characters"] == 2 * len("one two")


def test_chinese_grams_are_scaled_to_characters():
    # Ten different characters twice: 4 characters stand for 2 words, 9 for 5.
    (row,) = counted(["甲乙丙丁戊己庚辛壬癸" * 2])
    assert row["top_2_gram_characters"] == 2 * (4 + 1)
    assert row["duplicate_5_gram_characters"] == 9 + 4
    assert row["duplicate_6_gram_characters"] == 0


def test_words_are_compared_without_ascii_case():
    (row,) = counted(["The THE the"])
    assert (row["english_stop_words"], row["top_2_gram_characters"]) == (1, 14)


def test_known_words_have_different_hashes():
    words = {*PHRASE_WORDS, *ENGLISH_STOP_WORDS, *CHINESE_STOP_WORDS}
    assert len({hash_word(word) for word in words}) == len(words)


def test_paragraphs_end_at_blank_lines():
    (row,) = counted(["one\ntwo\n \none\ntwo\n\n\nthree\n"])
    assert (row["paragraphs"], row["duplicate_paragraphs"], row["duplicate_paragraph_characters"]) == (3, 1, 7)
    assert (row["lines"], row["duplicate_lines"]) == (5, 2)


def test_sentences_are_those_of_the_lines_that_c4_keeps():
    (row,) = counted(
        [
            'He said "no." She left. It cost 3.50 dollars.[12]\nThis line has no end\nshort one.\n'
            "Please enable JavaScript to go on.\nRead our privacy policy here."
        ]
    )
    assert (row["sentences"], row["open_sentences"]) == (3, 1)
    assert (row["javascript_lines"], row["policy_lines"], row["few_word_lines"]) == (1, 1, 1)


def test_urls_are_no_blobs_but_data_urls_are():
    url, data = counted(["see https://example.com/" + "a1" * 300, "![x](data:image/png;base64," + "aB3d" * 100 + ")"])
    assert url["longest_encoded"] < 20
    assert url["longest_dense"] < 20
    assert data["longest_encoded"] > 390


def test_a_text_about_wrecks_quotes_them():
    quoted, wrecked = counted(["乱码“锟斤拷锟斤拷”是怎么来的", "价格是锟斤拷锟斤拷元"])
    assert (quoted["damaged"], wrecked["damaged"]) == (0, 6)


def test_a_text_of_too_many_units_is_counted_whole_and_compared_in_part(monkeypatch):
    text = "one two\n\nthree four " * 50
    (whole,) = counted([text])
    monkeypatch.setattr("datakit.kernels.statistics.MAX_UNITS", 8)
    (part,) = counted([text])
    assert part["units"] == whole["units"] == 200
    assert part["lines"] == whole["lines"]
    assert part["top_2_gram_characters"] == 2 * len("one two")
    assert part["duplicate_lines"] == 6
