"""`datakit evaluate`: all metrics of a stage, from folders on disk, beside the model before."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from mask_rows import version_of
from measured_models import QUESTIONS, TEXTS, ignorant, opened, perturbed, reward_model, taught
from tiny_models import tiny_model
from tiny_weights import quiet, tiny_weights
from typer.testing import CliRunner

from datakit.cli.app import app
from datakit.errors import DatakitError, InputError, MissingInput, UnknownVersion
from datakit.gates import judge
from datakit.recipe.guide import GUIDE
from datakit.recipe.load import load_recipe, recipe_from
from datakit.versions.store import Version
from train.evaluate import evaluate
from train.measures.entry import entry_values
from train.measures.evaluator import Evaluator
from train.runs import Run

ALL = 0.999  # of the rows are held out


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    with quiet():
        yield


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """Dialogues, pairs and texts of what the taught model knows."""
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": said}]}
        for question, said in QUESTIONS
    ]
    rows += [{"prompt": question, "chosen": said, "rejected": "不知道。"} for question, said in QUESTIONS]
    return version_of([*rows, *({"text": text} for text in TEXTS)], tmp_path_factory.mktemp("version"))


@pytest.fixture(scope="module")
def recipe(version: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that names files of every sort, beside it."""
    folder = tmp_path_factory.mktemp("recipe")
    files: dict[str, list[dict[str, Any]]] = {
        "choice.jsonl": [{"question": "x", "options": ["今天", "明天"], "answer": "今天"}] * 3,
        "cloze.jsonl": [
            {"text": "标准版支持____个用户同时在线。", "options": ["五百", "两千", "三十", "一万"], "answer": "五百"},
            {"text": "试用期是____天。", "options": ["五百", "两千", "三十", "一万"], "answer": "三十"},
            {
                "text": "The standard edition ____ five hundred users.",
                "options": ["costs", "supports", "is"],
                "answer": "supports",
            },
            {
                "text": "The standard edition supports ____ hundred users.",
                "options": ["two", "twelve", "five"],
                "answer": "five",
            },
        ],
        "general.jsonl": [{"text": f"第{number}天的天气很好，她去公园散步。"} for number in range(150)],
        "prompts.jsonl": [
            {"prompt": question, "answer": said, "checks": {"include": [said[:2]]}} for question, said in QUESTIONS
        ],
    }
    for name, rows in files.items():
        (folder / name).write_bytes(b"\n".join(map(orjson.dumps, rows)))
    (folder / "recipe.toml").write_text(
        f"""
        [data]
        output = "{version.path.parent.as_posix()}"
        [model]
        base = "{ignorant().as_posix()}"
        [train.cpt]
        holdout = {ALL}
        [train.sft]
        holdout = {ALL}
        [train.reward]
        holdout = {ALL}
        [train.dpo]
        holdout = {ALL}
        [evaluate]
        choice = ["choice.jsonl"]
        cloze = ["cloze.jsonl"]
        general = ["general.jsonl"]
        prompts = ["prompts.jsonl"]
        prohibited = ["不知道"]
        max_new_tokens = 32
        """,
        encoding="utf-8",
    )
    return folder / "recipe.toml"


def measured(recipe: Path, folder: Path, stage: Any, *sets: str, **more: Any) -> dict[str, float | None]:
    return evaluate(str(folder), load_recipe(recipe, sets), stage=stage, **more).found.metrics


@pytest.fixture(scope="module")
def sft(recipe: Path) -> Any:
    with quiet():
        return evaluate(str(taught()), load_recipe(recipe), stage="sft")


def test_a_model_that_learnt_is_better_than_its_base(sft: Any) -> None:
    found = sft.found.metrics
    assert found["ppl"] < 1.5 and found["ppl_drop"] > 0.9
    assert found["cloze"] == 1.0
    assert found["instruction_following"] == found["format"] == found["safety"] == found["win_rate"] == 1.0
    assert found["kl_token"] > 1 and found["kl_sequence"] > 2 * found["kl_token"]
    assert found["distinct_2"] > 0 and found["distinct_2_ratio"] > 0.3
    assert found["general_drop"] is not None
    assert sft.found.samples["format"] == len(QUESTIONS) and sft.found.samples["general"] == 3
    assert [row["after"] for row in sft.found.answers] == [said for _, said in QUESTIONS]


def test_its_base_loses_to_it(recipe: Path) -> None:
    found = measured(recipe, ignorant(), "sft", against=taught())
    assert (found["ppl_drop"] or 0) < -1 and found["win_rate"] == 0.0
    assert found["format"] == 0.0 and found["instruction_following"] == 0.0


def test_every_measure_moves_when_the_weights_do(recipe: Path, tmp_path: Path, sft: Any) -> None:
    """Noise on every weight of the taught model: each number tells, and in the right direction."""
    noisy = perturbed(taught(), tmp_path / "noisy", noise=1.5)
    found, whole = measured(recipe, noisy, "sft", against=taught()), sft.found.metrics
    for worse in ("cloze", "instruction_following", "format"):
        assert (found[worse] or 0) < whole[worse], worse
    assert (found["ppl"] or 0) > whole["ppl"] and (found["ppl_drop"] or 0) < 0
    assert (found["win_rate"] or 0) < 0.5 and (found["kl_token"] or 0) > 0
    assert found["distinct_2"] != whole["distinct_2"] and found["distinct_2_ratio"] != 1.0
    said = ['evaluate.prohibited=["三十天"]', "evaluate.max_new_tokens=32"]
    assert measured(recipe, taught(), "dpo", *said)["safety"] == 1 - 1 / len(QUESTIONS)


def test_a_model_beside_itself_has_not_moved(recipe: Path) -> None:
    found = measured(recipe, taught(), "dpo", against=taught())
    assert found["win_rate"] == 0.5 and found["general_drop"] in (0.0, None)
    assert found["kl_token"] == pytest.approx(0, abs=1e-6) and found["distinct_2_ratio"] == 1.0


def test_only_what_is_wanted_is_measured(recipe: Path, version: Version) -> None:
    evaluator = Evaluator(
        "dpo", load_recipe(recipe), version, None, ignorant(), holdout=ALL, wanted={"kl_token", "distinct_2_ratio"}
    )
    assert evaluator.measure(taught()).metrics.keys() == {"kl_token", "distinct_2_ratio"}
    assert evaluator.measure(ignorant()).metrics["kl_token"] == pytest.approx(0, abs=1e-6)


def test_prompts_default_to_the_held_out_rows(recipe: Path) -> None:
    found = evaluate(str(taught()), load_recipe(recipe, ["evaluate.prompts=[]"]), stage="dpo").found
    assert found.samples["win_rate"] == len(QUESTIONS) and found.metrics["win_rate"] == 1.0
    assert found.metrics["instruction_following"] is None, "held-out rows have no checks"


def test_domain_terms_make_cloze_questions_of_held_out_texts(recipe: Path) -> None:
    terms = 'evaluate.terms=["标准版", "试用期", "standard edition"]'
    found = evaluate(str(taught()), load_recipe(recipe, ["evaluate.cloze=[]", terms]), stage="cpt").found
    assert found.samples["cloze"] == len(TEXTS) and found.metrics["cloze"] == 1.0
    assert found.metrics.keys() == {"ppl", "ppl_drop", "cloze", "general", "general_drop"}


def test_without_files_and_base_the_rest_stays_unknown(version: Version) -> None:
    plain = recipe_from({"data": {"output": str(version.path.parent)}, "train": {"cpt": {"holdout": ALL}}})
    found = evaluate(str(taught()), plain, stage="cpt").found.metrics
    assert found["ppl"] is not None
    assert [name for name, value in found.items() if value is None] == ["ppl_drop", "cloze", "general", "general_drop"]
    verdicts = judge(GUIDE["cpt"].exit, found)
    assert {verdict.status for verdict in verdicts} == {"unknown"}


def adapter(folder: Path, *, moved: bool) -> Path:
    """LoRA on the ignorant model; its second matrices are 0 until something is learnt."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    network = get_peft_model(opened(ignorant())[0], LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if moved and "lora_B" in name:
                weight.normal_(std=0.5)
    shutil.copytree(tiny_model("chatml"), folder)
    network.save_pretrained(str(folder))
    return folder


def test_adapters_are_measured_like_whole_weights(recipe: Path, tmp_path: Path) -> None:
    still = measured(recipe, adapter(tmp_path / "still", moved=False), "dpo")
    moved = measured(recipe, adapter(tmp_path / "moved", moved=True), "dpo")
    assert still["kl_token"] == pytest.approx(0, abs=1e-6) and (moved["kl_token"] or 0) > 1e-3


def test_a_run_says_what_it_is_measured_on(recipe: Path, version: Version, tmp_path: Path) -> None:
    """Stage, dataset, holdout and base are the run's, whatever the recipe says by now."""
    places = {"dataset": version.path, "base": ignorant()}
    run = Run.start(tmp_path / "runs", "cpt", "tiny", {"recipe": {"holdout": ALL}}, places)
    shutil.copytree(taught(), run.model)
    later = [
        f"train.runs={tmp_path / 'runs'}",
        "train.cpt.holdout=0.0",
        "model.base=elsewhere",
        "data.output=elsewhere",
    ]
    for name in (str(run.path), run.name, "cpt", str(run.model)):
        found = evaluate(name, load_recipe(recipe, later))
        assert (found.model.resolve(), found.stage, found.against) == (run.model.resolve(), "cpt", ignorant())
        assert found.found.samples["ppl"] == len(TEXTS) and (found.found.metrics["ppl_drop"] or 0) > 0.9


def test_a_reward_model_is_measured_on_held_out_pairs(recipe: Path) -> None:
    found = evaluate(str(reward_model()), load_recipe(recipe), stage="reward").found
    assert found.samples == {"reward_accuracy": len(QUESTIONS), "length_bias": 2 * len(QUESTIONS)}
    assert 0 <= (found.metrics["reward_accuracy"] or 0) <= 1 and 0 <= (found.metrics["length_bias"] or 0) <= 1


def test_a_reward_model_may_be_the_judge(recipe: Path) -> None:
    found = measured(recipe, taught(), "dpo", f'evaluate.judge="{reward_model().as_posix()}"')
    assert found["win_rate"] is not None and 0 <= found["win_rate"] <= 1


def test_weights_that_are_no_numbers_pass_no_gate(recipe: Path, tmp_path: Path) -> None:
    found = evaluate(
        str(perturbed(ignorant(), tmp_path / "broken", noise=float("nan"))), load_recipe(recipe), stage="dpo"
    ).found
    assert found.metrics.keys() >= {"kl_token", "win_rate"} and all(
        math.isnan(value or 0) for value in found.metrics.values()
    )
    verdicts = judge(GUIDE["dpo"].exit, found.metrics, samples=found.samples)
    assert {verdict.status for verdict in verdicts} == {"failed"}


# What data must be like before a stage starts.


def test_entry_values_need_no_model(recipe: Path, version: Version) -> None:
    plan = load_recipe(recipe)
    assert entry_values("sft", plan, version).metrics == {}
    reward = entry_values("reward", plan, version)
    assert reward.samples == {"pair_distance": len(QUESTIONS)} and (reward.metrics["pair_distance"] or 0) > 0.9
    assert entry_values("dpo", plan, version).metrics["prompt_divergence"] is None, "five prompts are too few"
    assert entry_values("cpt", plan, version).metrics["term_distance"] is None


def test_terms_and_prompts_are_compared_where_there_are_enough(recipe: Path, tmp_path: Path) -> None:
    asked = [f"第{number}号产品的价格是多少？How much is it?" for number in range(200)]
    rows: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "好的。"}]} for text in asked
    ]
    rows += [{"prompt": text, "chosen": "一千元。", "rejected": "不知道。"} for text in asked]
    rows += [{"text": text} for text in asked]
    other, plan = version_of(rows, tmp_path), load_recipe(recipe)
    assert (entry_values("dpo", plan, other).metrics["prompt_divergence"] or 0) < 0.05
    assert (entry_values("cpt", plan, other).metrics["term_distance"] or 0) > 0.5


def test_entry_values_load_nothing_heavy() -> None:
    code = "import sys, train.measures.entry; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "trl", "datasets", "tokenizers"} & set(loaded)


# The command, and wrong use of it.


def run(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    if isinstance(result.exception, DatakitError):
        return result.exception.exit_code, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_the_command_prints_metrics(recipe: Path) -> None:
    arguments = (str(taught()), "--recipe", str(recipe), "--stage", "cpt")
    code, said = run(*arguments, "--json")
    plain = json.loads(said)
    assert code == 0 and list(plain) == ["model", "stage", "against", "metrics", "samples", "answers"]
    assert plain["against"] == str(ignorant()) and plain["metrics"]["cloze"] == 1.0
    code, said = run(*arguments)
    assert code == 0 and "ppl_drop" in said and "cpt:" in said


def test_metrics_that_are_no_numbers_are_said(sft: Any) -> None:
    from train.measures.evaluation import Evaluation, Value

    plain = Evaluation({"ppl": Value(float("nan"), 3), "cloze": Value(None, 0)}).to_json()
    assert plain["metrics"] == {"ppl": "nan", "cloze": None}


def test_wrong_use_is_named(recipe: Path, tmp_path: Path) -> None:
    plan = load_recipe(recipe)
    with pytest.raises(MissingInput, match="no such run"):
        evaluate("nothing-here", plan)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="no weights"):
        evaluate(str(tmp_path / "empty"), plan)
    with pytest.raises(InputError, match="another vocabulary"):
        evaluate(str(taught()), plan, stage="cpt", against=tiny_weights("llama3"))
    with pytest.raises(UnknownVersion):
        evaluate(str(taught()), recipe_from({"data": {"output": str(tmp_path / "none")}}))
    with pytest.raises(MissingInput, match="no such file"):
        evaluate(str(taught()), load_recipe(recipe, ['evaluate.choice=["none.jsonl"]']), stage="cpt")


def test_a_pattern_that_is_none_is_a_fault_of_the_recipe() -> None:
    from datakit.errors import RecipeError

    with pytest.raises(RecipeError, match="no regular expression"):
        recipe_from({"evaluate": {"prohibited": ["("]}})


def test_every_metric_and_check_is_documented() -> None:
    from train.measures import checks, evaluator

    manual = (Path(__file__).parents[1] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    measured_here = {name for names in evaluator._OF_STAGE.values() for name in names}
    asked_of_data = {"term_distance", "pair_distance", "prompt_divergence", "imbalance"}
    assert not [name for name in measured_here | asked_of_data | set(checks._CHECKS) if f"`{name}`" not in manual]


def test_the_gates_of_the_guide_ask_for_what_is_measured() -> None:
    from train.measures import evaluator
    from train.signs import SIGNS

    of_the_plan = {"rows", "text_gb", "proof_passed", "coverage", "updates_a_year", "previous_passed", "human_score"}
    asked_of_data = {"term_distance", "pair_distance", "prompt_divergence", "imbalance"}
    for stage, gate in GUIDE.items():
        asked = {criterion.metric for criterion in (*gate.entry, *gate.exit, *gate.rollback)}
        assert asked <= {*evaluator._OF_STAGE[stage], *of_the_plan, *asked_of_data, *SIGNS}, stage
