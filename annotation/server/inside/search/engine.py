"""Argilla's search engine over its own SQLite database: registered as "datakit" by importing the package.

Reads only what is committed. Rows reach the engine's tables by triggers (schema.py), so the calls by which Argilla
reports a change have little left to do: those that bring new texts make up what is due at once, so that the next
search need not. Each search makes up what is due anyhow: nothing depends on a call that a dead process did not make.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.search_engine.base import (
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TermsMetrics,
)
from argilla_server.settings import settings
from sqlalchemy.engine import make_url

from . import due, schema, similar
from .conditions import Conditions, Fragment, plain
from .query import expression_of
from .store import Store

_LOGGER = logging.getLogger(__name__)
_PRIME = 2**31 - 1  # of the random orders; above the 28 bits of noise, and its square is below SQLite's 2**63
_MOST_TERMS = 2**14  # values that a metric lists; Elasticsearch's limit in Argilla's own engine


@SearchEngine.register("datakit")
@dataclass
class DatakitSearchEngine(SearchEngine):  # type: ignore[misc]  # Argilla is not in the type checker's environment
    """The engine; one is made a request, all share the process's store."""

    store: Store

    @classmethod
    async def new_instance(cls) -> DatakitSearchEngine:
        """An engine over the database of the server's settings.

        Raises:
            ValueError: the server's database is not SQLite.
        """
        url = make_url(settings.database_url)
        if not settings.database_is_sqlite or not url.database:
            raise ValueError(
                f"ARGILLA_DATABASE_URL is a database of {url.get_backend_name()}; the search engine 'datakit' works "
                "over SQLite only: set ARGILLA_SEARCH_ENGINE=elasticsearch"
            )
        return cls(Store.of_process(url.database, float(settings.database_sqlite_timeout)))

    async def close(self) -> None:
        """Nothing to close: the connections belong to the process."""

    async def ping(self) -> bool:
        """True when the tables stand; what the server asks at its start, so old indexes are swept away here."""
        await self.store.make_up(due.sweep)
        return True

    async def info(self) -> dict[str, Any]:
        """Name, version of the tables, and of SQLite."""
        return {"name": "datakit", "version": {"number": schema.VERSION}, "sqlite": sqlite3.sqlite_version}

    async def create_index(self, dataset: Any) -> None:
        """Makes the dataset's text index and fills it."""
        await self._index(dataset)

    async def delete_index(self, dataset: Any) -> None:
        """Drops the dataset's text index; it comes back when next used, if the dataset still stands."""
        await self._reported(dataset, lambda connection: due.drop_index(connection, dataset.id.hex))

    async def configure_metadata_property(self, dataset: Any, metadata_property: Any) -> None:
        """Nothing to do: all metadata is indexed by triggers, known property or not yet."""

    async def configure_index_vectors(self, vector_settings: Any) -> None:
        """Nothing to do: vectors are marked by triggers and packed when they come."""

    async def index_records(self, dataset: Any, records: Iterable[Any]) -> None:
        """Indexes what is due in this dataset, of these records and of any others: texts, vectors."""
        await self._index(dataset)

    async def partial_record_update(self, record: Any, **update: Any) -> None:
        """Nothing to do: the record's row, which is committed before this call, has it."""

    async def delete_records(self, dataset: Any, records: Iterable[Any]) -> None:
        """Takes the texts of deleted records out of the index."""
        await self._index(dataset)

    async def update_record_response(self, response: Any) -> None:
        """Nothing to do, as for `partial_record_update`."""

    async def delete_record_response(self, response: Any) -> None:
        """Nothing to do, as for `partial_record_update`."""

    async def update_record_suggestion(self, suggestion: Any) -> None:
        """Nothing to do, as for `partial_record_update`."""

    async def delete_record_suggestion(self, suggestion: Any) -> None:
        """Nothing to do, as for `partial_record_update`."""

    async def get_dataset_progress(self, dataset: Any) -> dict[str, int]:
        """`total`, and the number of records by status; empty for a draft."""
        if dataset.is_draft:
            return {}
        return await self._counted(
            "SELECT status, count(*) FROM datakit_documents WHERE dataset = ? GROUP BY status", dataset.id
        )

    async def get_dataset_user_progress(self, dataset: Any, user: Any) -> dict[str, int]:
        """`total`, and the number of the user's responses by status; empty for a draft."""
        if dataset.is_draft:
            return {}
        return await self._counted(
            """SELECT a.status, count(*) FROM datakit_answers a JOIN datakit_documents d ON d.doc = a.doc
               WHERE d.dataset = ? AND a.user = ? GROUP BY a.status""",
            dataset.id,
            user.id,
        )

    async def compute_metrics_for(self, metadata_property: Any) -> Any:
        """The values of a property with the number of records of each, or the least and the greatest number."""
        dataset, name = metadata_property.dataset_id.hex, metadata_property.name
        facts = "FROM datakit_facts WHERE dataset = ? AND scope = 'metadata' AND name = ?"

        def work(connection: sqlite3.Connection, sql: str) -> list[Any]:
            return connection.execute(sql, (due.number_of(connection, dataset), name)).fetchall()

        if plain(metadata_property.type) == "terms":
            sql = f"SELECT value, count(*) {facts} GROUP BY value ORDER BY count(*) DESC, value"
            rows = await self.store.run(lambda connection: work(connection, sql))
            values = [TermsMetrics.TermCount(term=str(term), count=count) for term, count in rows[:_MOST_TERMS]]
            return TermsMetrics(total=sum(count for _, count in rows), values=values)
        metrics = IntegerMetadataMetrics if plain(metadata_property.type) == "integer" else FloatMetadataMetrics
        sql = f"SELECT min(value), max(value) {facts} AND typeof(value) != 'text'"
        [(least, greatest)] = await self.store.run(lambda connection: work(connection, sql))
        return metrics(min=least, max=greatest)

    async def search(
        self,
        dataset: Any,
        query: Any = None,
        filter: Any = None,  # noqa: A002  # the name is Argilla's
        sort: Any = None,
        offset: int = 0,
        limit: int = 100,
        user_id: Any = None,
    ) -> SearchResponses:
        """The records that match, from `offset` on, `limit` at most, and how many match in all.

        In the order of `sort`; else, for a user, in a random order that is always the same for this user; else the
        best match first (BM25), or as they came where there is no text.
        """
        texts = None if query is None else await self._texts(dataset, query)
        if query is not None and texts is None:
            return SearchResponses(items=[], total=0)

        def work(connection: sqlite3.Connection) -> SearchResponses:
            number = due.number_of(connection, dataset.id.hex)
            hits = _hits(connection, number, texts, filter)
            if sort:
                conditions = Conditions(connection, number)
                return _page(connection, hits, [conditions.order(one) for one in sort], "NULL", offset, limit)
            if user_id is not None:
                place, score = f"{_shuffled(str(user_id))} / {_PRIME}.0", "1.0 - k0"
            elif query is not None:
                place, score = "t.rank", "-k0"
            else:
                place, score = "0", "1.0"
            return _page(connection, hits, [(place, "ASC")], score, offset, limit)

        return await self.store.run(work)

    async def similarity_search(
        self,
        dataset: Any,
        vector_settings: Any,
        value: list[float] | None = None,
        record: Any = None,
        query: Any = None,
        filter: Any = None,  # noqa: A002  # the name is Argilla's
        max_results: int = 100,
        order: Any = "most_similar",
        threshold: float | None = None,
    ) -> SearchResponses:
        """The records whose vectors are most (or least) like a value or like a record's, best first.

        The score is (1 + cosine) / 2, of the opposite vector where the least similar are asked for.

        Raises:
            ValueError: not exactly one of `value` and `record`, or the record has no such vector.
        """
        if bool(value) == bool(record):
            raise ValueError("a similarity search takes either a vector or a record, exactly one of both")
        wanted = value or record.vector_value_by_vector_settings(vector_settings)
        if not wanted:
            raise ValueError(f"record {record.id} has no vector {vector_settings.name!r}")
        vector = due.unit([-x for x in wanted] if plain(order) == "least_similar" else wanted)
        excluded = None if record is None else record.id.hex
        texts = None if query is None else await self._texts(dataset, query)
        if query is not None and texts is None:
            return SearchResponses(items=[], total=0)
        await self.store.make_up(lambda connection: due.pack_vectors(connection, vector_settings.id.hex))

        def work(connection: sqlite3.Connection) -> SearchResponses:
            hits = _hits(connection, due.number_of(connection, dataset.id.hex), texts, filter)
            number = due.number_of(connection, vector_settings.id.hex)
            found = similar.nearest(connection, number, vector, hits, excluded, max_results)
            items = [
                SearchResponseItem(record_id=UUID(hex=record_id), score=score)
                for record_id, score in found
                if threshold is None or score >= threshold
            ]
            return SearchResponses(items=items, total=len(found))

        return await self.store.run(work)

    async def _index(self, dataset: Any) -> None:
        def work(connection: sqlite3.Connection) -> None:
            due.index_texts(connection, due.text_index(connection, dataset.id.hex))
            for (settings_id,) in connection.execute(
                "SELECT id FROM vectors_settings WHERE dataset_id = ?", (dataset.id.hex,)
            ).fetchall():
                due.pack_vectors(connection, settings_id)

        await self._reported(dataset, work)

    async def _reported(self, dataset: Any, work: Callable[[sqlite3.Connection], None]) -> None:
        """Follows a report; where another writer does not let us, it stays due, for the rows are safe."""
        try:
            await self.store.make_up(work)
        except sqlite3.OperationalError as fault:
            _LOGGER.warning("the index of dataset %s is brought up to date later: %s", dataset.id, fault)

    async def _texts(self, dataset: Any, query: Any) -> tuple[str, str] | None:
        """The table of the dataset's text index, with nothing due, and the FTS5 expression; None if none can match."""
        index = await self.store.run(lambda connection: due.text_index(connection, dataset.id.hex))
        if await self.store.run(lambda connection: due.is_due(connection, index)):
            await self.store.make_up(lambda connection: due.index_texts(connection, index))
        text, field = (query, None) if isinstance(query, str) else (query.q, query.field)
        try:
            expression = expression_of(text, index.searched(field)) if index.dataset else None
        except ValueError as fault:
            raise UnprocessableEntityError(str(fault)) from fault
        return None if expression is None else (index.table, expression)

    async def _counted(self, sql: str, *identities: UUID) -> dict[str, int]:
        def work(connection: sqlite3.Connection) -> dict[str, int]:
            numbers = [due.number_of(connection, identity.hex) for identity in identities]
            return dict(connection.execute(sql, numbers).fetchall())

        counts = await self.store.run(work)
        return {"total": sum(counts.values()), **counts}


def _hits(connection: sqlite3.Connection, dataset: int, texts: tuple[str, str] | None, wanted: Any) -> Fragment:
    """FROM and WHERE of the documents `d` that match an expression in a text index `t` and a filter, as given."""
    condition, values = Conditions(connection, dataset).condition(wanted) if wanted else ("1", [])
    if texts is None:
        return f"datakit_documents d WHERE d.dataset = ? AND {condition}", [dataset, *values]
    table, expression = texts
    source = f"{table} t CROSS JOIN datakit_documents d ON d.doc = t.rowid"
    return f"{source} WHERE t.{table} MATCH ? AND d.dataset = ? AND {condition}", [expression, dataset, *values]


def _shuffled(user: str) -> str:
    """The place of a record in a user's random order, 0 to _PRIME: an affine map of its noise, by the user's id."""
    seed = hashlib.blake2b(user.encode(), digest_size=16).digest()
    factor = int.from_bytes(seed[:8]) % (_PRIME - 1) + 1
    shift = int.from_bytes(seed[8:]) % _PRIME
    return f"((d.noise * {factor} + {shift}) % {_PRIME})"


def _page(
    connection: sqlite3.Connection, hits: Fragment, keys: list[tuple[str, str]], score: str, offset: int, limit: int
) -> SearchResponses:
    """One page of the hits in the order of the keys, and their number; the hits are computed once for both.

    A key is an expression and a direction; `score` is an expression over the keys, called k0, k1 and so on.
    """
    source, values = hits
    columns = "".join(f", {expression} AS k{at}" for at, (expression, _) in enumerate(keys))
    order = ", ".join(f"k{at} {direction} NULLS LAST" for at, (_, direction) in enumerate(keys))
    found = f"WITH hits AS MATERIALIZED (SELECT d.doc AS doc{columns} FROM {source})"
    rows = connection.execute(
        f"""{found}, page AS (SELECT * FROM hits ORDER BY {order}, doc LIMIT ? OFFSET ?)
            SELECT d.record, {score}, (SELECT count(*) FROM hits)
            FROM page JOIN datakit_documents d ON d.doc = page.doc ORDER BY {order}, page.doc""",
        [*values, limit, offset],
    ).fetchall()
    if rows:
        total = rows[0][2]
    else:
        [(total,)] = connection.execute(f"{found} SELECT count(*) FROM hits", values).fetchall()
    items = [SearchResponseItem(record_id=UUID(hex=record), score=value) for record, value, _ in rows]
    return SearchResponses(items=items, total=total)
