"""Spans of characters as tokens: which token is trained, and which reaches over the edge of a span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from datakit.masks.findings import RowFinding
from datakit.masks.spans import Span
from datakit.template.model import Model

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

IGNORED: Final = -100
"""The label of tokens that are not trained: the index that PyTorch's cross entropy leaves out."""

_HEADER: Final = 16  # tokens of an answer's header, at most

Ids = npt.NDArray[np.int32]


class Place(NamedTuple):
    """Characters as tokens: the first one, and behind the last; `straddler` begins before them, and is none of them."""

    first: int
    last: int
    straddler: int | None


class Labelled(NamedTuple):
    """A row's labels.

    labels: int32 array, shape (n_tokens,), `IGNORED` where not trained. places: its spans in tokens. confirmed: turns
    whose place the ids show by themselves. findings: what is wrong at the edges of spans.
    """

    labels: Ids
    places: list[Place]
    confirmed: frozenset[int]
    findings: list[RowFinding]


class Labeller:
    """Tokenises renders, and turns their spans into labels.

    Args:
        model: whose tokenizer and special tokens hold.
        stops: ids that close an answer; the model's own where None.
        header: what the template opens an answer with.
    """

    def __init__(self, model: Model, stops: frozenset[int] | None = None, header: str = "") -> None:
        self._stops = flags(model, model.stop_ids if stops is None else stops)
        self._special = model.special_ids
        self._tokenizer = _without_trimming(model.tokenizer)
        self._tails: dict[str, list[int]] = {}
        ids = self._tokenizer.encode(header, add_special_tokens=False).ids
        # From its first special token on: what precedes that may merge with the words before the header.
        first = next((place for place, number in enumerate(ids) if number in self._special), len(ids))
        self._header = np.array(ids[first:], dtype=np.int32)

    def encode(self, texts: list[str]) -> list[Encoding]:
        """The encodings of renders, with offsets that hold the blanks of a token too."""
        return list(self._tokenizer.encode_batch(texts, add_special_tokens=False))

    def label(self, encoding: Encoding, ids: Ids, text: str, spans: Sequence[Span], answers: int) -> Labelled:
        """The labels of a row.

        Args:
            encoding: of `text`, as `encode` gives it.
            ids: its ids, shape (n_tokens,).
            text: the render.
            spans: what is trained of it.
            answers: assistant turns in it, trained or not.
        """
        labels = np.full(len(ids), IGNORED, dtype=np.int32)
        places: list[Place] = []
        findings: list[RowFinding] = []
        confirmed: set[int] = set()
        headers = self._behind_headers(ids)
        for span in spans:
            found = place(encoding, span.start, span.end, len(text))
            if found is None:
                findings.append(RowFinding("M13", f"messages[{span.turn}]: no token stands in its span"))
                continue
            places.append(found)
            labels[found.first : found.last] = ids[found.first : found.last]
            wrong = self._stops_wrong(ids[found.first : found.last], span)
            findings += wrong
            begins = found.first if span.prompt == span.start else _token_from(encoding, span.prompt, len(text))
            if found.straddler is not None:
                start, end = encoding.token_to_chars(found.straddler) or (0, 0)
                token = repr(text[start:end])
                findings.append(RowFinding("M12", f"messages[{span.turn}]: the token {token} begins before the answer"))
            elif begins in headers and len(headers) == answers:
                if not wrong:
                    confirmed.add(span.turn)
            elif begins is not None and not self._follows_its_prompt(encoding, ids, text, begins, span.prompt):
                findings.append(RowFinding("M12", f"messages[{span.turn}]: its prompt, alone, gives other tokens"))
        return Labelled(labels, places, frozenset(confirmed), findings)

    def _behind_headers(self, ids: Ids) -> frozenset[int]:
        """The places behind each header of an answer; none where the header has no special token."""
        size = len(self._header)
        if not size or len(ids) < size:
            return frozenset()
        starts = np.flatnonzero(ids[: len(ids) - size + 1] == self._header[0])
        for offset in range(1, size):
            starts = starts[ids[starts + offset] == self._header[offset]]
        return frozenset((starts + size).tolist())

    def _stops_wrong(self, inside: Ids, span: Span) -> list[RowFinding]:
        """What the tokens of a span say against its end, which was found by characters: one stop token, the last."""
        stops = np.flatnonzero(self._stops[inside])
        if span.stopped and (not len(stops) or stops[-1] != len(inside) - 1):
            return [RowFinding("M1", f"messages[{span.turn}]: its last token is no stop token")]
        if len(stops) > span.stopped:
            return [RowFinding("M4", f"messages[{span.turn}]: a stop token stands inside the answer")]
        return []

    def _follows_its_prompt(self, encoding: Encoding, ids: Ids, text: str, first: int, end: int) -> bool:
        """Whether the tokens before `first`, where a prompt ends at character `end`, are those of the prompt alone.

        Special tokens are cut out before all else: only what stands between the last of them and the end, most often
        the header's words, has to be tokenised again, and that is the same from row to row.
        """
        before = ids[max(0, first - _HEADER) : first].tolist()
        tail = next((n for n, number in enumerate(reversed(before)) if number in self._special), None)
        if tail is not None and (chars := encoding.token_to_chars(first - tail - 1)) is not None:
            words = text[chars[1] : end]
            known = self._tails.get(words)
            if known is None:
                known = self._tails[words] = self._tokenizer.encode(words, add_special_tokens=False).ids
            if known == before[len(before) - tail :]:
                return True
        prompt = self._tokenizer.encode(text[:end], add_special_tokens=False)
        return bool(prompt.ids == ids[:first].tolist())


def _without_trimming(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, or a copy of it, whose offsets hold the blanks that a token begins with.

    Some post-processors trim them, which would hide that a token begins in the prompt. What else a post-processor
    does, adding special tokens, is not wanted here: templates write them.
    """
    if tokenizer.post_processor is None or b'"trim_offsets":true' not in tokenizer.post_processor.__getstate__():
        return tokenizer
    copy = type(tokenizer).from_str(tokenizer.to_str())
    copy.post_processor = None
    return copy


def place(encoding: Encoding, start: int, end: int, length: int) -> Place | None:
    """The tokens of the characters from `start` to `end`; None where no token begins there.

    Args:
        encoding: of a text of `length` characters, as `Labeller.encode` gives it.
        start: the first character.
        end: behind the last character, and behind `start`.
        length: characters of the text.
    """
    first = _token_from(encoding, start, end)
    if first is None:
        return None
    straddler = None
    if _start_of(encoding, first) < start:
        straddler, first = first, first + 1
        while first < len(encoding) and _start_of(encoding, first) < start:
            first += 1  # the further bytes of a character that several tokens share
    last = _token_from(encoding, end, length)
    last = len(encoding) if last is None else last
    return Place(first, last, straddler) if first < last else None


def _token_from(encoding: Encoding, start: int, end: int) -> int | None:
    """The first token of the first character from `start` on that has one: some tokenizers leave blanks out."""
    for character in range(start, end):
        token = encoding.char_to_token(character)
        if token is not None:
            return int(token)
    return None


def _start_of(encoding: Encoding, token: int) -> int:
    chars = encoding.token_to_chars(token)
    return chars[0] if chars is not None else 0


def flags(model: Model, chosen: frozenset[int]) -> npt.NDArray[np.bool_]:
    """Whether each id of a model is chosen, shape (largest id + 1,)."""
    largest = max(model.vocabulary, *model.tokenizer.get_added_tokens_decoder(), *chosen)
    found = np.zeros(largest + 1, dtype=bool)
    found[list(chosen)] = True
    return found


def count_trained(labels: Ids) -> int:
    """Tokens that are trained."""
    return int(np.count_nonzero(labels != IGNORED))


def trained_runs(labels: Ids) -> list[int]:
    """The first token of each trained stretch and the one behind its last, in turns."""
    return [int(edge) for edge in np.flatnonzero(np.diff(labels != IGNORED, prepend=False, append=False))]
