"""Rows of a version shown by `datakit masks --show`, as a page, and a template that is suggested."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tiny_models import tiny_model
from typer.testing import CliRunner

pytest.importorskip("transformers", reason="transformers is in datakit[train], which is not installed")

from datakit.cleaning.clean import clean
from datakit.cli.app import app
from datakit.errors import DataVerdict, OutputError, UsageFault
from datakit.recipe.load import recipe_from

ROWS = [
    {"messages": [{"role": "user", "content": "多少钱？"}, {"role": "assistant", "content": "一年一万两千元。😀"}]},
    {"prompt": "How many users?", "chosen": "Five hundred users.", "rejected": "Nobody knows that."},
    {"prompt": "What is three and four?", "answer": "7"},
    {"prompt": "Where is Paris?", "completion": "Paris is in France.", "label": True},
    {"text": "Sales people keep notes about customers, and managers look at the numbers. " * 3},
]
CHAT, PAIR, PROMPT, RATED, TEXT = range(1, 6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exhibit")
    for name in ("a", "b"):
        (folder / "raw" / name).mkdir(parents=True)
    (folder / "raw" / "a" / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, ROWS)))
    other = {"prompt": "Is it open on Sunday?", "chosen": "Yes, from nine.", "rejected": "Yes,  from nine."}
    (folder / "raw" / "b" / "pairs.jsonl").write_bytes(orjson.dumps(other))
    clean([str(folder / "raw")], folder / "clean", recipe_from({"clean": {"steps": ["normalise"]}}))
    return folder / "clean"


def masks(*words: object, model: str = "chatml") -> str:
    line = ["masks", *map(str, words), "--model", str(tiny_model("chatml", model))]
    return CliRunner().invoke(app, line, catch_exceptions=False).stdout


def shown(dataset: Path, row: str) -> dict[str, object]:
    found: dict[str, object] = orjson.loads(masks(dataset, "--show", row, "--json"))
    return found


@pytest.mark.parametrize(
    ("line", "kind", "sides"),
    [(CHAT, "messages", 1), (PAIR, "preference", 2), (PROMPT, "prompt", 1), (RATED, "unpaired", 1), (TEXT, "text", 1)],
)
def test_every_kind_of_row_is_shown(dataset: Path, line: int, kind: str, sides: int) -> None:
    found = shown(dataset, f"a/rows.jsonl:{line}")
    assert found["kind"] == kind and len(found["sides"]) == sides  # type: ignore[arg-type]
    for side in found["sides"]:  # type: ignore[attr-defined]
        assert "".join(piece["text"] for piece in side["pieces"]) == side["text"]
        assert any(piece["part"] == "stop" for piece in side["pieces"]) == (kind != "prompt")


def test_a_row_is_named_by_key_or_id(dataset: Path) -> None:
    by_key = shown(dataset, "a/rows.jsonl:1")
    assert shown(dataset, "rows.jsonl:1") == by_key == shown(dataset, str(by_key["id"])[:6])


@pytest.mark.parametrize(
    "name", ["rows.jsonl:99", "nowhere.jsonl:1", "abc", "ffffffffffffffff", ":1", "a/rows.jsonl:x"]
)
def test_a_row_that_is_not_there(dataset: Path, name: str) -> None:
    with pytest.raises(UsageFault, match=r"has no such row.* For example: --show a/rows\.jsonl:"):
        masks(dataset, "--show", name)


def test_the_stage_limits_what_is_looked_at(dataset: Path) -> None:
    with pytest.raises(UsageFault, match="no such row for this stage"):
        masks(dataset, "--stage", "dpo", "--show", "rows.jsonl:1")


def test_words_without_colours(dataset: Path) -> None:
    said = masks(dataset, "--show", "rows.jsonl:1")
    assert "[+trained: the row's own words+]" in said and "\x1b" not in said
    assert "[+一年一万两千元。😀+][!<|im_end|>!]⏎" in said
    said = masks(dataset, "--show", "pairs.jsonl:1", "--ids")
    assert "M22 (error): chosen and rejected differ in blanks alone" in said and "⟨" in said


def test_a_set_length_is_kept_to(dataset: Path) -> None:
    assert "M16 (error)" in masks(dataset, "--show", f"rows.jsonl:{PAIR}", "--max-length", 12)


def test_a_page_of_one_row_and_of_the_proof(dataset: Path, tmp_path: Path) -> None:
    masks(dataset, "--show", "rows.jsonl:1", "--page", tmp_path / "row.html")
    page = (tmp_path / "row.html").read_text(encoding="utf-8")
    assert "一年" in page and "😀" in page and 'title="id ' in page and page.count("<pre>") == 1
    masks(dataset, "--page", tmp_path / "proof.html")
    page = (tmp_path / "proof.html").read_text(encoding="utf-8")
    assert "<h2>M22: pair without a difference</h2>" in page
    # five rows of the first file, one with two sides; the pair of the second; and that pair as the example
    assert page.count("<pre>") == 6 + 2 + 2


def test_nothing_is_written_where_no_folder_is(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder is not there"):
        masks(dataset, "--show", "rows.jsonl:1", "--page", tmp_path / "no" / "row.html")


# --suggest


def test_a_suggestion_is_written_and_proves(dataset: Path, tmp_path: Path) -> None:
    target = tmp_path / "mended.jinja"
    found = orjson.loads(masks("--suggest", target, "--json", model="last_turn_unstopped"))
    assert found["path"] == str(target) and found["left"] == []
    assert found["differences"] == [{"probe": "ends_with_stop", "before": False, "after": True}]
    before = orjson.loads(masks(dataset, "--stage", "kto", "--json", model="last_turn_unstopped"))
    after = orjson.loads(masks(dataset, "--stage", "kto", "--template", target, "--json", model="last_turn_unstopped"))
    assert "M1" in [finding["code"] for finding in before["findings"]]
    assert (before["passed"], after["passed"]) == (False, True) and after["findings"] == []


def test_a_suggestion_in_words(tmp_path: Path) -> None:
    said = masks("--suggest", tmp_path / "a.jinja", model="drops_system")
    assert "system  drop    keep" in said and f"--template {tmp_path / 'a.jinja'}" in said
    assert "nothing to change" in masks("--suggest", tmp_path / "b.jinja")
    assert not (tmp_path / "b.jinja").exists()


def test_a_suggestion_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        masks("--suggest", tmp_path / "mine.jinja", model="drops_system")
    assert (tmp_path / "mine.jinja").read_text() == "mine"


def test_where_nothing_is_known_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "bad.jinja").write_text("{{ raise_exception('never') }}")
    with pytest.raises(DataVerdict, match="no change is known for ends_with_stop"):
        masks("--suggest", tmp_path / "a.jinja", "--template", tmp_path / "bad.jinja")
