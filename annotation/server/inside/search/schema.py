"""The tables and triggers that the engine keeps in Argilla's own SQLite database.

Argilla's rows are the truth. Triggers copy what queries need into narrow, indexed tables within the very transaction
that changes a row, so the copies cannot drift, whoever writes and whenever a process dies. What SQL alone cannot
compute (the tokens of a text, the packed form of a vector) is marked as due by a trigger and made up later
(store.py): before the next search at the latest.

- datakit_numbers: short numbers for the ids of datasets, users and vector settings.
- datakit_documents: one row a record. `stale` counts the changes of its texts since they were indexed; `noise` is the
  beginning of its id as a number, from which each user's random order is made.
- datakit_answers: who has answered what, with the status. datakit_facts: every single value that can be filtered or
  sorted by, of metadata, responses (with their owner) and suggestions.
- datakit_vectors: vectors as packed float32, null while due. datakit_removed: documents whose texts have to go.
- datakit_text_N: an FTS5 index of the dataset with number N (store.py makes it).

Everything can be dropped at any time: the next start builds it again.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "datakit_"
OLDEST = (3, 35, 0)  # of SQLite: materialized table expressions

_TABLES = """
CREATE TABLE datakit_schema (version TEXT NOT NULL);
CREATE TABLE datakit_numbers (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE);
CREATE TABLE datakit_documents (
    doc INTEGER PRIMARY KEY AUTOINCREMENT,
    record TEXT NOT NULL UNIQUE,
    dataset INTEGER NOT NULL,
    status TEXT NOT NULL,
    external_id TEXT,
    inserted_at TEXT,
    updated_at TEXT,
    noise INTEGER NOT NULL,
    stale INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX datakit_documents_queue ON datakit_documents (dataset, status, noise);
CREATE INDEX datakit_documents_due ON datakit_documents (dataset) WHERE stale > 0;
CREATE TABLE datakit_answers (
    user INTEGER NOT NULL, doc INTEGER NOT NULL, status TEXT NOT NULL, PRIMARY KEY (user, doc)
) WITHOUT ROWID;
CREATE INDEX datakit_answers_doc ON datakit_answers (doc, status);
CREATE TABLE datakit_facts (
    dataset INTEGER NOT NULL, scope TEXT NOT NULL, name TEXT NOT NULL, value NOT NULL, doc INTEGER NOT NULL,
    owner INTEGER NOT NULL, PRIMARY KEY (dataset, scope, name, value, doc, owner)
) WITHOUT ROWID;
CREATE INDEX datakit_facts_doc ON datakit_facts (doc, scope, name, owner);
CREATE TABLE datakit_vectors (
    settings INTEGER NOT NULL, doc INTEGER NOT NULL, packed BLOB, PRIMARY KEY (settings, doc)
);
CREATE INDEX datakit_vectors_due ON datakit_vectors (settings, doc) WHERE packed IS NULL;
CREATE TABLE datakit_removed (dataset INTEGER NOT NULL, doc INTEGER NOT NULL, PRIMARY KEY (dataset, doc)) WITHOUT ROWID;
"""

# Questions whose answers Argilla's own index holds; texts, rankings and spans are stored there, but not searchable.
_KINDS = "('rating', 'label_selection', 'multi_label_selection')"

# The members of a list, or the value itself; from JSON that may be missing or (NaN, which Python writes) malformed.
_OBJECT = "CASE WHEN json_valid({0}) AND json_type({0}) = 'object' THEN {0} ELSE '{{}}' END"
_MEMBERS = "CASE WHEN {0}.type = 'array' THEN {0}.value ELSE json_array({0}.atom) END"
_VALUE = "CASE {0}.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE {0}.atom END"


def _numbers(row: str, column: str, source: str = "") -> str:
    """Gives an id a number, unless it has one; not by OR IGNORE, as in a trigger the outer statement's clause wins."""
    return f"""INSERT INTO datakit_numbers (id) SELECT DISTINCT {row}.{column} {source or "WHERE true"}
        {"AND" if not source else "WHERE"} NOT EXISTS (SELECT 1 FROM datakit_numbers n WHERE n.id = {row}.{column})"""


def _noise(column: str) -> str:
    """The first seven hex digits of an id as a number: 28 random bits, the same on every server and after a rebuild."""
    digits = (f"(instr('0123456789abcdef', substr({column}, {at}, 1)) - 1) * {16 ** (7 - at)}" for at in range(1, 8))
    return "abs(" + " + ".join(digits) + ")"


def _documents(row: str, source: str = "") -> str:
    return f"""INSERT INTO datakit_documents (record, dataset, status, external_id, inserted_at, updated_at, noise)
        SELECT {row}.id, n.number, {row}.status, {row}.external_id, {row}.inserted_at, {row}.updated_at,
               {_noise(f"{row}.id")}
        FROM {source} datakit_numbers n WHERE n.id = {row}.dataset_id"""


def _metadata(row: str, source: str = "") -> str:
    return f"""INSERT INTO datakit_facts (dataset, scope, name, value, doc, owner)
        SELECT DISTINCT d.dataset, 'metadata', j.key, {_VALUE.format("e")}, d.doc, 0
        FROM {source} datakit_documents d, json_each({_OBJECT.format(f"{row}.metadata")}) j,
             json_each({_MEMBERS.format("j")}) e
        WHERE d.record = {row}.id AND e.atom IS NOT NULL"""


def _answers(row: str, source: str = "") -> str:
    return f"""INSERT INTO datakit_answers (user, doc, status) SELECT u.number, d.doc, {row}.status
        FROM {source} datakit_documents d, datakit_numbers u
        WHERE d.record = {row}.record_id AND u.id = {row}.user_id"""


def _answer_facts(row: str, source: str = "") -> str:
    values = _OBJECT.format(f'{row}."values"')
    return f"""INSERT INTO datakit_facts (dataset, scope, name, value, doc, owner)
        SELECT DISTINCT d.dataset, 'response', j.key, {_VALUE.format("e")}, d.doc, u.number
        FROM {source} datakit_documents d, datakit_numbers u, datakit_numbers s, questions q, json_each({values}) j,
             json_each(CASE j.type WHEN 'object' THEN j.value ELSE '{{}}' END) v, json_each({_MEMBERS.format("v")}) e
        WHERE d.record = {row}.record_id AND u.id = {row}.user_id AND s.number = d.dataset
          AND q.dataset_id = s.id AND q.name = j.key AND json_extract(q.settings, '$.type') IN {_KINDS}
          AND v.key = 'value' AND e.atom IS NOT NULL"""


def _suggested(row: str, column: str, source: str = "") -> str:
    """Facts of one column of suggestions: `value` and `score` are JSON, `agent` and `type` plain text."""
    if column in ("value", "score"):
        json = f"{row}.{column}"
        table = f"json_each(CASE WHEN json_valid({json}) THEN {json} ELSE 'null' END) e"
        value, given = _VALUE.format("e"), "e.atom IS NOT NULL"
    else:
        table, value, given = "(SELECT 1) e", f"{row}.{column}", f"{row}.{column} IS NOT NULL"
    kinds = f"AND json_extract(q.settings, '$.type') IN {_KINDS}" if column == "value" else ""
    return f"""INSERT INTO datakit_facts (dataset, scope, name, value, doc, owner)
        SELECT DISTINCT d.dataset, '{column}', q.name, {value}, d.doc, 0
        FROM {source} datakit_documents d, questions q, {table}
        WHERE d.record = {row}.record_id AND q.id = {row}.question_id AND {given} {kinds}"""


def _vectors(row: str, source: str = "") -> str:
    return f"""INSERT INTO datakit_vectors (settings, doc) SELECT n.number, d.doc
        FROM {source} datakit_documents d, datakit_numbers n
        WHERE d.record = {row}.record_id AND n.id = {row}.vector_settings_id"""


_DOC = "(SELECT doc FROM datakit_documents WHERE record = {0})"
_OWNER = "(SELECT number FROM datakit_numbers WHERE id = OLD.user_id)"
_SETTINGS = "(SELECT number FROM datakit_numbers WHERE id = OLD.vector_settings_id)"
_SUGGESTION_COLUMNS = ("value", "score", "agent", "type")


def _triggers() -> dict[str, str]:
    record, owned = _DOC.format("OLD.id"), _DOC.format("OLD.record_id")
    forget_values = f"DELETE FROM datakit_facts WHERE doc = {owned} AND scope = 'response' AND owner = {_OWNER}"
    forget_answer = f"DELETE FROM datakit_answers WHERE doc = {owned} AND user = {_OWNER}"
    forget_suggestion = f"""DELETE FROM datakit_facts WHERE doc = {owned} AND scope IN {_SUGGESTION_COLUMNS}
        AND name = (SELECT name FROM questions WHERE id = OLD.question_id)"""
    forget_vector = f"DELETE FROM datakit_vectors WHERE doc = {owned} AND settings = {_SETTINGS}"
    suggested = [_suggested("NEW", column) for column in _SUGGESTION_COLUMNS]
    bodies = {
        "INSERT ON records": [_numbers("NEW", "dataset_id"), _documents("NEW"), _metadata("NEW")],
        "UPDATE OF status, external_id, updated_at ON records": [
            """UPDATE datakit_documents SET status = NEW.status, external_id = NEW.external_id,
               updated_at = NEW.updated_at WHERE record = NEW.id"""
        ],
        "UPDATE OF fields ON records": ["UPDATE datakit_documents SET stale = stale + 1 WHERE record = NEW.id"],
        "UPDATE OF metadata ON records": [
            f"DELETE FROM datakit_facts WHERE doc = {record} AND scope = 'metadata'",
            _metadata("NEW"),
        ],
        "DELETE ON records": [
            "INSERT INTO datakit_removed SELECT dataset, doc FROM datakit_documents WHERE record = OLD.id",
            *(f"DELETE FROM datakit_{table} WHERE doc = {record}" for table in ("facts", "answers", "vectors")),
            "DELETE FROM datakit_documents WHERE record = OLD.id",
        ],
        "INSERT ON responses": [_numbers("NEW", "user_id"), _answers("NEW"), _answer_facts("NEW")],
        'UPDATE OF "values", status ON responses': [
            forget_values, forget_answer, _answers("NEW"), _answer_facts("NEW")
        ],
        "DELETE ON responses": [forget_values, forget_answer],
        "INSERT ON suggestions": suggested,
        "UPDATE OF value, score, agent, type ON suggestions": [forget_suggestion, *suggested],
        "DELETE ON suggestions": [forget_suggestion],
        "INSERT ON vectors": [_numbers("NEW", "vector_settings_id"), _vectors("NEW")],
        "UPDATE OF value ON vectors": [forget_vector, _vectors("NEW")],
        "DELETE ON vectors": [forget_vector],
    }  # fmt: skip
    triggers = {}
    for event, statements in bodies.items():
        name = PREFIX + "_".join(event.replace('"', "").replace(",", "").lower().split())
        triggers[name] = f"CREATE TRIGGER {name} AFTER {event} BEGIN\n    " + ";\n    ".join(statements) + ";\nEND"
    return triggers


def _filling() -> list[str]:
    """What fills the tables from Argilla's rows: the same statements that the triggers hold, over all rows at once."""
    return [
        *(
            _numbers("r", column, f"FROM {table} r")
            for table, column in (
                ("records", "dataset_id"),
                ("responses", "user_id"),
                ("vectors", "vector_settings_id"),
            )
        ),
        _documents("r", "records r,"),
        _metadata("r", "records r,"),
        _answers("r", "responses r,"),
        _answer_facts("r", "responses r,"),
        *(_suggested("r", column, "suggestions r,") for column in _SUGGESTION_COLUMNS),
        _vectors("r", "vectors r,"),
    ]


_TRIGGERS = _triggers()
# What the tables hold follows from these files as well: when they change, all is built anew.
_RULES = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("tokens.py", "due.py")]
VERSION = hashlib.blake2b("\n".join([_TABLES, *_TRIGGERS.values(), *_RULES]).encode(), digest_size=8).hexdigest()

_COPIES = (("records", "documents"), ("responses", "answers"), ("vectors", "vectors"))


def prepare(connection: sqlite3.Connection) -> bool:
    """Makes sure that the tables stand, that the triggers watch, and that no row is missing; True if it had to build.

    Raises:
        sqlite3.OperationalError: Argilla's own tables are not there yet (run its migrations first).
        RuntimeError: this Python's SQLite is too old, or was built without FTS5.
    """
    modules = {name for (name,) in connection.execute("SELECT name FROM pragma_module_list")}
    if not {"fts5", "json_each"} <= modules or sqlite3.sqlite_version_info < OLDEST:
        raise RuntimeError(
            f"this Python has SQLite {sqlite3.sqlite_version}; the search engine needs {'.'.join(map(str, OLDEST))} or "
            "later with FTS5 and JSON: make Argilla's environment with another Python"
        )
    if is_whole(connection):
        return False
    with transaction(connection):
        if is_whole(connection):  # another process was faster
            return False
        drop(connection)
        for statement in filter(str.strip, _TABLES.split(";\n")):
            connection.execute(statement)
        for statement in (*_filling(), *_TRIGGERS.values()):
            connection.execute(statement)
        connection.execute("INSERT INTO datakit_schema VALUES (?)", (VERSION,))
    return True


def drop(connection: sqlite3.Connection) -> None:
    """Takes everything of ours out of the database; no row of Argilla's is touched."""
    for kind in ("trigger", "table"):
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = ? AND name GLOB 'datakit_*'", (kind,)
        ).fetchall()
        # The tables inside an FTS5 index go with it, so the index itself comes first.
        for name, sql in sorted(rows, key=lambda row: "CREATE VIRTUAL" not in (row[1] or "")):
            if kind == "trigger" or "CREATE VIRTUAL" in sql or not name.startswith(f"{PREFIX}text_"):
                connection.execute(f"DROP {kind} {name}")


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether tables and triggers are those of this version, and the copies have as many rows as Argilla's tables."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name GLOB 'datakit_*'")}
    if "datakit_schema" not in names or not names.issuperset(_TRIGGERS):
        return False
    if connection.execute("SELECT version FROM datakit_schema").fetchall() != [(VERSION,)]:
        return False
    counts = ", ".join(f"(SELECT count(*) FROM {a}) = (SELECT count(*) FROM datakit_{b})" for a, b in _COPIES)
    return all(connection.execute(f"SELECT {counts}").fetchone())


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all of it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
