r"""What a user types, turned into an expression of FTS5: the grammar of Elasticsearch's simple_query_string.

Read as Lucene's SimpleQueryParser reads it (org.apache.lucene.queryparser.simple), with the settings of Argilla's own
engine: words are joined by AND; `|` or, `+` and, `-` not, `"..."` phrase (`~N` after it: up to N other words between),
`*` after a word: prefix, `( )` groups, `\` takes the next sign literally. Operators have no rank: left to right. No
query is ever an error; one that says nothing finds nothing.

Two things are other than in Elasticsearch, both for Chinese: signs of running text that stand together in a word are a
phrase (there: any record that holds all of them, wherever), and the text before `*` is cut into tokens (there: taken
as one token, which two ideographs never are). And `~N` after a word (similar spelling) finds that very word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .tokens import ALWAYS, is_single, keyword, tokens_of

EVERY = "every"  # the column that holds the token ALWAYS
DEEPEST = 60  # brackets within brackets of an expression; FTS5's own parser gives up at some ninety
_SPACE = " \t\n\r"
_ENDS_WORD = '"|+()' + _SPACE
_CLOSED = re.compile(r'"((?:[^"\\]|\\.)*)"(?:~([^"|+() \t\n\r]*))?', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Columns:
    """Where a query looks: columns of analysed text, and columns of keywords (whole texts as one token)."""

    texts: Sequence[str]
    keywords: Sequence[str] = ()


@dataclass(frozen=True)
class Node:
    """A query: an expression of FTS5, or AND, OR, NOT over others."""

    kind: str
    parts: list[Node] = field(default_factory=list)
    expression: str = ""

    @cached_property
    def depth(self) -> int:
        """Brackets within brackets."""
        return 1 + max((part.depth for part in self.parts), default=0)

    def __str__(self) -> str:
        if self.kind == "leaf":
            return self.expression
        if self.kind == "NOT":
            return f'({EVERY} : "{ALWAYS}" NOT {self.parts[0]})'
        return "(" + f" {self.kind} ".join(map(str, self.parts)) + ")"


def expression_of(query: str, columns: Columns) -> str | None:
    """The FTS5 expression of a query over these columns; None where the query can find nothing.

    Raises:
        ValueError: it changes between AND and OR more often than FTS5 can follow.
    """
    if query.strip() == "*":
        return f'{EVERY} : "{ALWAYS}"'
    node = _Parser(query, columns).parse()
    return None if node is None else str(node)


class _Parser:
    """One reading of one query, as Lucene's SimpleQueryParser does it: left to right, faults are passed over."""

    def __init__(self, query: str, columns: Columns) -> None:
        self.query = query
        self.columns = columns

    def parse(self) -> Node | None:
        """The query as a tree; None if it says nothing."""
        top, _ = self._group(0, depth=0)
        return top

    def _group(self, at: int, depth: int) -> tuple[Node | None, int]:
        """What stands from here to the closing bracket or the end, and the place after it."""
        top: Node | None = None
        operation: str | None = None
        negations = 0
        while at < len(self.query):
            sign = self.query[at]
            if sign == ")" and depth:
                return top, at + 1
            if sign in ")+|" or sign in _SPACE:
                if sign in "+|" and top is not None and operation is None:
                    operation = "AND" if sign == "+" else "OR"
                negations = 0  # "- word": not a negation
                at += 1
                continue
            if sign == "-":
                negations += 1
                at += 1
                continue
            branch, at = self._branch(at, depth)
            if branch is not None:
                branch = Node("NOT", [branch]) if negations % 2 else branch
                top = _joined(top, branch, operation or "AND")
                operation = None
            negations = 0
        return top, at

    def _branch(self, at: int, depth: int) -> tuple[Node | None, int]:
        """The group, phrase or word that begins here, and the place after it."""
        sign = self.query[at]
        if sign == "(":
            closed = self.query.find(")", at) >= 0 and depth < DEEPEST
            return self._group(at + 1, depth + 1) if closed else (None, at + 1)
        if sign == '"':
            match = _CLOSED.match(self.query, at)
            if match is None:
                return None, at + 1
            slop = int(match[2]) if re.fullmatch(r"[0-9]{1,9}", match[2] or "") else 0
            return phrase(_ESCAPED.sub(r"\1", match[1]), self.columns, slop), match.end()
        return self._word(at)

    def _word(self, at: int) -> tuple[Node | None, int]:
        text, prefix, cut = "", False, False
        while at < len(self.query) and self.query[at] not in _ENDS_WORD:
            sign, prefix_now = self.query[at], False
            if sign == "\\":
                at += 1
                sign = self.query[at : at + 1]
            elif sign == "~" and text:
                cut = True  # "~N", similar spelling: not searched for
            else:
                prefix_now = sign == "*"
            if not cut:
                text, prefix = text + sign, prefix_now
            at += 1
        if prefix and len(text) > 1 and not cut:
            return beginning(text[:-1], self.columns), at
        return word(text, self.columns), at


def _joined(left: Node | None, right: Node | None, kind: str) -> Node | None:
    if left is None or right is None:
        return left or right
    joined = Node(kind, [*left.parts, right] if left.kind == kind else [left, right])
    if joined.depth > DEEPEST:
        raise ValueError(
            f"the query changes between AND and OR, or opens brackets, {DEEPEST} times; join like with like: a | b | c"
        )
    return joined


def word(text: str, columns: Columns) -> Node | None:
    """Records that hold all tokens of a word in one and the same field; ideographs that stand together: as a phrase."""
    units: list[list[str]] = []
    for token in tokens_of(text):
        if units and is_single(token) and is_single(units[-1][-1]):
            units[-1].append(token)
        else:
            units.append([token])
    said = [_quoted(unit) for unit in units]
    if len(said) > 1:
        inside = [_in([column], "(" + " AND ".join(said) + ")") for column in columns.texts]
    else:
        inside = [_in(columns.texts, unit) for unit in said]
    return _any([*inside, _in(columns.keywords, _quoted([keyword(text)])) if text else None])


def phrase(text: str, columns: Columns, slop: int = 0) -> Node | None:
    """Records that hold these tokens in this order, with at most `slop` others between them."""
    tokens = tokens_of(text)
    said = _quoted(tokens)
    if slop and len(tokens) > 1:
        said = "NEAR(" + " ".join(_quoted([token]) for token in tokens) + f", {min(slop, 1000)})"
    inside = _in(columns.texts, said) if tokens else None
    return _any([inside, _in(columns.keywords, _quoted([keyword(text)])) if text else None])


def beginning(text: str, columns: Columns) -> Node | None:
    """Records with a word that begins so; of several tokens the last is the one left open."""
    tokens = tokens_of(text)
    inside = _in(columns.texts, _quoted(tokens) + " *") if tokens else None
    return _any([inside, _in(columns.keywords, _quoted([keyword(text)]) + " *") if text else None])


def _quoted(tokens: Sequence[str]) -> str:
    return '"' + " ".join(tokens) + '"'  # no token holds a quotation mark


def _in(columns: Sequence[str], expression: str) -> Node | None:
    return Node("leaf", expression="{" + " ".join(columns) + "} : " + expression) if columns else None


def _any(choices: Sequence[Node | None]) -> Node | None:
    given = [choice for choice in choices if choice is not None]
    if len(given) < 2:
        return given[0] if given else None
    return Node("OR", given)
