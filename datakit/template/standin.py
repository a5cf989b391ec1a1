"""A stand-in tokenizer for a bare template: bytes, and the special tokens that stand in the template's source.

What a template does to messages does not depend on the tokenizer's words; where a turn ends and what is structure
depends on its special tokens only, and these are written in the source.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from datakit.template.model import Model, assemble, read_template, training_extra

# The forms in which makers write special tokens, each with who does.
_FORMS: Final = re.compile(
    "|".join(
        (
            r"<\|[^|<>\s]{1,40}\|>",  # <|im_end|>: nearly all
            r"<｜[^｜<>\s]{1,40}｜>",  # <｜User｜>: DeepSeek
            r"<\|[a-z_]{1,30}>|<[a-z_]{1,30}\|>",  # <|turn> <turn|>: Gemma 4
            r"\[\|[a-z_]{1,30}\|\]",  # [|endofturn|]: EXAONE
            r"\[/?[A-Z][A-Z_]{2,30}\]|\[gMASK\]",  # [/INST]: Mistral; [gMASK]: GLM
            r"<(?:extra_id|SPECIAL)_\d{1,4}>",  # <extra_id_1>: Nemotron
            r"</?s>|<(?:bos|eos|pad|unk|sop|BOS_TOKEN|EOS_TOKEN)>",  # SentencePiece, GLM, Cohere
            r"<(?:start_of_turn|end_of_turn|start_of_image|end_of_utterance|image|IMG_CONTEXT)>",  # Gemma, Idefics
        )
    )
)
_BEGINS: Final = re.compile(r"<s>|<bos>|<BOS_TOKEN>|<[|｜](?:begin|startoftext|BEGIN|bos).*[|｜]>")
_ENDS: Final = re.compile(
    r"</s>|<eos>|<EOS_TOKEN>|<[|｜](?:im_end|eot_id|eot|return|end|endoftext|END_OF_TURN_TOKEN|end_of_turn"
    r"|end▁of▁sentence|eos)[|｜]>|<turn\|>|<end_of_turn>|<end_of_utterance>|\[\|endofturn\|\]"
)
_BOS, _EOS = "<s>", "<|endoftext|>"  # what the variables stand for where the source names neither


def stand_in(template: Path) -> Model:
    """A model of a bare Jinja file: its template, and a tokenizer of bytes that knows its special tokens.

    `bos_token` and `eos_token` are single tokens whatever the template calls them: its own where it writes one out,
    another where it uses the variable, so that a turn's end and the text's end stay apart.

    Raises:
        MissingExtra: tokenizers is not installed.
        MissingInput: there is no such file.
        InputError: it is no text.
    """
    source = read_template(template)
    with training_extra("a stand-in tokenizer"):
        from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    written = list(dict.fromkeys(_FORMS.findall(source)))
    bos = _BOS if "bos_token" in source else _first(_BEGINS, written, _BOS)
    eos = _EOS if "eos_token" in source else _first(_ENDS, written, _EOS)
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in dict.fromkeys([bos, eos, *written])]
    )
    return assemble(template.stem, tokenizer, source, {"bos_token": bos, "eos_token": eos})


def _first(form: re.Pattern[str], tokens: list[str], default: str) -> str:
    return next((token for token in tokens if form.fullmatch(token)), default)
