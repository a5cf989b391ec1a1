"""A real trainer on a tiny model, for the tests of runs: 0.03M parameters, 24 rows in two languages, one thread.

As a script it trains in a process that kills itself: `python training_runs.py RUNS_FOLDER STEP save|step`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_models import SENTENCES, tiny_model

FACTS = {"recipe": {"learning_rate": 0.01}, "dataset": "3f2a", "template": "t", "libraries": {"trl": "1.16.0"}}
STEPS = 16
SAVED_EVERY = 4


def tiny_trainer(output: Path, callbacks: list[Any], *, lora: bool = True, **settings: Any) -> Any:
    """TRL's SFTTrainer over rows of input_ids and labels; LoRA with dropout, so that random states count."""
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PrinterCallback
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tiny_model()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes))
    rows = [tokenizer(text).input_ids[:24] for text in SENTENCES * 5][:24]
    data = Dataset.from_list([{"input_ids": ids, "labels": ids} for ids in rows])
    chosen = {
        "output_dir": str(output), "max_steps": STEPS, "save_steps": SAVED_EVERY, "logging_steps": 2, "learning_rate": 0.01,
        "per_device_train_batch_size": 4, "use_cpu": True, "bf16": False, "activation_checkpointing": False, "seed": 3,
        "report_to": "none", "disable_tqdm": True, "save_strategy": "steps", "logging_nan_inf_filter": True,
        "save_total_limit": 3, **settings,
    }  # fmt: skip
    adapter = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**chosen),
        train_dataset=data,
        processing_class=tokenizer,
        peft_config=adapter if lora else None,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train_on(runs: Path, before: Callable[[Any], None] | None = None, **settings: Any) -> Any:
    """Train as `datakit train` would: take the run up, go on from its checkpoint, finish it; the run comes back."""
    from datakit.progress import Silent
    from train.callbacks import watch
    from train.checkpoints import take_up

    taken = take_up(runs, "sft", "tiny", FACTS)
    with taken.run.held():
        watcher = watch(taken.run, Silent(), ())
        trainer = tiny_trainer(taken.run.checkpoints, [watcher], **settings)
        if before is not None:
            before(trainer)
        with watcher.guarding():
            trainer.train(resume_from_checkpoint=str(taken.checkpoint) if taken.how == "resumed" else None)
        taken.run.finish("done")
    return taken.run


def kill_at(step: int, moment: str) -> Callable[[Any], None]:
    """Puts a kill -9 into a trainer: behind a step, or when the files of its checkpoint are written but not sealed."""
    from transformers import TrainerCallback

    def kill(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    killer = type("Killer", (TrainerCallback,), {"on_step_end" if moment == "step" else "on_save": kill})()

    def put_in(trainer: Any) -> None:
        trainer.callback_handler.callbacks.insert(0, killer)

    return put_in


if __name__ == "__main__":
    train_on(Path(sys.argv[1]), kill_at(int(sys.argv[2]), sys.argv[3]))
