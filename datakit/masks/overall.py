"""What holds for all rows: findings of the tokenizer, the template and the set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from datakit.masks.codes import Severity
from datakit.masks.findings import Findings
from datakit.masks.prover import Prover
from datakit.template.messages import for_template, tools_for_template
from datakit.template.model import Model, training_extra

# Structure as templates write it out; other forms are plain text in some families.
_MARKERS: Final = re.compile(r"<\|[^|<>\s'\"{}]{1,40}\|>|<｜[^｜<>\s'\"{}]{1,40}｜>|<(?:start|end)_of_turn>")


class Totals(NamedTuple):
    """Figures of all rows. Those of dialogues alone: rows, total and trained tokens, unprompted; calling: any rows."""

    kinds: Sequence[str]
    dialogues: int
    total: int
    trained: int
    calling: int
    unprompted: int


class Found(NamedTuple):
    """A finding that holds for all rows; `severity` where it is not its code's own."""

    code: str
    detail: str
    severity: Severity | None = None


def of_tokenizer(model: Model) -> Iterator[Found]:
    """What is wrong with a model before any row is looked at."""
    if model.pad_id is not None and model.pad_id in model.stop_ids:
        yield Found("M2", f"both are {model.tokenizer.id_to_token(model.pad_id)}")
    elif model.pad_id is None and model.eos_id is not None:
        yield Found("M2", "the tokenizer has no padding token, and trainers take the stop token for it", "warning")
    if model.embedding_rows is not None and model.vocabulary > model.embedding_rows:
        yield Found("M32", f"{model.vocabulary} tokens, and an embedding of {model.embedding_rows} rows")
    broken = [
        marker
        for marker in dict.fromkeys(_MARKERS.findall(model.template))
        if len(model.tokenizer.encode(marker, add_special_tokens=False).ids) != 1
    ]
    if broken:
        yield Found("M32", f"no token of their own: {', '.join(broken)}")


def of_template(prover: Prover, totals: Totals) -> Iterator[Found]:
    """What a template does to the dialogues of this set."""
    habits, verdict = prover.habits, prover.habits.verdict
    if habits.unknown_stop:
        yield Found("M1", f"answers end in {habits.unknown_stop}, at which inference stops only if told so", "warning")
    if verdict.default_system and totals.unprompted:
        yield Found("M5", f"rows without a system message get {verdict.default_system!r}")
    if verdict.dated:
        yield Found("M6", "the date of this proof is in its rows")
    if not habits.header:
        yield Found("M10", "an answer follows what precedes it without a header")
    if verdict.prefix_preserving is False:
        yield Found("M11", "earlier turns are written differently once a dialogue goes on")
    if totals.calling and verdict.tool_call_string == "double_encoded" and habits.form == "dict":
        yield Found("M24", "arguments are given as objects, because strings would be encoded twice", "note")


def of_set(totals: Totals, findings: Findings) -> Iterator[Found]:
    """What only all rows together tell."""
    if totals.dialogues and findings.count("M1") >= totals.dialogues:
        yield Found("M1", "no answer of any row ends in a stop token")
    if totals.dialogues and totals.trained in (0, totals.total):
        yield Found("M14", f"{totals.trained} of {totals.total} tokens are trained")
    if len(totals.kinds) > 1:
        yield Found("M33", f"{', '.join(totals.kinds)}: each is proved by its own rules")


def of_libraries(prover: Prover, row: Mapping[str, Any], ids: Sequence[int]) -> Iterator[Found]:
    """Whether transformers gives a row the ids of its proof: a new release may render or return something else."""
    model = prover.model
    with training_extra("comparing with transformers"):
        from transformers import PreTrainedTokenizerFast
    make: Any = PreTrainedTokenizerFast  # without types
    theirs = make(tokenizer_object=model.tokenizer, **model.special)
    given = theirs.apply_chat_template(
        for_template(row["messages"], arguments=prover.habits.form),
        tools=tools_for_template(row["tools"]),
        chat_template=model.template,
        tokenize=True,
        return_dict=True,
        **(prover.arguments or {}),
    )
    found = given["input_ids"] if isinstance(given, Mapping) else given
    if list(found) != list(ids):
        yield Found("M31", f"transformers gives {row['source']}:{row['line']} other ids than the proof")
