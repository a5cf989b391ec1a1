"""A proved row for eyes: whole, with every token's part, and harmless whatever the row says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preference_rows import pair, turns
from tiny_models import tiny_model

pytest.importorskip("transformers", reason="transformers is in datakit[train], which is not installed")

from datakit.masks.codes import CODES
from datakit.masks.findings import RowFinding
from datakit.masks.labels import IGNORED
from datakit.masks.page import rows_page
from datakit.masks.prover import Prover
from datakit.masks.replay import Replayer
from datakit.masks.show import PARTS, Shown, bracket_legend, bracketed, legend, painted, pieces, said, visible
from datakit.recipe.masks import MaskSettings
from datakit.template.model import load_model
from datakit.template.render import Renderer

MODEL = load_model(tiny_model("chatml"))


def of_text(text: str, part: str = "context") -> Shown:
    encoded = MODEL.tokenizer.encode(text, add_special_tokens=False)
    labels = [IGNORED if part == "context" else number for number in encoded.ids]
    return Shown("rows.jsonl:1", text, encoded.ids, labels, encoded.offsets, [part] * len(encoded.ids))


def of_dialogue(*said: tuple[str, str], template: str = "chatml") -> Shown:
    row = {"id": "0" * 16, "source": "对话.jsonl", "line": 3, "messages": turns(*said), "tools": None, "meta": "{}"}
    prover = Prover(load_model(tiny_model("chatml", template)), MaskSettings())
    return Shown.of_proved(prover.show(row))


DIALOGUE = of_dialogue(("user", "价格是多少？"), ("assistant", "一年 12,000 元 😀"))


def test_brackets_around_what_is_trained() -> None:
    assert bracketed(DIALOGUE) == (
        "<|im_start|>user⏎\n价格是多少？<|im_end|>⏎\n<|im_start|>assistant⏎\n[+一年 12,000 元 😀+][!<|im_end|>!]⏎\n"
    )
    assert DIALOGUE.title == "对话.jsonl:3"


def test_injected_words_are_marked() -> None:
    shown = bracketed(of_dialogue(("user", "hi"), ("assistant", "Yes."), template="default_system"))
    assert "[~You are Tiny. 你是小助手。~]" in shown and "[+Yes.+]" in shown


def test_colours_and_ids() -> None:
    text = painted(DIALOGUE)
    assert text.plain == "".join(said(piece) for piece in pieces(DIALOGUE))
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles["<|im_end|>"] == "white on red" and styles["<|im_start|>"] == "dim"
    with_ids = painted(DIALOGUE, ids=True).plain
    assert [int(number) for found in re.findall(r"⟨([\d ]+)⟩", with_ids) for number in found.split()] == DIALOGUE.ids
    assert bracketed(DIALOGUE, ids=True).count("⟨") == with_ids.count("⟨")


def test_legends_name_every_part() -> None:
    for words in PARTS.values():
        assert words in legend().plain and words in bracket_legend()


def test_a_character_of_several_tokens_is_one_piece() -> None:
    row = of_text("好😀龘a")
    found = {piece.text: piece.ids for piece in pieces(row)}
    assert len(row.ids) > 4 and list(found) == ["好", "😀", "龘", "a"]
    assert sum(map(len, found.values())) == len(row.ids) and len(found["😀"]) > 1


def test_a_half_trained_character_is_not_context() -> None:
    row = of_text("😀")
    half = Shown(row.title, row.text, row.ids, row.labels, row.offsets, ["context"] * (len(row.ids) - 1) + ["trained"])
    assert [piece.part for piece in pieces(half)] == ["trained"]


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab 价格多少龘😀é\n\t<|>👨‍👩‍👧"), max_size=30))
def test_pieces_are_the_whole_row(text: str) -> None:
    row = of_text(text)
    found = list(pieces(row))
    assert "".join(piece.text for piece in found) == text
    assert [number for piece in found for number in piece.ids] == list(row.ids)


def test_blanks_that_offsets_leave_out_are_shown() -> None:
    row = Shown("r:1", " a b ", [1, 2], [1, 2], [(1, 2), (3, 4)], ["context", "trained"])
    assert [piece.text for piece in pieces(row)] == [" a", " b", " "]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x07", "a␛[31mb␇"),
        ("a\r\nb\rc\td", "a␍⏎\nb␍c⇥\td"),
        ("\u202eabc\ufeff\u2066", "⟨U+202E⟩abc⟨U+FEFF⟩⟨U+2066⟩"),
        ("\x7f\x85\ud800", "⟨U+007F⟩⟨U+0085⟩⟨U+D800⟩"),
        ("中文 — 👨‍👩‍👧", "中文 — 👨‍👩‍👧"),
    ],
)
def test_signs_that_steer_are_named(text: str, shown: str) -> None:
    assert visible(text) == shown


# the sides of pairs


def test_both_sides_of_a_pair() -> None:
    row = Replayer(MODEL, Renderer(MODEL), "dpo").replay([pair("多少钱？", "一百元。", "一百元。")])[0]
    chosen, rejected = Shown.of_replayed(row, MODEL.stop_ids)
    assert chosen.title == "rows.jsonl:1 chosen" and rejected.title == "rows.jsonl:1 rejected"
    assert [finding.code for finding in chosen.findings] == ["M22"] and not rejected.findings
    assert "[+一百元。+][!<|im_end|>!][+⏎\n+]" in bracketed(chosen)


# the page


class Outline(HTMLParser):
    """Tags that a page opens, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.hovers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.hovers += [value or "" for name, value in attrs if name == "title"]
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


FINDINGS = [
    {"code": "M7", "reach": "row", "severity": "warning", "count": 1_234, "rows": ["a:1"], "detail": ""},
    {"code": "M5", "reach": "template", "severity": "note", "count": 1, "rows": [], "detail": ""},
]


def test_the_page_has_ids_on_hover_and_an_example_of_each_finding() -> None:
    example = Shown("a:1", "x", [5], [5], [(0, 1)], ["trained"], [RowFinding("M7", "reasoning of a:1")])
    page = Outline(rows_page("clean@3f2a", [DIALOGUE], FINDINGS, {"M7": [example]}))
    assert f"id {MODEL.eos_id}; label {MODEL.eos_id}" in page.hovers
    assert len([hover for hover in page.hovers if "not trained" in hover]) > 3
    assert "一年 12,000 元" in page.text.replace("\n", "") and "1,234" in page.text
    assert CODES["M7"].fix in page.text and "M7: reasoning of a:1" in page.text
    assert page.text.count(CODES["M5"].title) == 1  # in the table; no row shows it
    trained = sum(label != IGNORED for label in DIALOGUE.labels)
    assert f"{trained} of {len(DIALOGUE.ids)} tokens trained" in page.text


def test_a_row_can_do_nothing_to_the_page() -> None:
    bad = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"' \x00\u202e"
    row = Shown(
        f"{bad}:1", bad, [1, 2], [1, IGNORED], [(0, 9), (9, len(bad))], ["trained", "context"], [RowFinding("M28", bad)]
    )
    html = rows_page(bad, [row], FINDINGS, {"M7": [row]})
    page = Outline(html)
    assert not {"script", "img"} & set(page.tags) and page.tags.count("pre") == 2
    assert "<script>alert(1)</script>" in page.text
    assert "default-src 'none'" in html and "\x00" not in html
    assert not re.search(r"https?://|@import|url\(", html)
    html.encode("utf-8")


def test_a_page_without_findings() -> None:
    assert "Findings" in rows_page("t", [DIALOGUE]) and "None." in rows_page("t", [DIALOGUE])
