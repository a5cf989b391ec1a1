"""Measures on tiny models, all read from disk: each is held to a slow way, and moves when the weights do."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from measured_models import QUESTIONS, TEXTS, ignorant, opened, perturbed, reward_model, taught
from tiny_models import tiny_model
from tiny_weights import quiet, tiny_weights

from datakit.errors import DatakitError, InputError
from train.measures import divergence as kl
from train.measures import rewards
from train.measures.likelihood import IGNORED, Likelihood, accuracy, batches, likelihood, token_scores
from train.measures.prompts import Prompt
from train.measures.questions import Question
from train.measures.sampling import Answer, answer
from train.measures.subject import Subject, load_subject

PROMPTS = [Prompt("x:1", [{"role": "user", "content": question}]) for question, _ in QUESTIONS]
MOST = 32


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    with quiet():
        yield


@pytest.fixture(scope="module")
def knows() -> Subject:
    with quiet():
        return load_subject(taught())


@pytest.fixture(scope="module")
def knows_nothing() -> Subject:
    with quiet():
        return load_subject(ignorant())


def encoded(subject: Subject, *texts: str) -> list[tuple[list[int], list[int]]]:
    return [(ids, ids) for text in texts if (ids := subject.model.tokenizer.encode(text).ids) or True]


def asked(subject: Subject) -> list[list[int]]:
    return [subject.asked(prompt) for prompt in PROMPTS]


def sampled(subject: Subject, seed: int | None = 0) -> list[Answer]:
    return answer(subject, asked(subject), max_new_tokens=MOST, seed=seed)


# Likelihood.


def test_scores_are_those_of_rows_one_by_one(knows: Subject) -> None:
    """Batches, padding and order change nothing."""
    import torch

    rows = encoded(knows, *TEXTS, "试", "")
    found = token_scores(knows, rows)
    network, _ = opened(taught())
    for (ids, _), scores in zip(rows, found, strict=True):
        assert len(scores) == max(0, len(ids) - 1)
        if scores:
            with torch.no_grad():
                logits = network(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            assert scores == pytest.approx(
                [logits[place - 1, ids[place]].item() for place in range(1, len(ids))], abs=1e-4
            )


def test_only_labelled_tokens_count(knows: Subject) -> None:
    ((ids, _),) = encoded(knows, TEXTS[0])
    labels = [IGNORED] * (len(ids) - 2) + ids[-2:]
    whole, end = token_scores(knows, [(ids, ids), (ids, labels)])
    assert end == pytest.approx(whole[-2:], abs=1e-5)


def test_perplexity_falls_with_learning_and_rises_with_noise(
    tmp_path: Path, knows: Subject, knows_nothing: Subject
) -> None:
    before, after = (likelihood(subject, encoded(subject, *TEXTS)).perplexity for subject in (knows_nothing, knows))
    assert before is not None and after is not None and after < 0.2 * before
    noisy = load_subject(perturbed(taught(), tmp_path / "noisy"))
    assert (likelihood(noisy, encoded(noisy, *TEXTS)).perplexity or 0) > 1.05 * after


def test_perplexity_of_a_broken_model_is_no_number() -> None:
    broken = load_subject(taught())
    kl.perturb(broken, share=math.nan)
    assert math.isnan(likelihood(broken, encoded(broken, *TEXTS)).perplexity or 0)
    assert likelihood(broken, []).perplexity is None
    assert Likelihood(5_000.0, 1).perplexity == math.inf


def test_batches_hold_every_row_that_has_tokens_once() -> None:
    lengths = [5, 0, 900, 5, 70]
    places = [list(batch) for batch in batches(lengths, 1 << 18)]
    assert sorted(place for batch in places for place in batch) == [0, 2, 3, 4]
    assert places[0] == [2]  # 900 rows of 2^18 logits are over the limit already: it goes alone
    assert all(len(batch) * max(lengths[p] for p in batch) << 18 <= 1 << 26 or len(batch) == 1 for batch in places)


CLOZE = [
    Question("标准版支持", ("五百", "两千", "三十"), "个用户同时在线。", 0),
    Question("The standard edition supports ", ("twelve", "five"), " hundred users.", 1),
    Question("", ("价格", "试用"), "期是三十天。", 1),
]
CHOICE = [Question("", ("系统会在多少", "标准版支持五百个用户同时在线。"), "", 1)]


def test_a_model_puts_back_the_terms_that_it_learnt(tmp_path: Path, knows: Subject) -> None:
    assert accuracy(knows, CLOZE) == 1.0
    assert accuracy(knows, CHOICE) == 1.0
    assert accuracy(knows, []) is None
    turned = [Question(one.before, one.options, one.after, (one.answer + 1) % len(one.options)) for one in CLOZE]
    assert accuracy(knows, turned) == 0.0


def test_a_model_that_finds_all_options_equal_knows_nothing() -> None:
    broken = load_subject(taught())
    kl.perturb(broken, share=math.nan)
    assert accuracy(broken, CLOZE) == 0.0


# Answers.


def test_a_model_answers_what_it_learnt_and_stops(knows: Subject, knows_nothing: Subject) -> None:
    said = sampled(knows, seed=None)
    assert [one.text for one in said] == [text for _, text in QUESTIONS]
    assert all(one.ended and one.ids[-1] in knows.model.stop_ids for one in said)
    babble = answer(knows_nothing, asked(knows_nothing), max_new_tokens=4)
    assert not any(one.ended for one in babble) and all(len(one.ids) == 4 for one in babble)


def test_samples_are_of_their_seed_and_of_the_whole_distribution(knows_nothing: Subject) -> None:
    import torch

    state = torch.random.get_rng_state()
    first, again, other = (sampled(knows_nothing, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), state), "the run's own chance is left alone"


def test_a_models_own_generation_settings_do_not_count(tmp_path: Path) -> None:
    folder = perturbed(ignorant(), tmp_path / "greedy", noise=0)
    (folder / "generation_config.json").write_text(
        '{"do_sample": true, "top_k": 1, "temperature": 0.01}', encoding="utf-8"
    )
    narrow = load_subject(folder)
    assert sampled(narrow) == sampled(load_subject(ignorant()))


# KL.


def slow_kl(policy: Path, reference: Path, prompt: list[int], ids: tuple[int, ...]) -> float:
    """Sum over the answer of the KL of both next-token distributions, a place and a token at a time."""
    import torch

    total, given = 0.0, torch.tensor([[*prompt, *ids]])
    with torch.no_grad():
        mine, its = (
            opened(folder)[0](input_ids=given).logits[0].double().log_softmax(-1) for folder in (policy, reference)
        )
    for place in range(len(prompt) - 1, len(prompt) + len(ids) - 1):
        total += sum(math.exp(p) * (p - q) for p, q in zip(mine[place].tolist(), its[place].tolist(), strict=True))
    return total


def test_kl_is_that_of_a_slow_count_and_says_its_unit(knows: Subject, knows_nothing: Subject) -> None:
    answers = sampled(knows)
    found = kl.divergence(knows, knows_nothing, asked(knows), answers)
    slow = sum(
        slow_kl(taught(), ignorant(), prompt, one.ids) for prompt, one in zip(asked(knows), answers, strict=True)
    )
    assert found.nats == pytest.approx(slow, rel=1e-4)
    assert found.tokens == sum(len(one.ids) for one in answers) and found.sequences == len(PROMPTS)
    assert found.per_token == pytest.approx(slow / found.tokens, rel=1e-4)
    assert found.per_sequence == pytest.approx(slow / found.sequences, rel=1e-4)


def test_kl_of_a_model_from_itself_is_zero_and_of_no_answer_unknown(knows: Subject) -> None:
    assert kl.divergence(knows, load_subject(taught()), asked(knows), sampled(knows)).per_token == pytest.approx(
        0, abs=1e-6
    )
    nothing = kl.divergence(knows, knows, [], [])
    assert nothing.per_token is None and nothing.per_sequence is None


@pytest.mark.parametrize("folder", [ignorant, taught])
def test_kl_proves_itself_on_a_perturbed_model(folder: Any) -> None:
    subject = load_subject(folder())
    assert kl.prove(subject, asked(subject), sampled(subject)) > 0


def test_a_measure_that_reads_no_difference_is_refused(knows: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a KL would whose policy answers with the reference's weights."""
    monkeypatch.setattr(kl, "load_subject", lambda path, **more: knows)
    monkeypatch.setattr(kl, "perturb", lambda subject: None)
    with pytest.raises(DatakitError, match="reads 0"):
        kl.prove(knows, asked(knows), sampled(knows))


def test_a_copy_in_memory_would_have_fooled_the_gate(tmp_path: Path) -> None:
    """Trap a: after a TRL trainer a copied reference answers with the policy's weights; from disk the KL is there."""
    from training_runs import tiny_trainer

    trainer = tiny_trainer(tmp_path / "run", [], lora=False, max_steps=3, save_strategy="no")
    for name in ("before", "after"):
        if name == "after":
            copied = copy.deepcopy(trainer.model)
            trainer.train()
        trainer.save_model(str(tmp_path / name))
    policy, reference = (load_subject(tmp_path / name, words=load_model()) for name in ("after", "before"))
    answers = sampled(policy)
    alive = Subject(policy.path, trainer.model.eval(), policy.model, {})
    fooled = Subject(policy.path, copied.eval(), policy.model, {})
    assert kl.divergence(alive, fooled, asked(policy), answers).nats == 0.0, (
        "TRL no longer does this: the facts changed"
    )
    assert (kl.divergence(policy, reference, asked(policy), answers).per_token or 0) > 1e-4


def load_model() -> Any:
    from datakit.template.model import load_model as load

    return load(tiny_model())


def test_models_of_other_tokens_are_not_compared(knows: Subject) -> None:
    other = load_subject(tiny_weights("llama3"))
    with pytest.raises(InputError, match="another vocabulary"):
        kl.divergence(knows, other, asked(knows), sampled(knows))


def test_rows_of_an_embedding_that_no_token_has_do_not_count(tmp_path: Path, knows: Subject) -> None:
    """Embeddings are padded to a multiple; two models of one tokenizer may be so differently."""
    import shutil

    network, _ = opened(taught())
    network.resize_token_embeddings(network.config.vocab_size + 64)
    shutil.copytree(taught(), tmp_path / "wide")
    network.save_pretrained(tmp_path / "wide")
    wide = load_subject(tmp_path / "wide")
    assert kl.divergence(wide, knows, asked(wide), sampled(knows)).per_token == pytest.approx(0, abs=1e-5)


# Rewards.


def test_rewards_are_those_of_rows_one_by_one() -> None:
    import torch

    judge = load_subject(reward_model(), task="reward")
    rows = [judge.answered(PROMPTS[0], text) for text in ("好的。", "一年一万两千元，按席位收费。", "No.")]
    found = rewards.scores(judge, rows)
    for row, score in zip(rows, found, strict=True):
        with torch.no_grad():
            alone = judge.network(input_ids=torch.tensor([row])).logits.item()
        assert score == pytest.approx(alone, abs=1e-5)
    assert rewards.scorer(judge)([PROMPTS[0]], ["好的。"]) == pytest.approx(found[:1], abs=1e-5)


def test_rewards_of_a_perturbed_model_differ() -> None:
    judge, other = (load_subject(reward_model(), task="reward") for _ in range(2))
    kl.perturb(other)
    rows = [judge.answered(PROMPTS[0], "好的。")]
    assert rewards.scores(judge, rows) != rewards.scores(other, rows)
