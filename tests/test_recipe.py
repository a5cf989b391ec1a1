from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datakit.errors import RecipeError
from datakit.recipe.clean import CleanSettings, effective_values
from datakit.recipe.load import load_recipe, recipe_from


def test_defaults_hold_without_a_file() -> None:
    recipe = load_recipe()
    assert recipe.clean.near.threshold == 0.8
    assert recipe.clean.languages == ()


def test_all_faults_at_once_with_path_and_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        '[clean]\nlangauges = ["zh"]\n[clean.near]\ntreshold = 0.9\nbands = "many"\n[claen]\nx = 1\n', encoding="utf-8"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    words = str(caught.value)
    assert len(caught.value.faults) == 4
    assert "4 faults" in words and str(path) in words
    assert "clean.langauges: unknown key" in words and "Did you mean 'languages'?" in words
    assert "clean.near.treshold" in words and "Did you mean 'threshold'?" in words
    assert "clean.near.bands: found 'many'; expected a whole number" in words
    assert "claen: unknown key" in words and "Did you mean 'clean'?" in words


def test_overrides_are_toml_or_bare_words() -> None:
    recipe = load_recipe(None, ["clean.near.threshold=0.9", "clean.pii.mode=drop", 'clean.languages=["zh", "en"]'])
    assert recipe.clean.near.threshold == 0.9
    assert recipe.clean.pii.mode == "drop"
    assert recipe.clean.languages == ("en", "zh")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clean.near", "no '='"),
        ("clean.near.treshold=1", "Did you mean 'threshold'?"),
        ("clean.near.threshold.x=1", "expected a number"),
    ],
)
def test_a_bad_override_is_named(text: str, words: str) -> None:
    with pytest.raises(RecipeError, match=r".") as caught:
        load_recipe(None, [text])
    assert words in str(caught.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    (tmp_path / "sales.toml").write_text("[clean\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="Did you mean"):
        load_recipe(tmp_path / "sale.toml")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load_recipe(tmp_path / "sales.toml")


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[data]\ninput = ["raw"]\noutput = "../clean"\n', encoding="utf-8")
    recipe = load_recipe(path)
    assert recipe.data.input == (str(tmp_path / "raw"),) or list(recipe.data.input) == [str(tmp_path / "raw")]
    assert Path(recipe.data.output or "").parts[-1] == "clean"


def test_the_brief_follows_the_guide() -> None:
    recipe = recipe_from(
        {
            "brief": {
                "domain": {"name": "销售对话"},
                "behavior": {"prohibited_actions": ["贬低竞品"]},
                "evaluation": {"must_pass": ["安全合规率 = 100%"]},
            }
        }
    )
    assert recipe.brief.behavior.prohibited_actions == ("贬低竞品",)
    with pytest.raises(RecipeError, match="prohibited_actions"):
        recipe_from({"brief": {"behavior": {"prohibited_action": []}}})


def test_only_what_decides_the_result_is_effective() -> None:
    plain = effective_values(CleanSettings())
    assert effective_values(CleanSettings.model_validate({"near": {"memory_mb": 7}})) == plain
    assert effective_values(CleanSettings.model_validate({"pii": {"vault": "v.jsonl"}})) == plain
    assert effective_values(CleanSettings.model_validate({"near": {"threshold": 0.7}})) != plain
    without = CleanSettings.model_validate({"steps": ["exact"]})
    assert effective_values(without) == effective_values(
        CleanSettings.model_validate({"steps": ["exact"], "near": {"threshold": 0.7}})
    )


def test_the_order_of_steps_is_fixed() -> None:
    assert CleanSettings.model_validate({"steps": ["near", "exact", "normalise"]}).steps == (
        "normalise",
        "exact",
        "near",
    )


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda x: st.dictionaries(st.text(max_size=5), x, max_size=3),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_any_tables_are_a_recipe_or_a_recipe_error(tables: dict[str, object]) -> None:
    try:
        recipe_from(tables)
    except RecipeError as error:
        assert error.faults
