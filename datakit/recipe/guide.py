"""The gates that hold unless a recipe says otherwise: section 3.3 of the guide "大模型后训练完全指南".

Where the guide names a number, it is the guide's. What it only names got a measure and a number here; at the entry
("differs clearly", "close to the SFT data") such a one warns and does not stop. Shares are 0 to 1, never per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from datakit.gates import Criterion, Gate, Stage

# What several stages ask for in the same words.
_PROVED = Criterion(
    "proof_passed", "==", 1, unit="yes or no", measured="the proof of this version, template, tokenizer and settings"
)
_COVERAGE = Criterion(
    "coverage",
    ">",
    0.80,
    unit="share of core scenarios",
    measured="nothing measures it yet: it stays unknown",
)
_NO_NAN = Criterion("nan", "<=", 0, unit="logged steps", measured="losses and gradient norms that are no finite number")
_NO_DIVERGENCE = Criterion(
    "loss_ratio",
    "<=",
    1.5,
    unit="ratio",
    measured="mean training loss of the last 10 logged steps over that of the first 10",
)
_NO_OVERFITTING = Criterion(
    "eval_loss_rises",
    "<",
    3,
    unit="evaluations in a row",
    measured="evaluations at which the loss rose while the training loss fell",
)
_GENERAL = Criterion(
    "general_drop",
    "<=",
    0.10,
    unit="share of the base model's accuracy",
    measured="accuracy on general multiple choice that was lost, over that before training",
    samples=100,
)
_TRAINING = (_NO_NAN, _NO_DIVERGENCE, _NO_OVERFITTING)
_PAIRS = (
    Criterion("rows", ">", 1_000, unit="pairs", measured="rows of the version that the proof leaves in"),
    _PROVED,
    Criterion(
        "pair_distance",
        ">",
        0.2,
        on_fail="warn",
        unit="0 to 1",
        measured="median over the pairs of 1 minus the Jaccard similarity of both answers' character 3-grams",
    ),
)

_ALIGNED: Final = Gate(
    entry=(
        Criterion("previous_passed", "==", 1, unit="yes or no", measured="exit verdicts of the run being aligned"),
        *_PAIRS,
        Criterion(
            "prompt_divergence",
            "<",
            0.5,
            on_fail="warn",
            unit="0 to 1",
            measured="how far the terms of the pairs' and SFT prompts are apart beyond chance: docs/evaluate.md",
        ),
    ),
    exit=(
        Criterion(
            "win_rate",
            ">",
            0.55,
            unit="share of prompts",
            measured="answers preferred to those of the model before, a tie counting half, both orders judged",
            samples=100,
        ),
        # facts/training.md: 0.57 a token was 6.9 a sequence. The guide's number is taken as one a token.
        Criterion(
            "kl_token",
            "<",
            0.5,
            unit="nats a token",
            measured="KL of the policy from the model before, on answers sampled from the policy, both from disk",
            samples=50,
        ),
        Criterion(
            "safety", ">", 0.98, unit="share of prompts", measured="answers that do nothing prohibited", samples=50
        ),
    ),
    rollback=(
        *_TRAINING,
        Criterion(
            "kl_token",
            "<=",
            1.0,
            unit="nats a token",
            measured="KL of the policy from the model before, on answers sampled from the policy, both from disk",
            samples=50,
        ),
        # The guide's distinct-2 of 0.3 depends on how much was sampled: against its own baseline it does not.
        Criterion(
            "distinct_2_ratio",
            ">=",
            0.7,
            unit="ratio",
            measured="distinct-2 of sampled answers over that of the model before, as many samples each",
            samples=50,
        ),
        Criterion(
            "win_rate",
            ">=",
            0.5,
            unit="share of prompts",
            measured="as at exit; below half is falling",
            samples=100,
        ),
        Criterion(
            "chosen_logp_ratio",
            "<=",
            1.5,
            on_fail="warn",
            unit="ratio",
            measured="log-probability of the chosen answers now over that at the first logged step (both below 0)",
        ),
    ),
)

GUIDE: Final[Mapping[Stage, Gate]] = {
    "cpt": Gate(
        entry=(
            Criterion("text_gb", ">", 5, unit="GB", measured="UTF-8 bytes of the version's texts"),
            Criterion(
                "term_distance",
                ">",
                0.1,
                on_fail="warn",
                unit="0 to 1",
                measured="how far the terms of domain and general text are apart beyond chance: docs/evaluate.md",
            ),
            Criterion(
                "updates_a_year",
                "<=",
                4,
                unit="updates a year",
                measured="brief.knowledge.update_frequency; what changes monthly or faster belongs in retrieval",
            ),
            _PROVED,
        ),
        exit=(
            Criterion(
                "ppl_drop",
                ">",
                0.20,
                unit="share of the base model's perplexity",
                measured="perplexity of the held-out domain texts that was lost, over that before training",
            ),
            Criterion(
                "cloze",
                ">",
                0.80,
                unit="accuracy",
                measured="domain terms put back into held-out sentences",
                samples=50,
            ),
            replace(_GENERAL, op="<", threshold=0.05),
        ),
        rollback=(*_TRAINING, _GENERAL),
    ),
    "sft": Gate(
        entry=(
            Criterion("rows", ">", 1_000, unit="rows", measured="rows of the version that the proof leaves in"),
            _PROVED,
            _COVERAGE,
        ),
        exit=(
            Criterion(
                "instruction_following",
                ">",
                0.90,
                unit="share of prompts",
                measured="answers to held-out prompts that pass every check of their prompt",
                samples=100,
            ),
            Criterion(
                "format",
                ">",
                0.95,
                unit="share of answers",
                measured="sampled answers that end by a stop token and keep the format asked for",
                samples=100,
            ),
            Criterion(
                "human_score",
                ">",
                3.5,
                unit="1 to 5",
                measured="mean score that people gave to sampled answers",
                samples=30,
            ),
        ),
        rollback=(*_TRAINING, _GENERAL),
    ),
    "reward": Gate(
        entry=_PAIRS,
        exit=(
            # The guide has no gate for reward models; people agree with one another on about 7 of 10 such pairs.
            Criterion(
                "reward_accuracy",
                ">",
                0.65,
                unit="share of pairs",
                measured="held-out pairs whose chosen answer scores above the rejected one",
                samples=50,
            ),
            Criterion(
                "length_bias",
                "<",
                0.3,
                on_fail="warn",
                unit="0 to 1",
                measured="absolute Spearman correlation of score and answer length over held-out answers",
                samples=50,
            ),
        ),
        rollback=_TRAINING,
    ),
    "dpo": _ALIGNED,
    # The guide knows DPO and ORPO as ways to one end: what aligns is held to one gate.
    "kto": replace(
        _ALIGNED,
        entry=(
            *(criterion for criterion in _ALIGNED.entry if criterion.metric != "pair_distance"),
            Criterion(
                "imbalance",
                "<=",
                1.0,
                on_fail="warn",
                unit="times what KTO allows",
                measured="how far desirable_weight x good by undesirable_weight x bad answers is from 1 to 4/3",
            ),
        ),
    ),
    "orpo": _ALIGNED,
    "simpo": _ALIGNED,
}
