from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.records import KINDS, MESSAGES, SCHEMAS, Kind
from datakit.segments import joined, to_segments, with_texts

TEXT = st.text(alphabet="ab 好。\n", max_size=6)
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool"]),
        "content": st.none() | TEXT,
        "reasoning_content": st.none() | TEXT,
        "tool_calls": st.none() | st.just('[{"function": {"name": "f", "arguments": "{}"}}]'),
        "tool_call_id": st.none(),
        "name": st.none(),
        "train": st.none() | st.booleans(),
    }
)


@st.composite
def records(draw: st.DrawFn) -> tuple[Kind, pl.DataFrame]:
    kind = draw(st.sampled_from(KINDS))
    rows = []
    for line in range(draw(st.integers(0, 4))):
        row: dict[str, object] = {
            "id": f"{line:016x}",
            "source": "a",
            "line": line + 1,
            "meta": draw(st.none() | st.just('{"a":1}')),
        }
        for name, dtype in SCHEMAS[kind].items():
            if name not in row:
                row[name] = (
                    draw(st.lists(MESSAGE, max_size=3))
                    if dtype == MESSAGES
                    else draw(TEXT)
                    if dtype == pl.String
                    else draw(st.booleans())
                    if dtype == pl.Boolean
                    else draw(st.none() | st.just(1.5))
                )
        rows.append(row)
    return kind, pl.DataFrame(rows, schema=SCHEMAS[kind])


@given(records())
@settings(deadline=None)
def test_putting_all_texts_back_changes_nothing(made: tuple[Kind, pl.DataFrame]) -> None:
    kind, frame = made
    assert with_texts(frame, kind, to_segments(frame, kind)).equals(frame)


@given(records(), st.randoms())
@settings(deadline=None)
def test_edits_reach_their_place_and_no_other(made: tuple[Kind, pl.DataFrame], random) -> None:
    kind, frame = made
    before = to_segments(frame, kind)
    chosen = pl.Series([random.random() < 0.3 for _ in range(before.height)], dtype=pl.Boolean)
    marked = before.with_columns(pl.when(chosen).then(pl.col("text") + "!").otherwise("text").alias("text"))
    after = to_segments(with_texts(frame, kind, marked.filter(chosen)), kind)
    assert after.equals(marked)


def test_segments_name_role_slot_and_json() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "想",
        "tool_calls": "[]",
        "tool_call_id": None,
        "name": None,
        "train": None,
    }
    asked = {**dict.fromkeys(message), "role": "user", "content": "问"}
    frame = pl.DataFrame(
        [{"id": "0", "source": "a", "line": 1, "messages": [asked, message], "tools": "[]", "meta": '{"k": 1}'}],
        schema=SCHEMAS["messages"],
    )
    found = to_segments(frame, "messages").select("field", "turn", "slot", "role", "json", "text").rows()
    assert found == [
        ("messages", 0, "content", "user", False, "问"),
        ("messages", 1, "reasoning_content", "assistant", False, "想"),
        ("messages", 1, "tool_calls", "assistant", True, "[]"),
        ("tools", 0, "", None, True, "[]"),
        ("meta", 0, "", None, True, '{"k": 1}'),
    ]


@pytest.mark.parametrize("rows", [0, 3])
def test_joined_gives_one_text_a_row(rows: int) -> None:
    segments = pl.DataFrame({"row": [1, 1], "text": ["a", "b"]}, schema={"row": pl.UInt32, "text": pl.String}).filter(
        pl.col("row") < rows
    )
    assert joined(segments, pl.lit(value=True), rows).to_list() == (["", "a\nb", ""] if rows else [])
