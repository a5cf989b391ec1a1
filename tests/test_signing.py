"""One pass for band keys and blanked hashes: it gives what the two passes give."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.kernels.minhash import sign_bands
from datakit.kernels.signing import sign_and_blank
from datakit.kernels.variants import blank_hash

ODD = st.text(alphabet="aB 1-,.:/−二三百 中文Ⅷ②½ßİǄｶﾞ٣é\u0301\n🙂_", max_size=24)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(ODD, st.text(max_size=12)), max_size=8))
def test_both_are_what_each_gives_alone(texts: list[str]) -> None:
    series = pl.Series([*texts, None], dtype=pl.String)
    signed = sign_and_blank(series)
    assert (signed.bands == sign_bands(series)).all()
    assert (signed.blank == blank_hash(series)).all()


@pytest.mark.parametrize("keep_apart", [(), ("中文", "ab")])
def test_terms_that_are_kept_apart(keep_apart: tuple[str, ...]) -> None:
    series = pl.Series(["报价 128 元 中文", "报价 256 元 AB", "", "price -5, 12,800.50 on 2024-03-18", "三百"] * 2000)
    signed = sign_and_blank(series, 10, 4, keep_apart)
    assert (signed.bands == sign_bands(series, 10, 4)).all()
    assert (signed.blank == blank_hash(series, keep_apart)).all()
