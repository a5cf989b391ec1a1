"""What triggers cannot compute and only mark as due: the tokens of texts, the packed form of vectors.

Read and computed outside any transaction, then written in one short transaction a batch. A record that changed in
between keeps its mark (`stale` counts changes), so nothing is lost and nothing old is taken for new; a process that
dies leaves the mark as well, and the next search makes it up.
"""

from __future__ import annotations

import json
import math
import sqlite3
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import tokens
from .query import EVERY, Columns
from .schema import transaction

BATCH = 500  # records a transaction: some 50 ms in which other writers wait


@dataclass(frozen=True)
class TextField:
    """A field as the index holds it: a column of its text; for a chat the text of its messages, and their roles."""

    name: str
    kind: str  # text | chat | custom
    column: str

    @property
    def columns(self) -> list[str]:
        """The field's columns in the index."""
        return [self.column, self.role_column] if self.kind == "chat" else [self.column]

    @property
    def role_column(self) -> str:
        """The column of the roles of a chat."""
        return f"{self.column}_role"

    def contents(self, value: Any) -> list[str]:
        """What the columns hold for a value of this field."""
        if self.kind == "chat":
            messages = [message for message in value or [] if isinstance(message, dict)]
            roles = dict.fromkeys(str(message.get("role")) for message in messages)
            texts = [str(message.get("content") or "") for message in messages]
            return [tokens.indexed(texts), " ".join(tokens.keyword(role) for role in roles)]
        return [tokens.indexed([] if value is None else [str(value)])]


@dataclass(frozen=True)
class TextIndex:
    """The FTS5 index of one dataset."""

    dataset: int
    fields: tuple[TextField, ...]

    @property
    def table(self) -> str:
        """Its name in the database."""
        return f"datakit_text_{self.dataset}"

    @property
    def columns(self) -> list[str]:
        """Its columns, that of the token of every document last."""
        return [*(column for field in self.fields for column in field.columns), EVERY]

    def searched(self, name: str | None = None) -> Columns:
        """The columns in which a query looks: those of one field, or of all."""
        fields = [field for field in self.fields if name in (None, field.name)]
        chats = [field.role_column for field in fields if field.kind == "chat"]
        return Columns([field.column for field in fields], chats)


def number_of(connection: sqlite3.Connection, identity: str) -> int:
    """The short number of a dataset, a user or vector settings; 0, which none has, for one that was never seen."""
    row = connection.execute("SELECT number FROM datakit_numbers WHERE id = ?", (identity,)).fetchone()
    return row[0] if row else 0


def text_index(connection: sqlite3.Connection, dataset: str) -> TextIndex:
    """The text index that a dataset is to have, by its fields as they are; `dataset` is the id in 32 hex digits."""
    rows = connection.execute("SELECT id, name, settings FROM fields WHERE dataset_id = ? ORDER BY id", (dataset,))
    kinds = [(identity, name, json.loads(settings).get("type")) for identity, name, settings in rows]
    fields = (TextField(name, kind, f"f_{identity}") for identity, name, kind in kinds if kind != "image")
    return TextIndex(number_of(connection, dataset), tuple(fields))


def is_due(connection: sqlite3.Connection, index: TextIndex) -> bool:
    """Whether a dataset that has had records has no index yet, or one that lags behind."""
    if not index.dataset:
        return False
    return _columns(connection, index) != index.columns or bool(
        _removed(connection, index) or _stale(connection, index)
    )


def index_texts(connection: sqlite3.Connection, index: TextIndex) -> None:
    """Makes up what is due in a text index."""
    while is_due(connection, index):
        if _columns(connection, index) != index.columns:
            _create(connection, index)
        _index_batch(connection, index)


def _columns(connection: sqlite3.Connection, index: TextIndex) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (index.table,))]


def _create(connection: sqlite3.Connection, index: TextIndex) -> None:
    signs = tokens.INNER_SIGNS.replace("'", "''")
    with transaction(connection):
        connection.execute(f"DROP TABLE IF EXISTS {index.table}")
        connection.execute(
            f"""CREATE VIRTUAL TABLE {index.table}
                USING fts5({", ".join(index.columns)}, tokenize = "ascii tokenchars '{signs}'")"""
        )
        _all_due(connection, index.dataset)


def _all_due(connection: sqlite3.Connection, dataset: int) -> None:
    connection.execute("DELETE FROM datakit_removed WHERE dataset = ?", (dataset,))
    connection.execute("UPDATE datakit_documents SET stale = stale + 1 WHERE dataset = ?", (dataset,))


def _removed(connection: sqlite3.Connection, index: TextIndex) -> list[int]:
    query = "SELECT doc FROM datakit_removed WHERE dataset = ? LIMIT ?"
    return [doc for (doc,) in connection.execute(query, (index.dataset, BATCH))]


def _stale(connection: sqlite3.Connection, index: TextIndex) -> list[tuple[int, int, str]]:
    """Document, number of changes, and fields as JSON of records whose texts are due."""
    query = """SELECT d.doc, d.stale, r.fields FROM datakit_documents d JOIN records r ON r.id = d.record
        WHERE d.dataset = ? AND d.stale > 0 LIMIT ?"""
    return connection.execute(query, (index.dataset, BATCH)).fetchall()


def _index_batch(connection: sqlite3.Connection, index: TextIndex) -> None:
    due = []
    for doc, changes, fields in _stale(connection, index):
        given = json.loads(fields) or {}
        contents = [content for field in index.fields for content in field.contents(given.get(field.name))]
        due.append((doc, changes, [doc, *contents, tokens.ALWAYS]))
    insert = f"INSERT OR REPLACE INTO {index.table} (rowid, {', '.join(index.columns)})"
    insert += f" VALUES (?{', ?' * len(index.columns)})"
    with transaction(connection):
        for doc in _removed(connection, index):
            connection.execute(f"DELETE FROM {index.table} WHERE rowid = ?", (doc,))
            connection.execute("DELETE FROM datakit_removed WHERE dataset = ? AND doc = ?", (index.dataset, doc))
        for doc, changes, row in due:
            settled = "UPDATE datakit_documents SET stale = 0 WHERE doc = ? AND stale = ?"
            if connection.execute(settled, (doc, changes)).rowcount:
                connection.execute(insert, row)


def pack_vectors(connection: sqlite3.Connection, settings: str) -> None:
    """Packs the vectors of these settings that are not yet: float32, of length one."""
    number = number_of(connection, settings)
    query = """SELECT v.doc, a.value FROM datakit_vectors v JOIN datakit_documents d ON d.doc = v.doc
        JOIN vectors a ON a.record_id = d.record AND a.vector_settings_id = ?
        WHERE v.settings = ? AND v.packed IS NULL LIMIT ?"""
    while due := connection.execute(query, (settings, number, BATCH)).fetchall():
        with transaction(connection):
            connection.executemany(
                "UPDATE datakit_vectors SET packed = ? WHERE settings = ? AND doc = ? AND packed IS NULL",
                [(unit(json.loads(value)).tobytes(), number, doc) for doc, value in due],
            )


def unit(vector: Sequence[float]) -> array[float]:
    """A vector as float32 of length one; one of length nought stays as it is."""
    length = math.sqrt(math.fsum(x * x for x in vector)) or 1.0
    return array("f", [x / length for x in vector])


def drop_index(connection: sqlite3.Connection, dataset: str) -> None:
    """Drops the text index of a dataset; all its texts are due again."""
    number = number_of(connection, dataset)
    with transaction(connection):
        connection.execute(f"DROP TABLE IF EXISTS datakit_text_{number}")
        _all_due(connection, number)


def sweep(connection: sqlite3.Connection) -> None:
    """Drops the text indexes of datasets that are gone: a process can die between the dataset's end and its index's."""
    gone = connection.execute(
        """SELECT n.id FROM datakit_numbers n JOIN sqlite_master m ON m.name = 'datakit_text_' || n.number
           WHERE n.id NOT IN (SELECT id FROM datasets)"""
    ).fetchall()
    for (dataset,) in gone:
        drop_index(connection, dataset)
