"""What a search engine of Argilla has to answer, as plain data: a dataset, queries, and the records that match.

Expected values are written by hand, from the documentation of Elasticsearch's standard analyser, simple_query_string,
nested queries and sorting, with the settings of Argilla's own engine (argilla_server/search_engine/commons.py). Where
ours is meant to differ, `elasticsearch` says what that one answers, and `why`. Used by search_contract.py, which runs
in Argilla's environment, and by test_annotate_search.py, which does not: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FIELDS = {"text": "text", "chat": "chat", "extra": "custom", "picture": "image"}
QUESTIONS: dict[str, dict[str, Any]] = {
    "label": {"type": "label_selection", "options": [{"value": v, "text": v} for v in ("A", "B", "tie")]},
    "tags": {"type": "multi_label_selection", "options": [{"value": v, "text": v} for v in ("polite", "short", "错")]},
    "stars": {"type": "rating", "options": [{"value": v} for v in (1, 2, 3, 4, 5)]},
    "note": {"type": "text", "use_markdown": False},
}
METADATA = {"topic": "terms", "length": "integer", "price": "float"}
USERS = ("ann", "bob", "cy")


@dataclass(frozen=True)
class Row:
    """A record with all that hangs on it; `day` is the day of November 2026 on which it was inserted."""

    name: str
    day: int
    text: str = ""
    chat: list[tuple[str, str]] | None = None
    extra: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    status: str = "pending"
    answers: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)  # user -> status, values
    suggestions: dict[str, tuple[Any, Any, str | None]] = field(default_factory=dict)  # question -> value, score, agent
    vector: list[float] | None = None


ROWS = [
    Row(
        "quality", 1, "产品质量很好，Quality is GREAT. Café near the state-of-the-art museum.",
        metadata={"topic": ["goods", "praise"], "length": 10, "price": 0.5},
        status="completed",
        answers={
            "ann": ("submitted", {"label": "A", "stars": 5, "tags": ["polite", "short"]}),
            "bob": ("submitted", {"label": "B", "stars": 2}),
        },
        suggestions={"label": ("A", 0.75, "judge"), "tags": (["polite", "错"], [0.25, 0.5], "judge")},
        vector=[1.0, 0.0],
    ),
    Row(
        "mass", 2, "质地不错，重量也合适。",
        metadata={"topic": "goods", "length": 20, "price": 1.5},
        answers={"ann": ("draft", {"label": "B", "stars": 3})},
        suggestions={"label": ("B", 0.25, "rm")},
        vector=[0.6, 0.8],
    ),
    Row(
        "refund", 3, "The customer wants a refund; don't delay! Version 3.14 of foo.bar: final",
        metadata={"topic": "money", "length": 30},
        answers={"bob": ("discarded", {"note": "A"})},
        suggestions={"stars": (4, None, None)},
        vector=[0.0, 1.0],
    ),
    Row(
        "refunds", 4, "Two refunds were paid. 退款已到账",
        metadata={"topic": "money", "length": -5, "price": 2.5},
        answers={"cy": ("submitted", {"label": "tie", "stars": 1})},
        vector=[-1.0, 0.0],
    ),
    Row("asked", 5, "dialogue one", [("user", "我想退款，谢谢"), ("assistant", "好的，请提供订单号。")]),
    Row("parted", 6, "dialogue two", [("user", "退"), ("assistant", "款 order number")], metadata={"length": 30}),
    Row("across", 7, "order placed", [("user", "number, please")], metadata={"topic": ["goods"], "price": 0.5}),
    Row("custom", 8, "third dialogue", extra={"note": "hidden gem", "size": 7}),
    Row("signs", 9, "これはカタカナテスト ＡＢＣ 한국어 문장 snake_case 3,000 it’s"),
    Row("empty", 10),
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One search: what is asked, the names of the records that match, in order where `ordered`."""

    name: str
    found: str  # names, parted by spaces
    query: str | None = None
    field: str | None = None
    filters: tuple[tuple[Any, ...], ...] = ()
    sort: tuple[tuple[Any, ...], ...] = ()
    user: str | None = None
    offset: int = 0
    limit: int = 100
    total: int | None = None  # where it is not the number of records found
    ordered: bool = False
    elasticsearch: str | None = None
    why: str = ""


ALL = "quality mass refund refunds asked parted across custom signs empty"


def _text(name: str, query: str, found: str, field: str | None = None, **more: str) -> Case:
    return Case(f"text {name}", found, query=query, field=field, **more)  # type: ignore[arg-type]


TEXT = [
    _text("word", "refund", "refund"),
    _text("upper case of the query", "REFUND", "refund"),
    _text("upper case of the text", "great", "quality"),
    _text("part of a word", "fund", ""),
    _text("accent", "café", "quality"),
    _text("accents are not folded", "cafe", ""),
    _text("all words", "refund delay", "refund"),
    _text("all words, one missing", "refund museum", ""),
    _text("words of two fields", "order number", "parted across"),
    _text("or", "refund | museum", "quality refund"),
    _text("and", "refund + customer", "refund"),
    _text("left to right", "museum | refund customer", "refund"),
    _text("group", "museum | (refund customer)", "quality refund"),
    _text("group of or", "(museum | refund) customer", "refund"),
    _text("not", "dialogue -two", "asked custom"),
    _text("not alone", "-dialogue", "quality mass refund refunds across signs empty"),
    _text("twice not", "--refund", "refund"),
    _text("not in a word", "state-of-the-art", "quality"),
    _text("signs alone", "!!! ...", ""),
    _text("nothing", "", ""),
    _text("everything", "*", ALL),
    _text("prefix", "refund*", "refund refunds"),
    _text("prefix, upper case", "Refund*", "refund refunds"),
    _text("prefix and word", "dia* one", "asked"),
    _text("star inside a word", "re*und", ""),
    _text("phrase", '"customer wants"', "refund"),
    _text("phrase, other order", '"wants customer"', ""),
    _text("phrase and word", '"customer wants" version', "refund"),
    _text("phrase with a gap", '"customer refund"~2', "refund"),
    _text("phrase with too wide a gap", '"customer refund"~1', ""),
    _text("phrase not over two fields", '"placed number"', ""),
    _text("quotation mark left open", '"refund', "refund"),
    _text("bracket left open", "(refund", "refund"),
    _text("bracket never opened", "refund) customer", "refund"),
    _text("escaped sign", r"\-refund", "refund"),
    _text("apostrophe", "don't", "refund"),
    _text("apostrophe is part of the word", "don", ""),
    _text("decimal number", "3.14", "refund"),
    _text("part of a number", "14", ""),
    _text("point between letters", "foo.bar", "refund"),
    _text("thousands", "3,000", "signs"),
    _text("underscore", "snake_case", "signs"),
    _text("Chinese, one sign", "账", "refunds"),
    _text("Chinese, one common sign", "退", "refunds asked parted"),
    _text("Chinese, two signs inside a text", "到账", "refunds"),
    _text("Chinese, two signs", "质量", "quality", elasticsearch="quality mass", why="signs side by side are a phrase"),
    _text("Chinese, refund", "退款", "refunds asked", elasticsearch="refunds asked parted", why="as above"),
    _text("Chinese, two words", "产品 很好", "quality"),
    _text("Chinese, one of two words missing", "产品 重量", ""),
    _text("Chinese or", "重量 | 到账", "mass refunds"),
    _text("Chinese not", "退款 -到账", "asked", elasticsearch="asked parted", why="as above"),
    _text("Chinese phrase", '"质量"', "quality"),
    _text("Chinese phrase of a sentence", '"请提供订单号"', "asked"),
    _text(
        "Chinese prefix", "订单*", "asked", elasticsearch="", why="there a prefix is one token, never two ideographs"
    ),
    _text("Chinese and Latin together", "质量 quality", "quality"),
    _text("Chinese and Latin in one word", "很好quality", "quality"),
    _text("Chinese punctuation", "质量，很好", "quality"),
    _text("phrase not over two messages", '"退款"', "refunds asked"),
    _text("Hiragana", "これ", "signs"),
    _text("Katakana is a word", "カタカナ", ""),
    _text("Katakana", "カタカナテスト", "signs"),
    _text("Hangul", "한국어", "signs"),
    _text("wide Latin letters", "ａｂｃ", "signs"),
    _text("custom field", "gem", "custom"),
    _text("role of a chat", "assistant", "asked parted"),
    _text("role is one keyword", "assist", ""),
    _text("prefix of a role", "assist*", "asked parted"),
    _text("field", "order", "across", field="text"),
    _text("field that is a chat", "order", "parted", field="chat"),
    _text("role in its field", "user", "asked parted across", field="chat"),
    _text("field, not in it", "gem", "", field="text"),
    _text("field that is custom", "gem", "custom", field="extra"),
    _text("field and not", "-dialogue", "quality mass refund refunds across signs empty", field="text"),
]


def _filter(name: str, found: str, *filters: tuple[Any, ...], user: str | None = None, **more: Any) -> Case:
    return Case(f"filter {name}", found, filters=filters, user=user, **more)


FILTERS = [
    _filter("terms", "refund refunds", ("terms", "metadata", "topic", ["money"])),
    _filter("terms of a list", "quality mass across", ("terms", "metadata", "topic", ["goods"])),
    _filter("any of the terms", "quality refund refunds", ("terms", "metadata", "topic", ["money", "praise"])),
    _filter("unknown term", "", ("terms", "metadata", "topic", ["Money"])),
    _filter("terms of a number", "refund parted", ("terms", "metadata", "length", ["30"])),
    _filter("range", "mass refund parted", ("range", "metadata", "length", 15, 30)),
    _filter("range, lower bound", "refund parted", ("range", "metadata", "length", 21, None)),
    _filter("range, upper bound", "quality refunds", ("range", "metadata", "length", None, 10)),
    _filter("range of floats", "quality across", ("range", "metadata", "price", 0.25, 1.0)),
    _filter(
        "two filters", "refund", ("terms", "metadata", "topic", ["money"]), ("range", "metadata", "length", 0, None)
    ),
    _filter("record status", "quality", ("terms", "record", "status", ["completed"])),
    _filter("record status, the rest", ALL.removeprefix("quality "), ("terms", "record", "status", ["pending"])),
    _filter("external id", "mass empty", ("terms", "record", "external_id", ["mass", "empty"])),
    _filter("inserted from", "signs empty", ("range", "record", "inserted_at", "2026-11-09T00:00:00", None)),
    _filter("inserted until a day", "quality mass", ("range", "record", "inserted_at", None, "2026-11-02")),
    _filter(
        "inserted between", "asked", ("range", "record", "inserted_at", "2026-11-04T12:00:00", "2026-11-05T12:00:00")
    ),
    _filter("response value of anyone", "quality mass", ("terms", "response", "label", ["B"])),
    _filter("response value of one", "quality", ("terms", "response", "label", ["B"]), user="bob"),
    _filter("response value of one who has not", "", ("terms", "response", "label", ["B"]), user="cy"),
    _filter("response list", "quality", ("terms", "response", "tags", ["short", "错"])),
    _filter("response rating", "quality refunds", ("terms", "response", "stars", ["1", "5"])),
    _filter("response range", "quality mass", ("range", "response", "stars", 3, None)),
    _filter("response range of one", "quality", ("range", "response", "stars", 2, 2), user="bob"),
    _filter("two people's answers are not one", "", ("range", "response", "stars", 4, None), user="bob"),
    _filter("text answers are not searched", "", ("terms", "response", "note", ["A"])),
    _filter("submitted by anyone", "quality refunds", ("terms", "response", None, ["submitted"])),
    _filter("submitted by one", "quality", ("terms", "response", None, ["submitted"]), user="ann"),
    _filter("draft or discarded", "mass refund", ("terms", "response", None, ["draft", "discarded"])),
    _filter("pending", "asked parted across custom signs empty", ("terms", "response", None, ["pending"])),
    _filter(
        "pending of one",
        "refund refunds asked parted across custom signs empty",
        ("terms", "response", None, ["pending"]),
        user="ann",
    ),
    _filter(
        "pending or draft of one",
        "mass refund refunds asked parted across custom signs empty",
        ("terms", "response", None, ["pending", "draft"]),
        user="ann",
    ),
    _filter(
        "queue of one",
        "mass refunds asked parted across custom signs empty",
        ("terms", "response", None, ["pending"]),
        ("terms", "record", "status", ["pending"]),
        user="bob",
    ),
    _filter("suggestion", "quality", ("terms", "suggestion", "label", "value", ["A"])),
    _filter("suggestion list", "quality", ("terms", "suggestion", "tags", "value", ["错"])),
    _filter("suggestion rating", "refund", ("terms", "suggestion", "stars", "value", ["4"])),
    _filter("suggestion score", "quality", ("range", "suggestion", "label", "score", 0.5, 1.0)),
    _filter("suggestion score of a list", "quality", ("range", "suggestion", "tags", "score", 0.5, None)),
    _filter("suggestion agent", "mass", ("terms", "suggestion", "label", "agent", ["rm", "nobody"])),
    _filter("suggestion type", "quality mass", ("terms", "suggestion", "label", "type", ["model"])),
    _filter("with text", "refunds", ("terms", "metadata", "topic", ["money"]), query="退款"),
]  # fmt: skip


def _sorted(name: str, found: str, *sort: tuple[Any, ...], **more: Any) -> Case:
    return Case(f"sort {name}", found, sort=sort, ordered=True, **more)


_GIVEN = ("terms", "record", "external_id", ["quality", "mass", "refund", "refunds"])
SORTS = [
    _sorted("inserted", ALL, ("asc", "record", "inserted_at")),
    _sorted("inserted, latest first", " ".join(reversed(ALL.split())), ("desc", "record", "inserted_at")),
    _sorted("external id", "across asked custom", ("asc", "record", "external_id"), limit=3, total=10),
    _sorted("number", "refunds quality mass refund", ("asc", "metadata", "length"), filters=(_GIVEN,)),
    _sorted("number, greatest first", "refund mass quality refunds", ("desc", "metadata", "length"), filters=(_GIVEN,)),
    _sorted("missing last", "quality mass refunds refund", ("asc", "metadata", "price"), filters=(_GIVEN,)),
    _sorted("missing last, downwards", "refunds mass quality refund", ("desc", "metadata", "price"), filters=(_GIVEN,)),
    _sorted(
        "terms, then number", "mass quality refund refunds",
        ("asc", "metadata", "topic"), ("desc", "metadata", "length"), filters=(_GIVEN,),
    ),
    _sorted(
        "terms downwards take the last", "quality refund refunds mass",
        ("desc", "metadata", "topic"), ("desc", "metadata", "length"), filters=(_GIVEN,),
    ),
    _sorted(
        "suggestion score", "mass quality refund refunds",
        ("asc", "suggestion", "label", "score"), ("asc", "record", "inserted_at"), filters=(_GIVEN,),
    ),
    _sorted(
        "suggestion value downwards", "mass quality refund refunds",
        ("desc", "suggestion", "label", "value"), ("asc", "record", "inserted_at"), filters=(_GIVEN,),
    ),
    _sorted(
        "mean of the ratings", "refunds mass quality refund",
        ("asc", "response", "stars"), ("asc", "record", "inserted_at"), filters=(_GIVEN,),
    ),
    _sorted(
        "rating of one", "quality mass refund refunds",
        ("asc", "response", "stars"), ("asc", "record", "inserted_at"), filters=(_GIVEN,), user="bob",
    ),
    _sorted("second page", "refund refunds", ("asc", "record", "inserted_at"), offset=2, limit=2, total=10),
    _sorted("beyond the end", "", ("asc", "record", "inserted_at"), offset=50, total=10),
    _sorted("with text", "parted asked", ("desc", "record", "inserted_at"), query="dialogue -third"),
]  # fmt: skip

CASES = [*TEXT, *FILTERS, *SORTS]

# Beyond searches: name -> what a correct engine gives. search_contract.py says how each is asked.
CHECKS: dict[str, Any] = {
    "progress": {"total": 10, "completed": 1, "pending": 9},
    "progress of a user": {"total": 2, "submitted": 1, "draft": 1},
    "progress of a draft": {},
    "metric of terms": {"total": 6, "values": [["goods", 3], ["money", 2], ["praise", 1]]},
    "metric of integers": [-5, 30],
    "metric of floats": [0.5, 2.5],
    "metric of nothing": {"total": 0, "values": []},
    "similar to a value": [["quality", 1.0], ["mass", 0.8], ["refund", 0.5], ["refunds", 0.0]],
    "similar to a record": [["mass", 0.8], ["refund", 0.5], ["refunds", 0.0]],
    "least similar": [["refunds", 1.0], ["refund", 0.5]],
    "similar, filtered": [["refund", 0.5], ["refunds", 0.0]],
    "similar, with text": [["refund", 0.5]],
    "similar, threshold": [["quality", 1.0], ["mass", 0.8]],
    "similar, neither value nor record": "ValueError",
    "random order is the user's own": True,
    "random order stays": True,
    "random order in pages": True,
    "new text is found": {"new": ["mass"], "old": []},
    "new metadata is found": {"new": ["mass"], "old": ["across", "quality"]},
    "new response counts": {"pending": False, "value": ["empty"]},
    "changed response counts": {"new": ["empty"], "old": []},
    "deleted response is gone": {"pending": True, "value": []},
    "new suggestion is found": ["empty"],
    "changed suggestion is found": {"new": ["empty"], "old": []},
    "deleted suggestion is gone": [],
    "new status is found": ["empty", "quality"],
    "late metadata property": ["empty"],
    "late vector": [["empty", 1.0]],
    "deleted record is gone": {"found": [], "total": 9},
    "datasets are apart": {"found": [], "other": ["stranger"]},
    "deleted index comes back empty": 0,
}

# What only an engine over the server's own rows can promise.
OWN_CHECKS: dict[str, Any] = {
    "row nobody reported": ["unreported"],
    "deletion nobody reported": [],
    "response nobody reported": ["empty"],
    "cascade of a user": [],
    "cascade of a dataset": {"documents": 0, "facts": 0, "table": False},
    "rows written while the triggers were gone": {"found": ["unwatched"], "pending": True},
    "rows deleted while the triggers were gone": [],
    "strange metadata does no harm": ["strange"],
    "drop leaves Argilla's rows": True,
    "many at once": {"errors": [], "found": 40},
    "scores fall": True,
    "query too deep": "UnprocessableEntityError",
}
