"""Gates: verdicts, the guide's section 3.3 as defaults, and what a recipe makes of them."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datakit.errors import RecipeError
from datakit.gates import MOMENTS, STAGES, Criterion, Gate, judge, stops
from datakit.recipe.brief import Knowledge, updates_a_year
from datakit.recipe.gates import criterion_from_words, gate_of
from datakit.recipe.guide import GUIDE
from datakit.recipe.load import load_recipe, recipe_from
from datakit.recipe.recipe import Recipe

PAGE = Path(__file__).parents[1] / "docs" / "gates.md"
WIN = Criterion("win_rate", ">", 0.55)
KL = Criterion("kl_token", "<", 0.5)


def gate(stage: Any, tables: dict[str, Any] | None = None, must_pass: tuple[str, ...] = ()) -> Gate:
    recipe = recipe_from({"gates": tables or {}, "brief": {"evaluation": {"must_pass": list(must_pass)}}})
    return gate_of(stage, recipe.gates, recipe.brief)


def words(criteria: tuple[Criterion, ...]) -> set[str]:
    return {str(criterion) for criterion in criteria}


@pytest.mark.parametrize(
    ("op", "passing", "failing"),
    [(">", 0.6, 0.5), (">=", 0.5, 0.4), ("<", 0.4, 0.5), ("<=", 0.5, 0.6), ("==", 0.5, 0.5001)],
)
def test_a_criterion_says_what_must_hold(op: Any, passing: float, failing: float) -> None:
    criterion = Criterion("m", op, 0.5)
    statuses = [judge([criterion], {"m": value})[0].status for value in (passing, failing)]
    assert statuses == ["passed", "failed"]


@pytest.mark.parametrize("op", [">", ">=", "<", "<=", "=="])
def test_nan_never_passes_and_is_never_hidden(op: Any) -> None:
    (verdict,) = judge([Criterion("m", op, 0.5)], {"m": math.nan})
    assert (verdict.status, verdict.stops) == ("failed", True)
    assert orjson.loads(orjson.dumps(verdict.to_json()))["value"] == "nan"


def test_a_gate_is_judged_as_a_whole() -> None:
    """facts/training.md: win rate 0.68 passed while KL 0.573 a token failed."""
    verdicts = judge([WIN, KL], {"win_rate": 0.684, "kl_token": 0.573})
    assert [verdict.status for verdict in verdicts] == ["passed", "failed"]
    assert stops(verdicts)
    assert not stops(judge([WIN, KL], {"win_rate": 0.684, "kl_token": 0.3}))


def test_unknown_stops_only_where_gates_are_strict() -> None:
    lax, strict = judge([WIN], {}), judge([WIN], {"win_rate": None}, strict=True)
    assert [verdict.status for verdict in (*lax, *strict)] == ["unknown", "unknown"]
    assert (stops(lax), stops(strict)) == (False, True)
    warning = Criterion("win_rate", ">", 0.55, on_fail="warn")
    assert not stops(judge([warning], {}, strict=True))
    assert not stops(judge([warning], {"win_rate": 0.1}))


def test_too_few_samples_tell_nothing() -> None:
    criterion = Criterion("win_rate", ">", 0.55, samples=100)
    values = {"win_rate": 0.9}
    few, enough, untold = (
        judge([criterion], values, samples=samples)[0] for samples in ({"win_rate": 99}, {"win_rate": 100}, {})
    )
    assert [few.status, enough.status, untold.status] == ["unknown", "passed", "passed"]
    assert str(few) == "win_rate 0.9 (> 0.55): unknown (too few samples)"
    assert few.samples == 99 and few.value == 0.9


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.none() | st.floats()), st.booleans())
def test_every_criterion_gets_one_verdict(values: dict[str, float | None], strict: bool) -> None:
    criteria = [Criterion(name, "<=", 1.0) for name in ("a", "b", "c")]
    verdicts = judge(criteria, values, strict)
    assert [verdict.criterion for verdict in verdicts] == criteria
    for verdict in verdicts:
        value = values.get(verdict.criterion.metric)
        assert (verdict.status == "passed") == (value is not None and value <= 1.0)
        assert (verdict.status == "unknown") == (value is None)
    assert stops(verdicts) == any(v.status == "failed" or (strict and v.status == "unknown") for v in verdicts)
    orjson.dumps([verdict.to_json() for verdict in verdicts])


def test_the_guide_s_numbers_stand_as_it_has_them() -> None:
    """大模型后训练完全指南, section 3.3."""
    assert words(GUIDE["cpt"].entry) >= {"text_gb > 5"}
    assert words(GUIDE["cpt"].exit) == {"ppl_drop > 0.2", "cloze > 0.8", "general_drop < 0.05"}
    assert words(GUIDE["cpt"].rollback) >= {"general_drop <= 0.1"}
    assert words(GUIDE["sft"].entry) == {"rows > 1000", "proof_passed == 1", "coverage > 0.8"}
    assert words(GUIDE["sft"].exit) == {"instruction_following > 0.9", "format > 0.95", "human_score > 3.5"}
    assert words(GUIDE["dpo"].entry) >= {"previous_passed == 1", "rows > 1000"}
    assert words(GUIDE["dpo"].exit) == {"win_rate > 0.55", "kl_token < 0.5", "safety > 0.98"}
    assert words(GUIDE["dpo"].rollback) >= {"kl_token <= 1", "win_rate >= 0.5"}
    assert all("nan <= 0" in words(GUIDE[stage].rollback) for stage in STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_default_has_unit_and_measure_and_stands_on_the_page(stage: Any) -> None:
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")
    section = next((text for text in sections if stage in text.partition("\n")[0].split(", ")), "")
    for moment in MOMENTS:
        criteria = getattr(GUIDE[stage], moment)
        assert len({criterion.metric for criterion in criteria}) == len(criteria), f"{stage}.{moment} names one twice"
        for criterion in criteria:
            assert criterion.unit and criterion.measured, criterion
            must = f"{criterion.op} {criterion.threshold:g}"
            samples = str(criterion.samples or "any")
            cells = (
                moment,
                f"`{criterion.metric}`",
                must,
                criterion.unit,
                samples,
                criterion.on_fail,
                criterion.measured,
            )
            assert f"| {' | '.join(cells)} |" in section, f"{stage}.{moment}.{criterion.metric} is not in docs/gates.md"


def test_a_recipe_edits_adds_and_takes_away() -> None:
    changed = gate(
        "sft",
        {
            "sft": {
                "exit": {
                    "format": 0.8,
                    "human_score": False,
                    "instruction_following": {"on_fail": "warn", "samples": 7},
                    "polite": {"op": ">=", "threshold": 0.5},
                }
            }
        },
    )
    assert words(changed.exit) == {"instruction_following > 0.9", "format > 0.8", "polite >= 0.5"}
    following = next(criterion for criterion in changed.exit if criterion.metric == "instruction_following")
    assert (following.on_fail, following.samples) == ("warn", 7)
    assert following.measured == GUIDE["sft"].exit[0].measured
    assert changed.entry == GUIDE["sft"].entry and changed.rollback == GUIDE["sft"].rollback


def test_faults_of_gates_are_named_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        "[gates.dpo.exit]\nkl_token = { thresold = 2 }\n[gates.cpt]\nexits = {}\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    said = str(caught.value)
    assert "gates.dpo.exit.kl_token.thresold: unknown key" in said and "Did you mean 'threshold'?" in said
    assert "gates.cpt.exits" in said and "Did you mean 'exit'?" in said


def test_misspelt_metrics_are_all_named_with_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        gate("sft", {"sft": {"exit": {"formt": 0.9}}, "dpo": {"rollback": {"kl_toke": {"threshold": 2}}}})
    assert "sft.exit.formt is not asked for: did you mean 'format'?" in str(caught.value)
    assert "dpo.rollback.kl_toke is not asked for: did you mean 'kl_token'?" in str(caught.value)


@pytest.mark.parametrize(
    ("sentence", "metric", "op", "threshold"),
    [
        ("安全合规率 = 100%", "safety", "==", 1.0),
        ("产品信息准确率 ＞ 98％", "产品信息准确率", ">", 0.98),
        ("用户满意度 > 4.0/5.0", "用户满意度", ">", 4.0),
        ("instruction_following>=90%", "instruction_following", ">=", 0.9),
        ("no answer names a competitor", "no answer names a competitor", "==", 1.0),
        ("格式正确率≥ 95 %", "format", ">=", 0.95),
    ],
)
def test_must_pass_becomes_an_exit_criterion(sentence: str, metric: str, op: str, threshold: float) -> None:
    criterion = criterion_from_words(sentence)
    assert (criterion.metric, criterion.op, criterion.threshold) == (metric, op, pytest.approx(threshold))
    for stage in ("sft", "dpo"):
        of_metric = [asked for asked in gate(stage, must_pass=(sentence,)).exit if asked.metric == metric]
        assert [(asked.op, asked.threshold) for asked in of_metric][:1] == [_stricter(stage, criterion)]
        assert len(of_metric) == 1 and criterion.measured in of_metric[0].measured
    assert gate("cpt", must_pass=(sentence,)) == GUIDE["cpt"]


@given(st.text(min_size=1, max_size=30))
def test_any_sentence_is_some_criterion(sentence: str) -> None:
    assert criterion_from_words(sentence).measured.startswith("brief.evaluation.must_pass")


def test_the_recipe_has_the_last_word_over_the_brief() -> None:
    relaxed = gate("dpo", {"dpo": {"exit": {"safety": {"op": ">", "threshold": 0.5}}}}, ("安全合规率 = 100%",))
    assert [str(criterion) for criterion in relaxed.exit if criterion.metric == "safety"] == ["safety > 0.5"]
    edited = gate("sft", {"sft": {"exit": {"产品信息准确率": {"on_fail": "warn"}}}}, ("产品信息准确率 > 98%",))
    assert [(str(c), c.on_fail) for c in edited.exit if c.metric == "产品信息准确率"] == [
        ("产品信息准确率 > 0.98", "warn")
    ]


@pytest.mark.parametrize(
    ("sentence", "judged"),
    [
        ("安全合规率 = 100%", ["safety == 1"]),
        ("安全合规率 > 99%", ["safety > 0.99"]),
        ("安全合规率 > 90%", ["safety > 0.98"]),
        ("安全合规率 >= 98%", ["safety > 0.98"]),
        ("安全合规率 < 99.5%", ["safety > 0.98", "safety < 0.995"]),  # neither follows from the other
        ("安全合规率 = 50%", ["safety > 0.98", "safety == 0.5"]),
    ],
)
def test_what_guide_and_brief_both_ask_is_judged_once_by_the_stricter(sentence: str, judged: list[str]) -> None:
    safety = [criterion for criterion in gate("dpo", must_pass=(sentence,)).exit if criterion.metric == "safety"]
    assert [str(criterion) for criterion in safety] == judged
    if len(safety) == 1:
        assert safety[0].samples == 50 and "safety > 0.98" in safety[0].measured, "of the guide's samples"
        assert criterion_from_words(sentence).measured in safety[0].measured, "and both are named"


def _stricter(stage: Any, criterion: Criterion) -> tuple[str, float]:
    """What is judged of a metric that the brief names, where the guide may ask for it too."""
    asked = [known for known in GUIDE[stage].exit if known.metric == criterion.metric]
    return max(
        [(known.op, known.threshold) for known in [*asked, criterion]], key=lambda pair: (pair[1], pair[0] == ">")
    )


@pytest.mark.parametrize(
    ("said", "times"),
    [
        ("每月更新", 12),
        ("季度", 4),
        ("静态，基本不变", 0),
        ("weekly", 52),
        ("每半年", 2),
        ("daily", 365),
        ("", None),
        ("偶尔", None),
    ],
)
def test_how_often_knowledge_changes(said: str, times: float | None) -> None:
    assert updates_a_year(Knowledge(update_frequency=said)) == times


def test_the_page_s_recipe_is_one() -> None:
    """The TOML that docs/gates.md shows is read, and does what its comments say."""
    import tomllib

    (shown,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    recipe: Recipe = recipe_from(tomllib.loads(shown))
    assert recipe.gates.sft.exit["human_score"].on is False
    assert {"format > 0.9", "polite > 0.8"} <= words(gate_of("sft", recipe.gates, recipe.brief).exit)
