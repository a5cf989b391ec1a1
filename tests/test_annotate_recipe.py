"""The [annotate] table of a recipe, and the worked example's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pushed_rows import campaign_recipe, pairs, version_of

from annotation.campaigns.campaign import campaign_folder, open_campaign
from annotation.campaigns.push import push
from datakit.errors import MissingInput, RecipeError, UsageFault
from datakit.recipe.load import load_recipe, recipe_from

ROOT = Path(__file__).parents[1]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_recipe_and_its_name_names_the_campaign(tmp_path: Path) -> None:
    text = """
        [annotate]
        dataset = "clean@3f2a"
        guideline = "指南.md"
        gold = "gold.jsonl"
        select = { judges = { file = "verdicts.jsonl" } }
    """
    recipe = load_recipe(write(tmp_path / "销售 A.toml", text))
    settings = recipe.annotate
    assert settings.name == "销售 A" and campaign_folder(recipe) == tmp_path / "campaigns" / "销售 A"
    assert settings.select.judges is not None
    for path in (settings.dataset, settings.guideline, settings.gold, settings.select.judges.file):
        assert Path(str(path)).parent == tmp_path
    named = load_recipe(tmp_path / "销售 A.toml", ["annotate.name=second"])
    assert campaign_folder(named).name == "second"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('name = "a/b"', "no slash"),
        ('name = ".hidden"', "does not begin with a dot"),
        ('annotators = ["anna", "anna"]', "each is given once"),
        ("gold_share = 0.6", "less than or equal to 0.5"),
        ('kind = "spans"', "needs 1 label"),
        ("sed = 1", "Did you mean 'seed'?"),
        ("answers = 11", "less than or equal to 10"),
        ('select = { judges = { columns = ["meta.a"] } }', "two columns or more, or from a file"),
        ('select = { near = { score = "words", threshold = 1, width = 0 } }', "greater than 0"),
    ],
)
def test_faults_are_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path / "r.toml", f"[annotate]\n{line}\n"))
    assert said in str(caught.value) and "annotate" in str(caught.value)


def test_what_a_push_needs_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"annotate\.name: not set"):
        push(recipe_from({}), None, dry_run=True)
    with pytest.raises(UsageFault, match=r"annotate\.dataset: not set"):
        push(recipe_from({"annotate": {"name": "x", "folder": str(tmp_path)}}), None, dry_run=True)
    version_of(tmp_path, pairs(8))
    for text, said in (("", "0 characters"), ("长" * 10_001, "10001 characters; expected 1 to 10000")):
        with pytest.raises(UsageFault, match=said):
            push(campaign_recipe(tmp_path, guideline=text), None, dry_run=True)
    with pytest.raises(MissingInput, match=r"gold\.jsonl: no such file"):
        push(campaign_recipe(tmp_path, gold=str(tmp_path / "gold.jsonl")), None, dry_run=True)
    with pytest.raises(UsageFault, match="no campaign here"):
        open_campaign(tmp_path)


def test_the_worked_example_has_a_campaign(tmp_path: Path) -> None:
    from datakit.cleaning.clean import clean

    clean(ROOT / "recipes" / "sales" / "raw" / "preference.jsonl", tmp_path / "clean")
    changed = [f"annotate.dataset={tmp_path / 'clean'}", f"annotate.folder={tmp_path / 'campaigns'}"]
    result = push(load_recipe(ROOT / "recipes" / "sales.toml", changed), None, dry_run=True)
    assert (result.items, result.left_out.height) == (144, 0), "120 asks, 12 gold items, 12 repeats"
    assert result.annotators == ("小陈", "小林", "小周") and not (tmp_path / "campaigns").exists()


def test_without_the_extra_the_cure_is_named(tmp_path: Path) -> None:
    recipe = write(tmp_path / "r.toml", "[annotate]\n")
    code = (
        "import sys; sys.modules['httpx'] = None; from datakit.cli import main; "
        f"sys.argv = ['datakit', 'annotate', 'push', {str(recipe)!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "pip install 'datakit[annotation]'" in done.stderr
