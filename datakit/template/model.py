"""A tokenizer and the chat template in force, read from a model's folder as a trainer would read them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

import orjson

from datakit.errors import InputError, MissingExtra, MissingInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# An added token between bars is structure even where its `special` flag is off (Qwen2.5's `<|fim_prefix|>`); one that
# looks like a tag and is not special (`<think>`, `<tool_call>`) is markup that a model writes itself.
_BARRED: Final = re.compile(r"[<\[][|｜].*|.*[|｜][>\]]", re.DOTALL)


@dataclass(frozen=True)
class Model:
    """A tokenizer and the chat template in force: what a proof is about.

    Attributes:
        name: the folder's name or the file's stem, for people.
        tokenizer: the fast tokenizer, without truncation and padding. Rendered chats are encoded with
            `add_special_tokens=False`: the template has written them already.
        template: the template's Jinja source; empty where the folder has none.
        special: `bos_token`, `eos_token`, `pad_token` … as a template sees them.
        special_ids: ids of the tokens that only a template may write: special, or named between bars.
        bos_id: id of `bos_token`, None where there is none; likewise `eos_id` and `pad_id`.
        stop_ids: ids that end generation: `eos_id`, and those of `generation_config.json`.
        adds_bos: whether encoding with special tokens puts `bos_token` in front.
        vocabulary: number of tokens, added ones included.
        embedding_rows: rows of the embedding by `config.json`; None where it is not there.
        fingerprint: 32 hex digits over template, tokenizer and special tokens.
    """

    name: str
    tokenizer: Tokenizer
    template: str
    special: Mapping[str, str]
    special_ids: frozenset[int]
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    stop_ids: frozenset[int]
    adds_bos: bool
    vocabulary: int
    embedding_rows: int | None
    fingerprint: str


def load_model(folder: Path, template: Path | None = None) -> Model:
    """The model of a folder with tokenizer files; weights are not needed.

    Args:
        folder: holds `tokenizer.json` (or another form that transformers turns into a fast tokenizer), and may hold
            `chat_template.jinja`, `tokenizer_config.json`, `generation_config.json` and `config.json`.
        template: a Jinja file to take instead of the folder's own template.

    Raises:
        MissingExtra: transformers is not installed.
        MissingInput: the folder or the template is not there.
        InputError: no fast tokenizer can be read from the folder, or one of its files is broken.
    """
    if not folder.is_dir():
        raise MissingInput(
            str(folder), "no such model", "a folder with tokenizer files", "Download it first: hf download NAME"
        )
    config, generation = _read_json(folder / "config.json"), _read_json(folder / "generation_config.json")
    loaded = _load_tokenizer(folder)
    source = read_template(template) if template is not None else _template_of(loaded.chat_template, folder)
    return assemble(
        folder.resolve().name,
        loaded.backend_tokenizer,
        source,
        dict(loaded.special_tokens_map),
        further_stops=_listed(generation.get("eos_token_id")),
        embedding_rows=config.get("vocab_size") or config.get("text_config", {}).get("vocab_size"),
    )


def assemble(
    name: str,
    tokenizer: Tokenizer,
    template: str,
    special: Mapping[str, str],
    *,
    further_stops: frozenset[int] = frozenset(),
    embedding_rows: int | None = None,
) -> Model:
    """A model of its parts: ids are looked up, and the fingerprint is taken."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    named = {role: tokenizer.token_to_id(text) for role, text in special.items()}
    added = tokenizer.get_added_tokens_decoder()
    marked = {number for number, token in added.items() if token.special or _BARRED.fullmatch(token.content)}
    bos, eos = named.get("bos_token"), named.get("eos_token")
    digest = hashlib.blake2b(digest_size=16)
    for part in (template, tokenizer.to_str(), orjson.dumps(dict(special), option=orjson.OPT_SORT_KEYS).decode()):
        digest.update(f"{len(part)}:{part}".encode())
    return Model(
        name=name,
        tokenizer=tokenizer,
        template=template,
        special=special,
        special_ids=frozenset(marked | {number for number in named.values() if number is not None}),
        bos_id=bos,
        eos_id=eos,
        pad_id=named.get("pad_token"),
        stop_ids=further_stops | ({eos} if eos is not None else frozenset()),
        adds_bos=bos is not None and tokenizer.encode("").ids[:1] == [bos],
        vocabulary=tokenizer.get_vocab_size(with_added_tokens=True),
        embedding_rows=embedding_rows,
        fingerprint=digest.hexdigest(),
    )


def read_template(path: Path) -> str:
    """A Jinja file's text.

    Raises:
        MissingInput: it is not there.
        InputError: it is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingInput(str(path), "no such template", "a Jinja file") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(str(path), f"cannot be read as text ({error})", "a Jinja file in UTF-8") from None


@contextmanager
def training_extra(need: str) -> Iterator[None]:
    """Turn a failed import of what the extra brings into words.

    Raises:
        MissingExtra: something that is imported inside is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtra(
            need, f"needs {error.name or error}, which is not installed", cure="pip install 'datakit[train]'"
        ) from None


def _load_tokenizer(folder: Path) -> Any:
    """The tokenizer as trainers load it: `AutoTokenizer` may make another of the files than `tokenizer.json` says."""
    with training_extra("reading a tokenizer"):
        from transformers import AutoTokenizer
        from transformers.utils import logging as talk
    verbosity = talk.get_verbosity()
    talk.set_verbosity(logging.ERROR)  # remarks on the class that a tokenizer names, which change nothing here
    try:
        loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise InputError(
            str(folder),
            f"no tokenizer can be read ({shorten(str(error) or repr(error), 160, placeholder=' …')})",
            "tokenizer.json and tokenizer_config.json",
            "Save them there with tokenizer.save_pretrained",
        ) from None
    finally:
        talk.set_verbosity(verbosity)
    if not getattr(loaded, "is_fast", False):
        raise InputError(
            str(folder),
            f"{type(loaded).__name__} is a slow tokenizer, which knows no offsets",
            "tokenizer.json",
            "Convert it with AutoTokenizer and save_pretrained",
        )
    return loaded


def _template_of(found: Any, folder: Path) -> str:
    """The one template in force; of several, the one that transformers takes where none is named."""
    if isinstance(found, dict):
        if "default" not in found:
            names = ", ".join(sorted(found))
            raise InputError(
                str(folder), f"several templates ({names}), none of them 'default'", cure="Choose one with --template"
            )
        return str(found["default"])
    return str(found or "")


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object from beside the tokenizer; empty where there is no such file."""
    try:
        value = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except orjson.JSONDecodeError as error:
        raise InputError(str(path), f"is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise InputError(str(path), f"holds a JSON {type(value).__name__}", "an object")
    return value


def _listed(ids: Any) -> frozenset[int]:
    """`eos_token_id` of a generation config: one id, several, or none."""
    if isinstance(ids, int):
        return frozenset({ids})
    return frozenset(ids or ())
