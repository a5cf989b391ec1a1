"""The 33 ways in which a chat template, a tokenizer and a row spoil a loss mask: M1 to M33.

`reach` is how far a finding goes. A row finding leaves its row out of the proof; a template finding holds for all rows.
`severity`: error, the labels are wrong or the model could not stop; warning, training and inference differ; note, a
property that is handled and worth knowing.

The classes were gathered from the issue threads and the code of TRL, axolotl, LLaMA-Factory, ms-swift, open-instruct,
OpenRLHF, Unsloth and transformers, and were reproduced on TRL 1.16 where that could be done on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Reach = Literal["row", "template"]
Severity = Literal["error", "warning", "note"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""From grave to light."""


@dataclass(frozen=True)
class Code:
    """One class of fault.

    Attributes:
        code: M1 to M33.
        title: the fault in a few words.
        reach: whether it speaks of a row, or of all rows through the template or the tokenizer.
        severity: error, warning or note.
        symptom: what a user sees in training or at inference.
        cause: why it happens.
        check: what datakit looks at to find it.
        fix: what to do.
        verify: how to see that it is gone.
    """

    code: str
    title: str
    reach: Reach
    severity: Severity
    symptom: str
    cause: str
    check: str
    fix: str
    verify: str


_ALL: Final = (
    Code(
        "M1", "no stop token at the end of an answer", "row", "error",
        symptom="The trained model answers and then goes on: it repeats itself or plays the user. The loss looks good.",
        cause="The template closes an assistant turn with nothing, or with a token at which generation does not stop.",
        check="The last trained token of every answer, blanks aside, must be the tokenizer's eos or one of "
        "generation_config's eos tokens.",
        fix="Use a template that closes the turn (`datakit masks --suggest` writes one), or name the token that closes "
        "it as eos_token_id in generation_config.json.",
        verify="`datakit template` says ends_with_stop: yes, and `--show` a row ends in a token marked stop.",
    ),
    Code(
        "M2", "padding token is the stop token", "template", "error",
        symptom="The model never learns to stop, or generation ends at once and answers are empty.",
        cause="Where labels are masked by the pad id, the stop token is masked with it; and where pad_token_id is "
        "written into the generation config, inference takes the stop for padding.",
        check="The tokenizer's pad id is no stop id.",
        fix="Give the tokenizer a padding token of its own; most families reserve one, as Qwen does <|endoftext|>.",
        verify="pad_token and eos_token differ in the tokenizer, and in generation_config.json after saving.",
    ),
    Code(
        "M3", "two tokens of beginning", "row", "error",
        symptom="Answers are a little worse than they should be, without any message.",
        cause="The text already begins with the bos token and the tokenizer adds one more: rows rendered before they "
        "came here, or a trainer that tokenises rendered text with special tokens.",
        check="The first two ids of a row are not both bos.",
        fix="Give rows as messages, or take the bos out of the text; tokenise rendered text without special tokens.",
        verify="`--show` the row: it begins with one bos token.",
    ),
    Code(
        "M4", "a second or foreign stop token", "row", "error",
        symptom="Answers end in an odd token, or the model stops where an answer has two closing tokens in a row.",
        cause="An eos is appended to a text that the template has closed already, or the row carries another "
        "family's closing token.",
        check="No stop token follows an answer's stop token, blanks aside, and none stands inside an answer.",
        fix="Give rows as messages instead of rendered text, and let nothing append an eos behind the template.",
        verify="`--show` the row: each answer has one token marked stop.",
    ),
    Code(
        "M5", "system message dropped, refused or invented", "template", "note",
        symptom="The model ignores its system message, or speaks of an assistant that no row mentions.",
        cause="The template has no place for a system message, drops it when the last turn is the assistant's, or "
        "writes a default one of its own.",
        check="A sentinel in the system message must be found in the training render and in the generation render; "
        "without a system message nothing is written in its place.",
        fix="Fold the system text into the first user turn (`--suggest` does), or give every row the system message "
        "that will be sent at inference.",
        verify="`datakit template` says system: keep, and default_system is null or the text that is wanted.",
    ),
    Code(
        "M6", "the render depends on the date", "template", "warning",
        symptom="The same data gives other tokens tomorrow; a cached proof or a comparison no longer fits.",
        cause="The template writes today's date into the system text.",
        check="Renders under two clocks are equal.",
        fix="Pin the date with the template's own argument, or take the template that `--suggest` writes.",
        verify="`datakit template` says dated: no.",
    ),
    Code(
        "M7", "thinking stripped or put in", "row", "warning",
        symptom="A reasoning model stops reasoning after fine-tuning, or trains on empty thinking blocks.",
        cause="The template removes <think> blocks from earlier turns, ignores reasoning_content, or writes an empty "
        "block where the row has none.",
        check="The reasoning of every trained turn is found in the render, and no thinking block stands among the "
        "trained tokens that the row did not bring.",
        fix="Train on the last turn only, cut dialogues into one row a turn, or keep thinking by the template's "
        "argument or by `--suggest`.",
        verify="`--show` the row: its reasoning is marked trained, and empty blocks are marked injected.",
    ),
    Code(
        "M8", "trained tokens that the generation prompt supplies", "template", "note",
        symptom="A lower loss that means nothing: the model is taught what it is always given.",
        cause="Masks made by generation markers or token counting take in the header of the assistant turn.",
        check="A trained span starts where the render of the generation prompt ends, or behind it.",
        fix="Nothing to do: the proof leaves the header out. TRL's own training templates label it for some families.",
        verify="`--show` a row: the assistant's header is marked context.",
    ),
    Code(
        "M9", "generation prompt is not a prefix of the training render", "template", "warning",
        symptom="Training looks fine, yet the model starts its answers oddly at inference.",
        cause="What stands before the answer in training differs from what stands there at inference, as with a "
        "<think> that only the generation prompt writes.",
        check="The ids of the prompt with its generation prompt are the first ids of the whole row.",
        fix="Use a template whose two renders agree (`--suggest` tries), or set the argument that makes them agree, "
        "such as enable_thinking=false.",
        verify="`datakit template` says generation_prompt_is_prefix: yes.",
    ),
    Code(
        "M10", "the generation prompt adds nothing", "template", "note",
        symptom="Harmless where the answer follows a closing tag; elsewhere the model continues the user's words.",
        cause="The template does not read add_generation_prompt.",
        check="Renders with and without it differ; where they do not, an answer follows a special token directly.",
        fix="Nothing where the user turn closes with a tag of its own, as in [/INST]; else a template with a header.",
        verify="`--show` a row: a special token or a header stands before the answer.",
    ),
    Code(
        "M11", "earlier turns change as the dialogue grows", "template", "note",
        symptom="Masks that count the tokens of a prefix shift; later turns see another history than at inference.",
        cause="The template renders a turn in one way while it is the last, and in another once more follows.",
        check="The render of the first k messages is the beginning of the render of all, for every k.",
        fix="Nothing for the labels: the proof finds spans in the whole render. If thinking is what changes, see M7.",
        verify="`datakit template` says prefix_preserving: yes.",
    ),
    Code(
        "M12", "a token reaches across the end of the prompt", "row", "warning",
        symptom="The first token of answers is one that can never be chosen at inference.",
        cause="The prompt's last characters and the answer's first ones merge into one token, as two line feeds do.",
        check="The prompt, tokenised alone, gives the first ids of the whole row; else the token across is named.",
        fix="Strip the blanks that begin the answer, or end the prompt at a special token.",
        verify="The finding is gone; `--show` the row: the first trained token belongs to the answer alone.",
    ),
    Code(
        "M13", "nothing in the row is trained", "row", "error",
        symptom="The loss is 0 or not a number, or rows vanish without a word.",
        cause="The row has no assistant turn, all its turns say train: false, or a mask made by searching for a "
        "marker did not find it.",
        check="Every row has at least one trained token.",
        fix="Leave the row out, or give it an answer; check masks.train_on and the train fields of the messages.",
        verify="`--show` the row: some tokens are marked trained.",
    ),
    Code(
        "M14", "mask of all zeros or all ones", "template", "error",
        symptom="Nothing is learnt, or the model learns to speak as the user.",
        cause="The template has no generation markers, or they stand in the wrong place, and a trainer relied on them.",
        check="Over all dialogues, the trained tokens are neither none nor everything.",
        fix="Train on the proof's labels, which need no markers, and mend or remove the markers of the template.",
        verify="The proof's count of trained tokens is above 0 and below the total.",
    ),
    Code(
        "M15", "transformers' own mask fails on this row", "row", "note",
        symptom="With return_assistant_tokens_mask a whole dialogue is trained, the user's words included.",
        cause="A dialogue that starts with the assistant, or an end that falls on token 0, is not handled there.",
        check="The mask from generation markers is compared with the spans found in other ways.",
        fix="Train on the proof's labels; rows that start with the assistant are better given a user turn.",
        verify="`--show` the row: user turns are marked context.",
    ),
    Code(
        "M16", "truncation takes the stop token or the whole answer", "row", "error",
        symptom="Long answers never end; or rows are missing from training and no message says which.",
        cause="max_length, or packing that cuts rows, ends the row inside or before its answer. TRL drops fully cut "
        "rows in silence, and packs that train nothing stay.",
        check="At max_length every trained turn still has its stop token, and a prompt leaves room for its answer.",
        fix="Raise max_length (p99 of the data is a good start), shorten the row, or accept that it is left out; pack "
        "texts by bfd_split, which keeps their ends, and dialogues by bfd.",
        verify="The finding's count falls to what masks.max_left_out allows.",
    ),
    Code(
        "M17", "packed rows see each other", "template", "error",
        symptom="Answers mix topics; results change with the packing.",
        cause="Rows share a sequence, and the attention in use knows no borders between them; wrapped packs have none.",
        check="Rows are packed by bfd or bfd_split, whose positions restart with each row, and masks.attention names "
        "an implementation that keeps rows apart by them: flash_attention_2 or later, sdpa, eager, flex_attention.",
        fix="Set masks.packing to bfd and masks.attention to what training will use, or switch packing off.",
        verify="The finding is gone, and the run loads its model with the attention that masks.attention names.",
    ),
    Code(
        "M18", "role names that the template does not know", "row", "note",
        symptom="Turns are missing from the render, or an error is raised far from the cause.",
        cause="The row says human, gpt, bot or model, and templates silently skip roles they do not know.",
        check="After the mapping every role is system, user, assistant or tool, and each turn is found in the render.",
        fix="Nothing where datakit mapped the names; else map the column or the role in the data.",
        verify="`--show` the row: every turn is there.",
    ),
    Code(
        "M19", "turns in an order that the template refuses", "row", "error",
        symptom="An error in the middle of tokenising, or a turn that is quietly left out.",
        cause="Two user turns in a row, an assistant turn first, a system turn later on, a row that ends unanswered.",
        check="The template renders the row without raising, and a sentinel in every turn is found.",
        fix="Join neighbouring turns of one role, and put the system message first.",
        verify="The row is in the proof.",
    ),
    Code(
        "M20", "prompt repeated inside the answer", "row", "error",
        symptom="The model repeats the question, or trains on the user's words.",
        cause="chosen, rejected or completion hold the whole dialogue although prompt is given beside them.",
        check="A completion does not begin with the prompt's messages and holds only assistant and tool turns.",
        fix="Take the prompt's messages out of the completion, or the prompt column out of the row: it is then found "
        "turn by turn.",
        verify="`--show` the row: the prompt stands there once.",
    ),
    Code(
        "M21", "pair without a prompt of its own", "row", "error",
        symptom="Answers are cut in the middle of a word, and the prompt ends in the middle of an answer.",
        cause="Where a pair has no prompt, trainers take the beginning that both answers share: of strings, character "
        "by character.",
        check="Every pair has a prompt with at least one message.",
        fix="Give the prompt in a column, or both sides as messages that begin with the same turns.",
        verify="The row's prompt in the version holds the whole question.",
    ),
    Code(
        "M22", "pair without a difference", "row", "error",
        symptom="The loss stays at 0.693 and margins stay at 0.",
        cause="Chosen and rejected are equal, differ only in blanks or in what the template removes, or are cut to "
        "the same tokens.",
        check="The ids of both sides differ after template and truncation, and not in blanks alone.",
        fix="Leave the pair out; if the difference is in thinking that the template drops, see M7; if it is cut "
        "off, raise max_length.",
        verify="The row is in the proof.",
    ),
    Code(
        "M23", "pair that differs first in the template's words", "row", "warning",
        symptom="Rewards grow fast and answers do not improve: the model tells the sides apart by boilerplate.",
        cause="The template writes something into one side alone, such as an empty thinking block, or renders the "
        "prompt differently for the two.",
        check="The first id that differs belongs to what the row says, and the prompt's ids are common to both.",
        fix="Give both sides thinking or none, or pick the template argument that treats them alike.",
        verify="`--show` the row: the sides part inside an answer.",
    ),
    Code(
        "M24", "tool arguments encoded twice", "template", "warning",
        symptom='The model calls tools with a string: "{\\"city\\": \\"Berlin\\"}" instead of an object.',
        cause="Arguments are stored as a JSON string, and the template turns them into JSON once more.",
        check="A sentinel call is rendered with its arguments as an object and as a string, and the two are compared.",
        fix="Nothing in the proof: datakit gives each template the form it takes. Send the same form at inference.",
        verify="`datakit template` says tool_call_dict: keep.",
    ),
    Code(
        "M25", "tools or tool calls dropped", "row", "error",
        symptom="The model answers in words where the data calls a tool.",
        cause="The template does not render tool declarations, tool calls or tool results.",
        check="The name and every argument of a call, its result and the declarations are found in the render.",
        fix="Use a template with tools, or leave rows with tool calls out.",
        verify="`datakit template` says tool_call_dict: keep; `--show` the row: the call is marked trained.",
    ),
    Code(
        "M26", "nulls put into tool arguments", "row", "warning",
        symptom='The model calls tools with arguments that nobody gave: {"a": 1, "b": null}.',
        cause="Arrow stores objects of different keys in one table column and fills the gaps with null.",
        check="Arguments hold no null that all calls of the same tool in the row leave open.",
        fix="Build the file again with arguments as JSON strings, as versions of datakit store them.",
        verify="`--show` the row: the call has the arguments of the source.",
    ),
    Code(
        "M27", "content that is null or a list", "row", "error",
        symptom="An error in the template, or the word None in the training text.",
        cause="A tool call comes without content, or content is a list of parts, and the template expects a string.",
        check="A turn without content renders, and nothing of the turn is lost.",
        fix='Give such turns the content "", and join text parts: datakit does so when it reads rows.',
        verify="The row is in the proof; `datakit template` says none_content: renders.",
    ),
    Code(
        "M28", "special tokens inside a message", "row", "error",
        symptom="A row holds a turn that nobody wrote; at worst training or a server breaks.",
        cause="The text of a message spells a special token, which the tokenizer takes for the real one.",
        check="A message, tokenised alone, gives no special token.",
        fix="Leave the row out, or break the spelling apart with a blank.",
        verify="The row is in the proof.",
    ),
    Code(
        "M29", "blanks trimmed or added", "row", "warning",
        symptom="Code loses its first indentation; the trained text is not that of the data.",
        cause="The template trims or pads what the assistant says.",
        check="Every trained content is found in the render, character by character.",
        fix="Trim the data itself (the normalise step of clean does), so that both say the same.",
        verify="`datakit template` says trims: no, or no row has outer blanks.",
    ),
    Code(
        "M30", "training and inference use two templates", "template", "error",
        symptom="Good in evaluation by the trainer, bad behind the server.",
        cause="The server renders with the template in its own copy of the tokenizer, or by a name it guesses.",
        check="The hash of template and tokenizer in the proof equals that of the model in use.",
        fix="Save the proven template with the model and the adapter, and serve that one.",
        verify="The fingerprint that `datakit template` prints is the same for both folders.",
    ),
    Code(
        "M31", "the library gives something else than ids", "template", "error",
        symptom="Type errors, or masks built from the letters of key names.",
        cause="A new version of a library changed what it returns: since transformers 5, apply_chat_template gives a "
        "mapping.",
        check="A first row gives lists of integers, equal by both ways of tokenising.",
        fix="Install the versions that datakit[train] names.",
        verify="The proof starts.",
    ),
    Code(
        "M32", "template tokens without an embedding of their own", "template", "error",
        symptom="Markers fall apart into letters, or training fails with an index out of range.",
        cause="The tokenizer does not know a marker of the template, or has more tokens than the model has rows of "
        "embedding.",
        check="Each marker the template writes is one id, and the vocabulary is not larger than the embedding.",
        fix="Use the tokenizer that belongs to the template; else add the tokens, resize the embedding and train it.",
        verify="The finding is gone; `--show` a row: each marker is one token.",
    ),
    Code(
        "M33", "rows of different shapes in one set", "row", "note",
        symptom="A trainer fails late, or treats every row like the first one.",
        cause="Trainers look at the first row alone to decide what kind of data they have.",
        check="The kind of every row is looked at, and each kind is proved by its own rules.",
        fix="Nothing in the proof: each kind is written apart. Name the stage to choose one.",
        verify="The proof's counts name each kind.",
    ),
)  # fmt: skip

CODES: Final[Mapping[str, Code]] = {code.code: code for code in _ALL}
"""M1 to M33, in order."""
