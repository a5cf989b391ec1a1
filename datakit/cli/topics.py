"""What `datakit explain` knows: codes of the mask proof, reason words of the ledger, signs of a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Family = Literal["code", "reason", "sign"]

FAMILIES: Final[Mapping[Family, str]] = {
    "code": "Codes of the mask proof (datakit masks)",
    "reason": "Reasons in the ledger (datakit clean, mix, annotate resolve)",
    "sign": "Signs that a run goes wrong (datakit train)",
}


@dataclass(frozen=True)
class Topic:
    """A word that datakit prints, and what it means.

    Attributes:
        name: the word itself, as printed: M9, gopher_words.
        family: what kind of word it is.
        title: its meaning in a few words.
        facts: short properties, name to value, such as severity.
        sections: headings and what stands below them, in reading order.
    """

    name: str
    family: Family
    title: str
    facts: Mapping[str, str]
    sections: Mapping[str, str]


def topics() -> dict[str, Topic]:
    """All topics by name, in the order of their families."""
    return {
        topic.name: topic
        for topic in (*_codes(), *_rejections(), *_rules(), *_drops(), *_mixed(), *_judged(), *_signs())
    }


def _codes() -> Iterator[Topic]:
    from datakit.masks.codes import CODES

    for code in CODES.values():
        sections = {name: getattr(code, name) for name in ("symptom", "cause", "check", "fix", "verify")}
        yield Topic(code.code, "code", code.title, {"severity": code.severity, "reach": code.reach}, sections)


def _rules() -> Iterator[Topic]:
    """One topic a rule, its words and thresholds from where the rules themselves have them."""
    from datakit.cleaning.rules import LANGUAGES, RULES
    from datakit.recipe.rules import LanguageRules

    for rule in RULES:
        shipped = {language: _bounds(rule.shipped("text", language)) for language in LANGUAGES}
        answers = _bounds(rule.shipped("messages", "other"))
        yield Topic(
            rule.name,
            "reason",
            LanguageRules.model_fields[rule.name].description or rule.name,
            {"decision": "dropped", "stage": "rules"},
            {
                "texts": "; ".join(f"{language}: {bounds}" for language, bounds in shipped.items()),
                "dialogues, pairs, prompts": answers,
                "fix": f"Look at value and threshold in the ledger. Another threshold, or false for off: "
                f"[clean.rules.text] or [clean.rules.messages] {rule.name} = … in a recipe.",
            },
        )


def _bounds(thresholds: Mapping[str, float] | None) -> str:
    """Thresholds as words: `dropped below 50 or above 100000`, or `off`."""
    if thresholds is None:
        return "off"
    sides = [f"{word} {thresholds[key]:,g}" for key, word in (("min", "below"), ("max", "above")) if key in thresholds]
    needs = [f"{value:g} {unit}" for unit, value in thresholds.items() if unit not in ("min", "max")]
    return f"dropped {' or '.join(sides)}" + (f", from {' and '.join(needs)} on" if needs else "")


_REJECTED: Final = {
    "invalid_json": ("the line is no JSON", "Mend the line; the ledger's detail says at which column it breaks."),
    "bad_encoding": ("bytes that are not text in the file's encoding", "Save it as UTF-8, or set [data] encoding."),
    "unknown_kind": (
        "columns of no known format",
        "Map them with [data] columns, or name the format with --format; docs/formats.md shows each.",
    ),
    "wrong_type": ("a column holds another type than its format needs", "Mend the value that the detail names."),
    "duplicate_key": ("an object names a key twice", "Keep one of the two; readers disagree on which one counts."),
    "row_too_long": ("a row longer than clean.max_row_mb", "Cut it, or raise clean.max_row_mb."),
    "truncated_file": ("the file ends in the middle", "Copy or download the file again; rows before the end are read."),
    "ragged_row": ("a row of a table with more or fewer cells than its header", "Mend quotes and separators there."),
    "encrypted": ("a document under a password", "Save a copy without one, in a format of after 2007."),
    "no_text": (
        "a page or document that holds no text",
        "A scanned page is an image: run it through an OCR program first. A web page may make its text by a program.",
    ),
    "broken_document": ("a document that is damaged, or not what its name says", "Open it, and save it anew."),
}


def _rejections() -> Iterator[Topic]:
    for name, (title, fix) in _REJECTED.items():
        facts = {"decision": "rejected", "stage": "read"}
        yield Topic(name, "reason", title, facts, {"where": "dropped/rejected.parquet of the version", "fix": fix})


_DROPPED: Final = {
    "exact_duplicate": (
        "exact",
        "the same record as another, after normalising",
        "The ledger's twin columns name the row that stays. Steps without `exact` keep them all.",
    ),
    "near_duplicate": (
        "near",
        "almost the same words as another row",
        "The ledger has the twin and the similarity. Raise clean.near.threshold to keep more; "
        "`datakit clean --explain near` shows what is found at each similarity.",
    ),
    "language": (
        "language",
        "surely in none of the languages asked for",
        "Add the language to clean.languages, or leave that empty to tag without dropping.",
    ),
    "pii": (
        "pii",
        "personal data, where clean.pii is set to drop rows",
        'Set clean.pii.mode = "mask" to keep the row with the data masked.',
    ),
}


_MIXED: Final = {
    "over_share": (
        "more rows of its version than its weight asks for",
        "Raise its weight, or lower those of the others.",
    ),
    "over_cap": ("more rows of its version than its cap", "Raise the cap of `datakit mix`."),
    "same_row": (
        "an earlier version of the mixture has the row, equal as it was read",
        "The ledger's twin columns name it. Name the version that shall win first.",
    ),
}


def _mixed() -> Iterator[Topic]:
    for name, (title, fix) in _MIXED.items():
        yield Topic(name, "reason", title, {"decision": "dropped", "stage": "mix"}, {"fix": fix})


def _drops() -> Iterator[Topic]:
    for name, (stage, title, fix) in _DROPPED.items():
        yield Topic(name, "reason", title, {"decision": "dropped", "stage": stage}, {"fix": fix})


def _judged() -> Iterator[Topic]:
    from datakit.cli.siblings import check_sibling
    from datakit.errors import UsageFault

    try:
        check_sibling("annotation")
    except UsageFault:
        return
    from annotation.decisions.reasons import REASONS, ROW_MISSING

    for name, reason in REASONS.items():
        facts = {"decision": "rejected" if name == ROW_MISSING else "dropped", "stage": "annotation"}
        yield Topic(name, "reason", reason.title, facts, {"fix": reason.fix})


def _signs() -> Iterator[Topic]:
    from datakit.cli.siblings import check_sibling
    from datakit.errors import UsageFault

    try:
        check_sibling("train")
    except UsageFault:
        return  # the other words can be explained all the same
    from train.signs import SIGNS

    for sign in SIGNS.values():
        sections = {name: getattr(sign, name) for name in ("symptom", "cause", "check", "fix", "verify")}
        yield Topic(sign.metric, "sign", sign.title, {"gate": "rollback"}, sections)
