"""The kernel for lid.176 against fastText's own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.cleaning import language
from datakit.kernels import lid
from datakit.kernels.buffers import to_buffer

SENTENCES = [
    "The answer is 42",
    "This is a perfectly ordinary sentence about selling software to companies.",
    "Bonjour, comment allez-vous aujourd'hui ?",
    "Guten Tag, wie geht es Ihnen heute? Straße und Öl.",
    "¿Dónde está la biblioteca más cercana?",
    "Привет, как дела сегодня?",
    "مرحبا، كيف حالك اليوم؟",
    "नमस्ते दुनिया",
    "ไทยภาษา",
    "你好，世界 hello",
    "こんにちは世界",
    "안녕하세요",
    "x",
    "12345 !!!",
    "👍👍 🙂",
    "a" * 128,
]


@pytest.mark.parametrize("wanted", [1, 3])
def test_labels_and_probabilities_are_those_of_fasttext(wanted: int) -> None:
    binding = pytest.importorskip("fasttext.FastText").fasttext
    model = binding.fasttext()
    model.loadModel(str(lid.MODEL))
    words = " ".join(SENTENCES).split(" ")
    texts = [*SENTENCES, *(" ".join(words[place : place + 3]) for place in range(len(words)))]
    buffer = to_buffer(pl.Series([f" {text} " for text in texts]))
    labels, values = lid.classify(buffer.data.copy(), buffer.offsets, np.full(len(texts), wanted))
    names, probabilities = model.multilinePredict([text + "\n" for text in texts], wanted, 0.0, "strict")
    for place, text in enumerate(texts):
        known = [f"__label__{lid.load().labels[label]}" for label in labels[place] if label >= 0]
        assert known == names[place], text
        np.testing.assert_allclose(values[place][: len(known)], probabilities[place], rtol=1e-6, err_msg=text)


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.ftz"
    other.write_bytes(b"\0" * 200)
    monkeypatch.setattr(lid, "MODEL", other)
    with pytest.raises(ValueError, match="not lid"):
        lid.load.__wrapped__()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet="aB Z9.:/<`\n\t\r\x00\x1f\x7f", max_size=260), max_size=4))
def test_plain_heads_give_the_sample_of_any_text(texts: list[str]) -> None:
    series = pl.Series(texts, dtype=pl.String)
    states, samples = language._plain_samples(to_buffer(series))
    plain = [samples.data[start:end].tobytes().decode() for start, end in zip(samples.offsets, samples.offsets[1:])]  # noqa: B905
    for state, sample in zip(states, language._sample(series), strict=True):
        if state == language._NO_LETTERS:
            assert not any(character.isalpha() for character in sample)
        elif state == language._PLAIN:
            assert plain.pop(0) == f" {sample.lower() if sample.isupper() else sample} "
    assert not plain
