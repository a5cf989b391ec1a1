"""The replay gives the ids that TRL's own trainers make, one by one."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from preference_rows import answer, asked, call, pair, rated, turns
from tiny_models import copy_of, tiny_model

pytest.importorskip("trl", reason="TRL is in datakit[train], which is not installed")

from datakit.masks.replay import Replayed, Replayer, Stage, cut
from datakit.template.messages import for_template
from datakit.template.model import load_model
from datakit.template.render import Renderer

DIALOGUE = turns(
    ("system", "你是客服。"), ("user", "价格是多少？"), ("assistant", "一年一万两千元。"), ("user", "可以试用吗？")
)
PROMPTS: list[Any] = ["How many users?", "支持多少用户同时在线？", DIALOGUE]
PAIRS = [
    *(pair(prompt, "可以的，三十天。", "不可以。") for prompt in PROMPTS),
    pair("hi", "<think>\nLet me think.\n</think>\n\nYes.", "No 😀"),
    pair("hi", "\nYes", "  No\n"),
    pair("北京天气？", answer("查一下", tool_calls=call("weather", city="北京")), "晴"),
    pair("hi", turns(("assistant", "Let me look."), ("tool", "sunny"), ("assistant", "Sunny.")), "Rain."),
    pair("a long question, and then a longer one " * 6, "Yes.", "No, it is not so. " * 12),
]
MODELS = [
    ("chatml", "chatml"),
    ("llama3", "llama3"),
    ("deepseek", "deepseek"),
    ("chatml", "injects_thinking"),
    ("chatml", "strips_thinking"),
    ("chatml", "foreign_prompt"),
    ("chatml", "last_turn_unstopped"),
    ("chatml", "trims"),
    ("chatml", "tools"),
    ("chatml", "not_prefix"),
]
MAX_LENGTH = 60


def replayed(rows: list[dict[str, Any]], family: str, template: str, stage: Stage) -> list[Replayed]:
    model = load_model(tiny_model(family, template))
    return Replayer(model, Renderer(model), stage).replay(rows)


def prepared(trainer: Any, rows: list[dict[str, Any]], folder: Any, max_length: int | None) -> list[dict[str, Any]]:
    """What a trainer's own `_prepare_dataset` makes of rows, each row asked alone: it judges all by the first."""
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoTokenizer

    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    arguments = SimpleNamespace(
        dataset_num_proc=None, max_length=max_length, truncation_mode="keep_start", per_device_train_batch_size=2
    )
    owner = SimpleNamespace(_tokenizer=tokenizer, calculate_KL=False, desirable_weight=1.0, undesirable_weight=1.0)
    names = [name for name in ("prompt", "chosen", "rejected", "completion") if name in rows[0]]
    found = []
    for row in rows:
        plain = {name: for_template(row[name]) for name in names} | {
            name: row[name] for name in ("label",) if name in row
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TRL's and datasets' own
            made = trainer._prepare_dataset(owner, Dataset.from_list([plain]), tokenizer, arguments, "train")
        found.append(made[0] if len(made) else {})
    return found


def whole_ids(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, list[int]]:
    return {name: list(row[name]) for name in names}


@pytest.mark.parametrize(("family", "template"), MODELS)
def test_dpo(family: str, template: str) -> None:
    from trl import DPOTrainer

    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    theirs = prepared(DPOTrainer, PAIRS, tiny_model(family, template), None)
    for mine, other in zip(replayed(PAIRS, family, template, "dpo"), theirs, strict=True):
        assert mine.columns() == whole_ids(other, names)


@pytest.mark.parametrize(("family", "template"), MODELS)
def test_reward(family: str, template: str) -> None:
    from trl import RewardTrainer

    theirs = prepared(RewardTrainer, PAIRS, tiny_model(family, template), None)
    for mine, other in zip(replayed(PAIRS, family, template, "reward"), theirs, strict=True):
        assert mine.columns() == whole_ids(other, ("chosen_ids", "rejected_ids"))


@pytest.mark.parametrize(("family", "template"), MODELS)
def test_kto(family: str, template: str) -> None:
    from trl import KTOTrainer

    rows = [rated(row["prompt"], row["chosen"]) for row in PAIRS]
    theirs = prepared(KTOTrainer, rows, tiny_model(family, template), None)
    for mine, other in zip(replayed(rows, family, template, "kto"), theirs, strict=True):
        assert mine.columns() == whole_ids(other, ("prompt_ids", "completion_ids"))


@pytest.mark.parametrize(("family", "template"), MODELS)
def test_grpo(family: str, template: str) -> None:
    """Its trainer tokenises in `_tokenize_prompts`, which asks for no more than what stands in `owner`."""
    from transformers import AutoTokenizer
    from trl import GRPOTrainer

    rows = [asked(prompt) for prompt in PROMPTS]
    tokenizer = AutoTokenizer.from_pretrained(tiny_model(family, template))
    owner = SimpleNamespace(
        processing_class=tokenizer, tools=None, chat_template=None, chat_template_kwargs={}, environment_factories=None,
        _is_vlm=False,
    )  # fmt: skip
    theirs, *_ = GRPOTrainer._tokenize_prompts(owner, [for_template(row["prompt"]) for row in rows])
    assert [mine.columns() for mine in replayed(rows, family, template, "grpo")] == [
        {"prompt_ids": list(ids)} for ids in theirs
    ]


@pytest.mark.parametrize("stage", ["dpo", "reward", "kto"])
def test_what_trl_drops_in_silence_is_named(stage: Stage) -> None:
    """Rows that are gone after `_prepare_dataset` have the finding M16, and say so."""
    import trl

    trainer = {"dpo": trl.DPOTrainer, "reward": trl.RewardTrainer, "kto": trl.KTOTrainer}[stage]
    rows = [rated(row["prompt"], row["chosen"]) for row in PAIRS] if stage == "kto" else PAIRS
    theirs = prepared(trainer, rows, tiny_model("chatml"), MAX_LENGTH)
    mine = [cut(row, MAX_LENGTH) for row in replayed(rows, "chatml", "chatml", stage)]
    dropped = [any("TRL drops" in finding.detail for finding in row.findings) for row in mine]
    assert dropped == [not other for other in theirs]
    assert any(dropped) and not all(dropped)


def test_labels_and_truncation_of_the_collator() -> None:
    """What DPO's collator trains is what `Side.labels` trains, and a stop token that it cuts off has the finding M16."""
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    from datakit.masks.labels import IGNORED

    mine = [cut(row, MAX_LENGTH) for row in replayed(PAIRS, "chatml", "chatml", "dpo")]
    stops = load_model(tiny_model("chatml")).stop_ids
    kept = [row for row in mine if len(row.prompt_ids) < MAX_LENGTH]
    batch = DataCollatorForPreference(pad_token_id=0, max_length=MAX_LENGTH)([row.columns() for row in kept])
    masks = batch["completion_mask"].tolist()
    for number, row in enumerate(kept):
        for place, side in zip((number, len(kept) + number), row.sides, strict=True):
            trained = [label != IGNORED for label in side.labels[:MAX_LENGTH]]
            assert [bool(bit) for bit in masks[place]][: len(trained)] == trained
            assert not any(masks[place][len(trained) :])
        lost = any(not stops & set(side.ids[side.start : MAX_LENGTH]) for side in row.sides)
        assert lost == any(finding.code == "M16" for finding in row.findings)


SHARED = Path(__file__).parents[2] / "shared"
TOKENIZER, ROWS = SHARED / "data" / "tokenizers" / "qwen2_5", SHARED / "data" / "llamafactory" / "dpo_zh_demo.json"


@pytest.mark.skipif(
    not (TOKENIZER.exists() and ROWS.exists()), reason="real tokenizers and data lie outside the repository"
)
@pytest.mark.parametrize("template", ["qwen2.5", "qwen3", "qwen3.5-think", "llama3.1", "deepseek-r1-distill"])
def test_dpo_on_real_rows_with_a_real_tokenizer(template: str, tmp_path: Path) -> None:
    from trl import DPOTrainer

    from datakit.formats import preference

    folder = copy_of(TOKENIZER, tmp_path / "model", template=(SHARED / "templates" / f"{template}.jinja").read_text())
    pairs = [pair(*preference.read(row).values[:3]) for row in orjson.loads(ROWS.read_bytes())[:12]]
    model = load_model(folder)
    theirs = prepared(DPOTrainer, pairs, folder, None)
    for mine, other in zip(Replayer(model, Renderer(model), "dpo").replay(pairs), theirs, strict=True):
        assert mine.columns() == whole_ids(other, ("prompt_ids", "chosen_ids", "rejected_ids"))
