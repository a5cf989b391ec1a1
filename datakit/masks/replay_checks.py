"""What is looked at in a replayed row; each check yields findings and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from datakit.masks.findings import RowFinding
from datakit.masks.sides import Messages, Prompt, Said, Side, common_prefix_length, said_in
from datakit.template.model import Model

_SHOWN = 60  # characters of a render that a finding quotes


def quoted(text: str) -> str:
    """A piece of a render in a finding: escaped, so that blanks are seen, and cut."""
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return "'" + shown.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"


def of_messages(prompt: Messages, completions: Mapping[str, Messages], wanted: Sequence[str]) -> Iterator[RowFinding]:
    """What can be seen without a template: M21, M20, M13.

    Args:
        prompt: the prompt's messages.
        completions: name to messages.
        wanted: the completions that are taught, and so must say something.
    """
    if completions and not any(_speaks(message) for message in prompt):
        yield RowFinding("M21", "the prompt says nothing, so the prompt may stand inside the answers")
    for name, messages in completions.items():
        if prompt and list(messages[: len(prompt)]) == list(prompt):
            yield RowFinding("M20", f"{name} begins with the messages of the prompt")
        elif strangers := sorted({str(turn.get("role")) for turn in messages} - {"assistant", "tool"}):
            yield RowFinding("M20", f"{name} holds a turn of the role {' and '.join(strangers)}")
    for name in wanted:
        if not any(_speaks(turn) for turn in completions[name] if turn.get("role") == "assistant"):
            yield RowFinding("M13", f"{name} says nothing")


def of_ids(prompt: Prompt, sides: Sequence[Side], model: Model, *, compared: bool) -> Iterator[RowFinding]:
    """What the ids show: M3, M5, M19, M28 of the prompt, M9 and M12 at its end, and the sides one by one.

    Args:
        prompt: as it stands at inference.
        sides: what is trained; none where answers are sampled.
        model: whose ids they are.
        compared: whether the trainer looks for the prompt's end by comparing ids; a reward model has no such end.
    """
    if model.bos_id is not None and list(prompt.ids[:2]) == [model.bos_id] * 2:
        yield RowFinding("M3", "the row begins with two bos tokens")
    yield from _prompt_said(prompt, sides, model)
    for side in sides:
        if compared:
            yield from _border(prompt, side, model)
            yield from _opening(side)
        yield from _end(side, model)
        yield from _said(side, model)
    if compared and len(sides) == 2:
        yield from _first_difference(sides[0], sides[1], prompt)


def of_prompt_only(prompt: Prompt, model: Model) -> Iterator[RowFinding]:
    """M10: nothing stands between the prompt and the answer that will be sampled."""
    if prompt.text != prompt.bare:
        return
    closed = bool(prompt.ids) and prompt.ids[-1] in model.special_ids
    after = "; the answer follows a special token" if closed else f"; the answer follows {quoted(prompt.text[-20:])}"
    yield RowFinding("M10", f"the template adds no generation prompt{after}")


def no_difference(chosen: Side, rejected: Side) -> Iterator[RowFinding]:
    """M22: a pair whose sides are the same to the model, or differ in blanks alone."""
    if list(chosen.messages) == list(rejected.messages):
        yield RowFinding("M22", "chosen and rejected are the same messages")
    elif chosen.ids == rejected.ids:
        yield RowFinding("M22", "chosen and rejected differ, but the template renders them alike")
    elif "".join(chosen.text.split()) == "".join(rejected.text.split()):
        yield RowFinding("M22", "chosen and rejected differ in blanks alone")


def no_difference_left(sides: Sequence[Side], max_length: int) -> Iterator[RowFinding]:
    """M22: a pair whose sides are the same as far as they are trained."""
    if len(sides) == 2 and sides[0].ids != sides[1].ids and sides[0].ids[:max_length] == sides[1].ids[:max_length]:
        yield RowFinding("M22", f"chosen and rejected are the same in their first {max_length:,} tokens")


def cut(sides: Sequence[Side], max_length: int) -> Iterator[RowFinding]:
    """M16 for pairs and rated answers: what keep_start truncation takes, and what TRL then drops without a word."""
    if (prompt := sides[0].start) >= max_length:
        detail = f"the prompt's {prompt:,} tokens fill max_length {max_length:,}; TRL drops the row in silence"
        yield RowFinding("M16", detail)
        return
    for side in sides:
        if side.solid and side.solid[-1] >= max_length:
            yield RowFinding("M16", f"{side.name} has {len(side.ids):,} tokens; max_length {max_length:,} cuts its end")


def too_long(sides: Sequence[Side], max_length: int) -> Iterator[RowFinding]:
    """M16 for reward models: TRL drops a pair with a longer side."""
    for side in sides:
        if len(side.ids) > max_length:
            length = f"{side.name} has {len(side.ids):,} tokens, over max_length {max_length:,}"
            yield RowFinding("M16", f"{length}; TRL drops the pair in silence")


def no_room(prompt: Prompt, max_length: int, max_completion: int | None) -> Iterator[RowFinding]:
    """M16 for prompts: the answer that will be sampled must fit behind them."""
    room, need = max_length - len(prompt.ids), max_completion or 1
    if room < need:
        detail = f"the prompt has {len(prompt.ids):,} tokens and leaves {max(room, 0):,} of max_length {max_length:,}"
        yield RowFinding("M16", f"{detail} for an answer of {need:,}")


def _speaks(message: Mapping[str, object]) -> bool:
    content = message.get("content")
    return bool(message.get("tool_calls") or message.get("reasoning_content") or (content and str(content).strip()))


def _prompt_said(prompt: Prompt, sides: Sequence[Side], model: Model) -> Iterator[RowFinding]:
    """M5 and M19: words of the prompt that a render lacks; M28: words that the tokenizer takes for structure."""
    lost: dict[tuple[int, str], list[str]] = {}
    said = said_in(prompt.messages, prompt.text, 0)
    places = {"prompt": said, **{side.name: said_in(prompt.messages, side.text, 0) for side in sides}}
    for name, pieces in places.items():
        for piece in pieces:
            if piece.start < 0 and piece.role in ("system", "user"):
                lost.setdefault((piece.turn, piece.role), []).append(name)
    for (turn, role), names in lost.items():
        detail = f"message {turn + 1} ({role}) of the prompt is missing in the render of {' and '.join(names)}"
        yield RowFinding("M5" if role == "system" else "M19", detail)
    yield from _special("prompt", said, prompt.ids, prompt.offsets, model)


def _border(prompt: Prompt, side: Side, model: Model) -> Iterator[RowFinding]:
    """M9 and M12: the prompt's ids are not the first ids of the whole."""
    start = common_prefix_length(prompt.ids, side.ids)
    if start == len(prompt.ids):
        return
    if side.text.startswith(prompt.text):
        alone = prompt.text[slice(*prompt.offsets[start])]
        detail = f"the prompt ends in the token {quoted(alone)}, and has {quoted(side.token(start))} before {side.name}"
        yield RowFinding("M12", detail)
    else:
        tail = model.tokenizer.decode(list(prompt.ids[start:]), skip_special_tokens=False)
        yield RowFinding("M9", f"at inference {quoted(tail)} stands before the answer, in {side.name} it does not")


def _end(side: Side, model: Model) -> Iterator[RowFinding]:
    """M1 and M4: what stands behind the last words of the completion."""
    spoken = max((said.end for said in side.said), default=0)
    behind = [at for at in side.solid if side.offsets[at][0] >= spoken]
    stops = [at for at in behind if side.ids[at] in model.stop_ids]
    if side.solid and not stops:
        yield RowFinding("M1", f"{side.name} ends in {quoted(side.token(side.solid[-1]))}, which stops nothing")
    elif stops and stops[0] != side.solid[-1]:
        first, last = side.token(stops[0]), side.token(side.solid[-1])
        yield RowFinding("M4", f"{side.name} goes on behind its stop token {quoted(first)} and ends in {quoted(last)}")


def _opening(side: Side) -> Iterator[RowFinding]:
    """M7 and M8: what the template writes between the prompt and the completion's words."""
    begin, end = side.opening
    if written := side.text[begin:end].strip():
        code = "M7" if "think" in written else "M8"
        yield RowFinding(code, f"the template writes {quoted(written)} before {side.name}, and it is trained")


def _said(side: Side, model: Model) -> Iterator[RowFinding]:
    """M7, M25, M28 and M29: what the template makes of the completion's words."""
    for said in side.said:
        if said.role == "assistant":  # results of tools are often written as JSON once more
            yield from _piece(said, side.name)
    yield from _special(side.name, side.said, side.ids[side.start :], side.offsets[side.start :], model)


def _piece(said: Said, name: str) -> Iterator[RowFinding]:
    if said.start < 0:
        code = {"reasoning": "M7", "call": "M25", "content": "M29"}[said.part]
        yield RowFinding(code, f"{said.part} {quoted(said.words)} of {name} is not in the render")
    elif not said.whole:
        yield RowFinding("M29", f"outer blanks of {name} are trimmed")


def _special(
    name: str, said: Sequence[Said], ids: Sequence[int], offsets: Sequence[tuple[int, int]], model: Model
) -> Iterator[RowFinding]:
    """M28: a special token that stands inside the words of a message."""
    for number, (begin, end) in zip(ids, offsets, strict=True):
        if number in model.special_ids and any(piece.start <= begin and end <= piece.end for piece in said):
            yield RowFinding("M28", f"the words of {name} hold the special token {model.tokenizer.id_to_token(number)}")
            return


def _first_difference(chosen: Side, rejected: Side, prompt: Prompt) -> Iterator[RowFinding]:
    """M23: the first id that differs is not one that the row brought."""
    at = common_prefix_length(chosen.ids, rejected.ids)
    if at >= min(len(chosen.ids), len(rejected.ids)):
        return
    if at < len(prompt.ids) and prompt.ids[at] in (chosen.ids[at], rejected.ids[at]):
        yield RowFinding("M23", "one side goes on as the prompt does at inference, and the other does not")
        return
    for side in (chosen, rejected):
        begin, end = side.opening
        if side.offsets[at][1] <= end and side.text[begin:end].strip():
            detail = f"the sides part at {quoted(side.token(at))}, which the template writes before {side.name}"
            yield RowFinding("M23", detail)
            return
