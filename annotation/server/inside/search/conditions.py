"""Argilla's filter and sort objects as SQL over the engine's tables; they mean what they mean in Argilla's own engine.

Where Elasticsearch would answer with an error (a range over words, the mean of labels), a condition holds for no record
and an order leaves all records alike.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from argilla_server.search_engine.base import (
    AndFilter,
    MetadataFilterScope,
    RangeFilter,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
    TermsFilter,
)

from .due import number_of

Fragment = tuple[str, list[Any]]  # SQL and the values for its question marks

NOTHING: Fragment = ("0", [])
_DATES = ("inserted_at", "updated_at")
_RECORD_COLUMNS = {"id": "record", "external_id": "external_id", "status": "status"} | {date: date for date in _DATES}


class Conditions:
    """Turns filters and orders into SQL about `d`, a row of datakit_documents, for one dataset."""

    def __init__(self, connection: sqlite3.Connection, dataset: int) -> None:
        self.connection = connection
        self.dataset = dataset

    def condition(self, wanted: Any) -> Fragment:
        """A condition that holds for the records that a filter lets through."""
        if isinstance(wanted, AndFilter):
            return _all([self.condition(part) for part in wanted.filters])
        scope = wanted.scope
        if isinstance(scope, RecordFilterScope):
            return _record_condition(wanted, plain(scope.property))
        if isinstance(scope, ResponseFilterScope):
            if scope.question:
                return self._fact(wanted, "response", scope.question, self._owner(scope))
            return self._status(wanted)
        return self._fact(wanted, *_place(scope), owner=None)

    def order(self, wanted: Any) -> tuple[str, str]:
        """An expression to sort by, and the direction; null for records that have no such value."""
        scope, direction = wanted.scope, "DESC" if plain(wanted.order) == "desc" else "ASC"
        pick = "max" if direction == "DESC" else "min"
        if isinstance(scope, RecordFilterScope):
            return f"d.{_RECORD_COLUMNS[plain(scope.property)]}", direction
        if not isinstance(scope, ResponseFilterScope):
            return self._best(f"{pick}(f.value)", *_place(scope), owner=None), direction
        owner = self._owner(scope)
        if not scope.question:
            by = "" if owner is None else f" AND a.user = {owner}"
            return f"(SELECT {pick}(a.status) FROM datakit_answers a WHERE a.doc = d.doc{by})", direction
        # Elasticsearch's mode "avg"; labels have no mean, for them the first or last by name.
        pick = f"coalesce(avg(CASE WHEN typeof(f.value) != 'text' THEN f.value END), {pick}(f.value))"
        return self._best(pick, "response", scope.question, owner), direction

    def _best(self, pick: str, scope: str, name: str, owner: int | None) -> str:
        by = "" if owner is None else f" AND f.owner = {owner}"
        return (
            f"(SELECT {pick} FROM datakit_facts f INDEXED BY datakit_facts_doc "
            f"WHERE f.doc = d.doc AND f.scope = {quoted(scope)} AND f.name = {quoted(name)}{by})"
        )

    def _owner(self, scope: ResponseFilterScope) -> int | None:
        return number_of(self.connection, scope.user.id.hex) if scope.user else None

    def _fact(self, wanted: Any, scope: str, name: str, owner: int | None) -> Fragment:
        matches, values = _value_condition(wanted, "f.value")
        sql = (
            "d.doc IN (SELECT f.doc FROM datakit_facts f "
            f"WHERE f.dataset = ? AND f.scope = ? AND f.name = ? AND {matches}"
        )
        given = [self.dataset, scope, name, *values]
        return (f"{sql})", given) if owner is None else (f"{sql} AND f.owner = ?)", [*given, owner])

    def _status(self, wanted: Any) -> Fragment:
        """Response status: pending means no response at all (by the user, where one is named)."""
        if not isinstance(wanted, TermsFilter) or plain(wanted.scope.property) != "status":
            return NOTHING
        owner = self._owner(wanted.scope)
        by, given = ("", []) if owner is None else (" AND a.user = ?", [owner])
        answered = f"EXISTS (SELECT 1 FROM datakit_answers a WHERE a.doc = d.doc{by}"
        statuses = [plain(value) for value in wanted.values]
        choices: list[Fragment] = []
        if "pending" in statuses:
            choices.append((f"NOT {answered})", given))
        if others := [status for status in statuses if status != "pending"]:
            choices.append((f"{answered} AND a.status IN ({_marks(others)}))", [*given, *others]))
        return "(" + " OR ".join(sql for sql, _ in choices) + ")", [value for _, values in choices for value in values]


def plain(value: Any) -> str:
    """A word that may come as a member of one of Argilla's enumerations."""
    return str(value.value if isinstance(value, Enum) else value)


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"


def _place(scope: Any) -> tuple[str, str]:
    """Scope and name of the facts that a filter's scope speaks of."""
    if isinstance(scope, MetadataFilterScope):
        return "metadata", scope.metadata_property
    if isinstance(scope, SuggestionFilterScope):
        return plain(scope.property), scope.question
    raise ValueError(
        f"a filter has the scope {scope!r}; expected one of a record, a response, a suggestion or metadata"
    )


def _all(parts: Sequence[Fragment]) -> Fragment:
    return " AND ".join(sql for sql, _ in parts) or "1", [value for _, values in parts for value in values]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _record_condition(wanted: Any, property_name: str) -> Fragment:
    column = f"d.{_RECORD_COLUMNS[property_name]}"
    if property_name in _DATES:
        return _date_condition(wanted, column)
    if isinstance(wanted, TermsFilter):
        values = [plain(value).replace("-", "") if property_name == "id" else plain(value) for value in wanted.values]
        return f"{column} IN ({_marks(values)})", list(values)
    return _bounds(column, None if wanted.ge is None else str(wanted.ge), None if wanted.le is None else str(wanted.le))


def _value_condition(wanted: Any, column: str) -> Fragment:
    if isinstance(wanted, TermsFilter):
        # A number is found by its figures, as Elasticsearch reads them for a field of numbers.
        values: list[Any] = [plain(value) for value in wanted.values]
        values += [number for value in values if (number := _number(value)) is not None]
        return f"{column} IN ({_marks(values)})", values
    if not isinstance(wanted, RangeFilter):
        raise ValueError(f"a filter is a {type(wanted).__name__}; expected TermsFilter, RangeFilter or AndFilter")
    ge, le = _number(wanted.ge), _number(wanted.le)
    if (wanted.ge is not None and ge is None) or (wanted.le is not None and le is None):
        return NOTHING
    # Numbers sort before all texts in SQLite, so a bound above keeps texts out.
    return _bounds(column, ge, math.inf if le is None else le)


def _bounds(column: str, ge: Any, le: Any) -> Fragment:
    given = [(sign, bound) for sign, bound in ((">=", ge), ("<=", le)) if bound is not None]
    return _all([(f"{column} {sign} ?", [bound]) for sign, bound in given])


def _number(value: Any) -> float | int | None:
    try:
        number = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number:
        return None
    return number


def _date_condition(wanted: Any, column: str) -> Fragment:
    if isinstance(wanted, TermsFilter):
        dates = [date for value in wanted.values if (date := _date(value, upper=False)) is not None]
        return f"{column} IN ({_marks(dates)})", list(dates)
    ge, le = _date(wanted.ge, upper=False), _date(wanted.le, upper=True)
    if (wanted.ge is not None and ge is None) or (wanted.le is not None and le is None):
        return NOTHING
    return _bounds(column, ge, le)


def _date(value: Any, *, upper: bool) -> str | None:
    """A moment as SQLAlchemy writes it to SQLite (UTC); numbers are milliseconds since 1970, as in Elasticsearch.

    A date without a time is its first moment, or its last one as an upper bound.
    """
    if value is None:
        return None
    text = str(value).strip()
    if (milliseconds := _number(text)) is not None and len(text) > 4:
        moment = datetime(1970, 1, 1) + timedelta(milliseconds=milliseconds)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        if upper and len(text) == len("2026-11-24"):
            moment += timedelta(days=1, microseconds=-1)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
