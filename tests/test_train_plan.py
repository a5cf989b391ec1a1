"""Plans: every value with where it is from, rows and steps counted, memory and time reckoned, without torch or TRL."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from mask_rows import model, plain_rows, version_of
from tiny_models import tiny_model

from datakit.errors import InputError, RecipeError
from datakit.gates import STAGES
from datakit.masks.plan import ProofSettings
from datakit.masks.proof import prove
from datakit.masks.proofs import Proof
from datakit.recipe.load import load_recipe, recipe_from
from datakit.recipe.recipe import Recipe
from datakit.versions.store import Version
from train.estimate import Load, memory, seconds
from train.machine import Machine, machine_at_hand
from train.plan import Plan, count_rows, make_plan
from train.quiet import quiet
from train.sizes import read_sizes

ROWS = 40


def pairs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"第{number}号产品多少钱？",
            "chosen": f"{number * 7}元，含税。欢迎试用。",
            "rejected": f"It is {number} yuan.",
        }
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    texts = [{"text": f"第{number}章 产品手册。The product has {number} parts. " * 3} for number in range(ROWS)]
    return version_of([*plain_rows(ROWS), *texts, *pairs(ROWS)], tmp_path_factory.mktemp("version"))


def proof_of(version: Version, stage: Any, **masks: Any) -> Proof:
    settings = ProofSettings(recipe_from({"masks": masks}).masks, stage)
    return prove(version, model(), settings, commit=True)


def planned(stage: Any, version: Version, tables: dict[str, Any] | None = None, **more: Any) -> Plan:
    recipe = recipe_from(tables or {})
    return make_plan(stage, recipe, version, more.pop("proof", None), **more)


def source_of(plan: Plan, name: str) -> tuple[Any, str]:
    return next((setting.value, setting.source) for setting in plan.settings if setting.name == name)


@pytest.mark.parametrize(
    ("stage", "adaptation", "rate"),
    [
        ("sft", "full", 2e-5),
        ("sft", "lora", 5e-5),
        ("sft", "qlora", 1e-4),
        ("dpo", "full", 1e-6),
        ("dpo", "lora", 5e-6),
    ],
)
def test_the_guide_s_learning_rates_go_by_stage_and_adaptation(
    version: Version, stage: Any, adaptation: str, rate: float
) -> None:
    """大模型后训练完全指南, section 4.3."""
    plan = planned(stage, version, {"train": {stage: {"adaptation": adaptation}}})
    assert source_of(plan, "learning_rate") == (rate, "guide")
    assert ("lora_r" in plan.values) == (adaptation != "full")


def test_the_guide_s_other_numbers(version: Version) -> None:
    values = planned("dpo", version).values
    assert (values["beta"], values["lora_r"], values["lora_target_modules"]) == (0.1, 16, "all-linear")
    assert values["lora_alpha"] in (values["lora_r"], 2 * values["lora_r"])
    assert 0.03 <= values["warmup_steps"] <= 0.10
    assert 1 <= values["num_train_epochs"] <= 2
    assert 4 <= values["per_device_train_batch_size"] * values["gradient_accumulation_steps"] <= 32
    assert "beta" not in planned("sft", version).values


def test_every_value_says_where_it_is_from(version: Version, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        "[train.sft]\nepochs = 3\nrank = 8\n[train.sft.trl]\nlr_scheduler_type = 'linear'\n", encoding="utf-8"
    )
    sets = ["train.sft.learning_rate=3e-4", "train.sft.trl.max_grad_norm=0.5"]
    plan = make_plan("sft", load_recipe(path, sets), version, proof_of(version, "sft"), overrides=sets)
    assert source_of(plan, "learning_rate") == (3e-4, "--set")
    assert source_of(plan, "max_grad_norm") == (0.5, "--set")
    assert source_of(plan, "num_train_epochs") == (3, "recipe")
    assert source_of(plan, "lr_scheduler_type") == ("linear", "recipe")
    assert source_of(plan, "lora_r") == (8, "recipe")
    assert source_of(planned("sft", version, {"train": {"sft": {"trl": {"learning_rate": 0.5}}}}), "learning_rate") == (
        0.5,
        "recipe",
    )
    assert source_of(plan, "lora_alpha") == (16, "guide")
    assert source_of(plan, "max_length")[1] == "data"
    assert all(setting.why for setting in plan.settings if setting.source in ("guide", "datakit", "data"))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"sft": {"epochs": 2, "trl": {"num_train_epochs": 3}}},
            "epochs and trl.num_train_epochs are one",
        ),
        ({"dpo": {"beta": 1, "trl": {"beta": 1}}}, "beta and trl.beta are one"),
        ({"sft": {"adaptation": "full", "rank": 8}}, "rank belong to an adapter"),
        ({"sft": {"beta": 0.1}}, "train.sft.beta: unknown key"),
        ({"dpo": {"learning_rat": 1}}, "Did you mean 'learning_rate'?"),
        ({"sft": {"adaptation": "lor"}}, "train.sft.adaptation"),
    ],
)
def test_a_wrong_table_is_refused(tables: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from({"train": tables})
    assert words in str(caught.value)


def test_paths_of_a_stage_are_relative_to_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[train]\nruns = "../runs"\n[train.dpo]\nmodel = "m"\ndataset = "clean@3f2a"\n', encoding="utf-8")
    table = load_recipe(path).train
    assert (table.dpo.model, table.dpo.dataset) == (str(tmp_path / "m"), str(tmp_path / "clean@3f2a"))
    assert Path(table.runs or "") == tmp_path / ".." / "runs"
    assert table.sft.model is None


@pytest.mark.parametrize("stage", ["cpt", "sft", "reward", "dpo"])
def test_rows_tokens_and_steps_are_counted(version: Version, stage: Any) -> None:
    """Against a count by hand over the proof's rows."""
    proof = proof_of(version, stage, max_length="none")
    plan = planned(stage, version, {"train": {stage: {"batch": 6, "epochs": 2, "holdout": 0.3}}}, proof=proof)
    rows = plan.rows
    assert rows.given == ROWS and rows.trained + rows.held_out + rows.left_out == ROWS
    assert 0 < rows.held_out < ROWS
    lengths = []
    for row in proof.frame({"cpt": "text", "sft": "messages"}.get(stage, "preference")).iter_rows(named=True):
        if int(row["id"][:8], 16) >= round(0.3 * 16**8):
            prompt = len(row["prompt_ids"]) if stage == "dpo" else 0
            names = ("input_ids",) if "input_ids" in row else ("chosen_ids", "rejected_ids")
            lengths.append([prompt + len(row[name]) for name in names])
    assert rows.trained == len(lengths)
    assert rows.tokens == sum(map(sum, lengths))
    assert rows.longest == max(map(max, lengths))
    if stage != "cpt":
        micro = -(-rows.trained // plan.values["per_device_train_batch_size"])
        assert plan.steps == 2 * -(-micro // plan.values["gradient_accumulation_steps"])
    else:
        assert plan.values["packing"] == "bfd_split"
        assert 1 <= plan.steps <= 2 * -(-rows.trained // 6)


def test_rows_are_known_before_there_is_a_proof(version: Version) -> None:
    rows = count_rows("sft", version, None, 0.0)
    assert (rows.given, rows.trained, rows.left_out, rows.tokens, rows.longest) == (ROWS, ROWS, 0, None, None)
    plan = planned("sft", version)
    assert (plan.memory, plan.seconds) == ({}, None)
    assert next(verdict for verdict in plan.entry if verdict.criterion.metric == "proof_passed").status == "unknown"


@pytest.mark.parametrize(
    ("batch", "processes", "trl", "sizes"),
    [
        (16, 1, {}, (4, 4)),
        (6, 1, {}, (3, 2)),
        (7, 1, {}, (1, 7)),
        (8, 4, {}, (2, 1)),
        (16, 1, {"per_device_train_batch_size": 8}, (8, 2)),
        (None, 1, {"per_device_train_batch_size": 5}, (5, 3)),
        (None, 3, {}, (1, 5)),
    ],
)
def test_a_batch_is_divided_over_processes_and_passes(
    version: Version, batch: int | None, processes: int, trl: dict[str, int], sizes: tuple[int, int]
) -> None:
    tables = {"train": {"sft": {"trl": trl, **({"batch": batch} if batch else {})}}, "launch": {"processes": processes}}
    values = planned("sft", version, tables).values
    assert (values["per_device_train_batch_size"], values["gradient_accumulation_steps"]) == sizes


def test_a_batch_that_cannot_be_divided_is_refused(version: Version) -> None:
    with pytest.raises(RecipeError, match=r"train\.sft\.batch: 10 rows a step.*a multiple of 4"):
        planned("sft", version, {"train": {"sft": {"batch": 10, "trl": {"per_device_train_batch_size": 4}}}})


def test_today_s_values_are_judged(version: Version) -> None:
    tables = {
        "gates": {"cpt": {"entry": {"text_gb": 1e-9}}, "dpo": {"entry": {"rows": 10}}},
        "brief": {"knowledge": {"update_frequency": "每月更新"}},
    }
    found = {
        v.criterion.metric: v.status for v in planned("cpt", version, tables, proof=proof_of(version, "cpt")).entry
    }
    assert found == {
        "text_gb": "passed",
        "term_distance": "unknown",
        "updates_a_year": "failed",
        "proof_passed": "passed",
    }
    given = {"previous_passed": 1.0, "pair_distance": 0.05}
    verdicts = planned("dpo", version, tables, values=given).entry
    assert {v.criterion.metric: (v.status, v.stops) for v in verdicts} == {
        "previous_passed": ("passed", False),
        "rows": ("passed", False),
        "proof_passed": ("unknown", False),
        "pair_distance": ("failed", False),
        "prompt_divergence": ("unknown", False),
    }


def test_fewer_steps_take_less_time(version: Version, tmp_path: Path) -> None:
    tiny_llama(tmp_path)
    proof = proof_of(version, "sft")

    def plan(**trl: int) -> Plan:
        return planned("sft", version, {"train": {"sft": {"trl": trl}}}, proof=proof, start=tmp_path)

    whole, short = plan(), plan(max_steps=1)
    assert whole.steps > short.steps == 1
    assert (whole.seconds or 0) > (short.seconds or 0) > 0
    assert set(whole.memory) == {"weights", "reference", "gradients", "optimiser", "activations", "logits"}


def test_a_plan_is_json(version: Version) -> None:
    plain = orjson.loads(orjson.dumps(planned("dpo", version, proof=proof_of(version, "dpo")).to_json()))
    assert plain["rows"]["in"] == ROWS
    assert {"entry", "rollback", "exit"} == set(plain["gates"])
    assert {"name": "beta", "value": 0.1, "source": "guide", "why": "0.1"} in plain["settings"]


def test_planning_loads_neither_torch_nor_trl(version: Version) -> None:
    proof_of(version, "sft")
    code = (
        "import sys\nfrom datakit.masks.proofs import read\nfrom datakit.recipe.load import load_recipe\n"
        "from datakit.versions.store import open_version\nfrom pathlib import Path\nfrom train.plan import make_plan\n"
        "version = open_version(sys.argv[1])\n"
        "proof = read(next((version.path / 'proofs').glob('[0-9a-f]*')))\n"
        "make_plan('sft', load_recipe(), version, proof, start=Path(sys.argv[2])).to_json()\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(version.path), str(tiny_model())], capture_output=True, text=True, check=True
    )
    assert not {"torch", "transformers", "trl", "peft", "datasets", "accelerate"} & set(done.stdout.split())


def tiny_llama(folder: Path, **more: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    sizes = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4, **more}
    made = LlamaForCausalLM(LlamaConfig(vocab_size=500, num_key_value_heads=2, bos_token_id=0, eos_token_id=1, **sizes))
    with quiet():
        made.save_pretrained(folder)
    return made


def with_adapter(made: Any, rank: int) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM")
    with quiet():
        return get_peft_model(made, config)


@pytest.mark.parametrize("tied", [False, True])
def test_sizes_are_those_of_the_loaded_model(tmp_path: Path, tied: bool) -> None:
    made = tiny_llama(tmp_path, tie_word_embeddings=tied)
    sizes = read_sizes(tmp_path)
    assert sizes is not None
    assert sizes.weights == made.num_parameters()
    weights = with_adapter(made, 4).parameters()
    assert sizes.adapter(4) == sum(weight.numel() for weight in weights if weight.requires_grad)


@pytest.mark.parametrize("adaptation", ["full", "lora"])
@pytest.mark.parametrize("shape", [(128, 344, 4), (256, 512, 2)])
def test_activations_are_what_autograd_keeps(tmp_path: Path, adaptation: Any, shape: tuple[int, int, int]) -> None:
    import torch

    hidden, intermediate, layers = shape
    made = tiny_llama(tmp_path, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers)
    sizes = read_sizes(tmp_path)
    assert sizes is not None
    body = made.model
    if adaptation == "lora":
        with_adapter(made, 8)
    weights = {weight.untyped_storage().data_ptr() for weight in made.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    made.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        body(input_ids=torch.randint(0, 500, (4, 100))).last_hidden_state.sum()
    found = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    reckoned = memory(sizes, Load(adaptation, 8, 4, 100), gpu=False)["activations"]
    assert reckoned == pytest.approx(found, rel=0.15)


def test_memory_and_time_go_the_right_way(tmp_path: Path) -> None:
    tiny_llama(tmp_path)
    sizes = read_sizes(tmp_path)
    assert sizes is not None

    def parts(adaptation: Any = "full", **more: Any) -> dict[str, int]:
        return memory(sizes, Load(adaptation, 0 if adaptation == "full" else 8, 4, 100, **more), gpu=True)

    full, lora, qlora = parts(), parts("lora"), parts("qlora")
    assert full["weights"] > lora["weights"] > qlora["weights"]
    assert full["optimiser"] == 8 * sizes.weights > lora["optimiser"] == 8 * sizes.adapter(8)
    assert parts(checkpointing=True)["activations"] < full["activations"]
    assert parts(reference=True)["reference"] == 4 * sizes.weights
    assert parts(scored=True)["logits"] == 0 < full["logits"]
    on_cpu = memory(sizes, Load("lora", 8, 4, 100), gpu=False)
    assert on_cpu["logits"] > 8 * lora["logits"], "without Triton's kernel there are many tiles at once"
    machine = Machine("one", gpu=True, rate=1e9)
    times = [seconds(sizes, Load("full", 0, 4, 100), machine, tokens=tokens, passes=1) for tokens in (10**6, 2 * 10**6)]
    assert times[1] == pytest.approx(2 * (times[0] or 0))
    assert seconds(sizes, Load("full", 0, 4, 100), Machine("new", gpu=True, rate=None), tokens=1, passes=1) is None


def test_a_folder_without_weights_has_no_sizes_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert read_sizes(tiny_model()) is None
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all!")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        read_sizes(tmp_path)


def test_a_hidden_gpu_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine = machine_at_hand()
    assert (machine.name, machine.gpu) == ("CPU", False)
    assert machine.rate is not None and machine.rate > 0


def test_the_sales_recipe_is_refused_by_the_guide_s_values(version: Version) -> None:
    """A small example cannot meet the guide: without thresholds of its own it does not get past the entry."""
    recipe: Recipe = load_recipe(Path(__file__).parents[1] / "recipes" / "sales.toml")
    guide = recipe.model_copy(update={"gates": recipe_from({}).gates})
    plan = make_plan("sft", guide, version, proof_of(version, "sft"))
    assert [verdict.criterion.metric for verdict in plan.entry if verdict.stops] == ["rows"]


def test_the_recipe_that_the_manual_shows_is_one() -> None:
    page = (Path(__file__).parents[1] / "docs" / "recipe.md").read_text(encoding="utf-8")
    recipe = recipe_from(tomllib.loads(page.partition("```toml\n")[2].partition("```")[0]))
    assert recipe.train.dpo.trl["loss_type"] == ["sigmoid", "sft"]
    table = recipe.train.sft
    assert (table.seed, table.holdout, table.adaptation) == (42, 0.1, "lora")


def test_the_manual_s_table_of_hyper_parameters_is_true(version: Version) -> None:
    page = (Path(__file__).parents[1] / "docs" / "recipe.md").read_text(encoding="utf-8").partition("## Hyper-para")[2]
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    rows = {cell[0]: cell[1:] for cell in cells}
    for stage in STAGES:
        for column, adaptation in enumerate(("full", "lora", "qlora")):
            plan = planned(stage, version, {"train": {stage: {"adaptation": adaptation}}})
            rate, source = source_of(plan, "learning_rate")
            assert (f"{rate:g}", source) == (rows[stage][column], rows[stage][3])
        values = planned(stage, version).values
        epochs, beta, further = rows[stage][4:7]
        assert (f"{values['num_train_epochs']:g}", f"{values['beta']:g}" if "beta" in values else "") == (epochs, beta)
        for name, said in re.findall(r"`?(\w+)`? (\S+?)(?:,|$)", further):
            assert str(values[name]) in (said, f"{said}.0"), (stage, name)
        step = values["per_device_train_batch_size"] * values["gradient_accumulation_steps"]
        for name, value in {"rows a step": step, **values}.items():
            if name in rows:
                assert (f"{value:g}" if isinstance(value, float) else str(value)) == rows[name][0], (stage, name)


def test_padding_is_what_batches_drawn_at_random_have(version: Version) -> None:
    rows = count_rows("dpo", version, proof_of(version, "dpo"), 0.0)
    assert rows.padded(1) == 2 * rows.lengths.sum() and rows.sequences == 2
    assert rows.padded(10**6) == pytest.approx(2 * ROWS * (rows.longest or 0), rel=1e-6)
    drawn, lengths = random.Random(7), rows.lengths.to_list()
    tried = [2 * ROWS * max(drawn.choices(lengths, k=4)) for _ in range(4000)]
    assert rows.padded(4) == pytest.approx(sum(tried) / len(tried), rel=0.01)
    assert count_rows("sft", version, None, 0.0).padded(4) == 0


def test_time_counts_what_multiplying_does_not(tmp_path: Path) -> None:
    """On a CPU words and padding cost, packs have no padding, and a reference is one more pass of the model."""
    tiny_llama(tmp_path)
    sizes = read_sizes(tmp_path)
    assert sizes is not None
    cpu, gpu = Machine("CPU", gpu=False, rate=1e11), Machine("one", gpu=True, rate=1e11)

    def time(machine: Machine, passes: int = 0, vocabulary: int = sizes.vocabulary, **more: Any) -> float:
        found = seconds(
            replace(sizes, vocabulary=vocabulary), Load("full", 0, 4, 100, **more), machine, tokens=10**6, passes=passes
        )
        assert found is not None
        return found

    assert time(cpu) > time(gpu) == pytest.approx(6e6 * sizes.weights / 1e11)
    assert time(cpu, vocabulary=2 * sizes.vocabulary) > time(cpu) > time(cpu, scored=True)
    assert time(cpu, passes=100) == pytest.approx(time(cpu) + 2)
    assert time(gpu, compared=True) == pytest.approx(8 / 6 * time(gpu))
