"""What our engine promises beyond the contract: nothing depends on what it is told. See search_contract.py."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import search_cases as cases
from search_contract import Contract


class OwnContract(Contract):
    """What an engine over the server's own rows promises beyond: nothing depends on what it is told."""

    def connection(self) -> sqlite3.Connection:
        """A connection past the engine."""
        return sqlite3.connect(Path(os.environ["ARGILLA_HOME_PATH"]) / "argilla.db")

    async def restart(self) -> None:
        """The engine as a new process would find the database."""
        from search.store import Store

        Store._open = None
        self.engine = await type(self.engine).new_instance()
        await self.engine.ping()

    async def own_checks(self) -> dict[str, Any]:
        """The answers to search_cases.OWN_CHECKS."""
        got: dict[str, Any] = {}
        for part in (self.unreported, self.cascades, self.unwatched, self.oddities, self.many_at_once):
            got |= await part()
        return got

    async def unreported(self) -> dict[str, Any]:
        """The rows are committed, and then the process dies: no call reaches the engine."""
        got: dict[str, Any] = {}
        record = await self.add_row(cases.Row("unreported", 12, "无人通报"))
        got["row nobody reported"] = await self.find("通报")
        await self.db.delete(record)
        await self.db.commit()
        got["deletion nobody reported"] = await self.find("通报")
        await self.answer("empty", "cy", "submitted", {"stars": 4})
        got["response nobody reported"] = await self.find(None, ("range", "response", "stars", 4, 4), user="cy")
        return got

    async def cascades(self) -> dict[str, Any]:
        """What the database deletes by itself."""
        user = await self.add(self.models.User(first_name="dee", username="dee", password_hash="x", role="annotator"))
        self.users["dee"] = user
        await self.answer("signs", "dee", "submitted", {"stars": 5, "label": "tie"})
        connection = self.connection()
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM users WHERE id = ?", (user.id.hex,))
        connection.commit()
        got: dict[str, Any] = {
            "cascade of a user": await self.find(None, ("terms", "response", "label", ["tie"]), user="dee")
        }
        other = await self.new_dataset("doomed")
        row = cases.Row("doomed", 13, "doomed", metadata={"topic": "x"}, vector=[1.0, 1.0])
        await self.add_row(row, other)
        await self.report("doomed")
        [number] = connection.execute("SELECT number FROM datakit_numbers WHERE id = ?", (other.id.hex,)).fetchone()
        connection.execute("DELETE FROM datasets WHERE id = ?", (other.id.hex,))
        connection.commit()
        await self.restart()
        count = "SELECT (SELECT count(*) FROM datakit_documents WHERE dataset = ?1), (SELECT count(*) FROM datakit_facts WHERE dataset = ?1)"
        documents, facts = connection.execute(count, (number,)).fetchone()
        table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"datakit_text_{number}",)).fetchone()
        got["cascade of a dataset"] = {"documents": documents, "facts": facts, "table": bool(table)}
        connection.close()
        self.records.pop("doomed")
        return got

    async def unwatched(self) -> dict[str, Any]:
        """A migration makes a table anew, and the triggers on it are gone; the next start makes it up."""
        self.drop_triggers()
        await self.add_row(cases.Row("unwatched", 14, "没有触发器"))
        await self.restart()
        pending = await self.find(None, ("terms", "response", None, ["pending"]), user="ann")
        got: dict[str, Any] = {}
        name = "rows written while the triggers were gone"
        got[name] = {"found": await self.find("触发器"), "pending": "unwatched" in pending}
        self.drop_triggers()
        await self.db.delete(self.records["unwatched"])
        await self.db.commit()
        await self.restart()
        got["rows deleted while the triggers were gone"] = await self.find("触发器")
        return got

    def drop_triggers(self) -> None:
        """Takes all of our triggers away."""
        connection = self.connection()
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.close()

    async def oddities(self) -> dict[str, Any]:
        """Values that JSON or SQL could stumble over."""
        odd = {'a"b': 1, "it's": float("nan"), "nested": {"a": [1]}, "list": [1, "x", None, True], "none": None, "": ""}
        await self.add_row(cases.Row("strange", 15, "lone \ud800 surrogate, nul \0 sign", metadata=odd))
        got: dict[str, Any] = {"strange metadata does no harm": await self.find("surrogate nul")}
        connection = self.connection()
        tables = ("records", "responses", "suggestions", "vectors", "datasets", "users")
        before = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
        from search import schema

        with schema.transaction(connection):
            schema.drop(connection)
        ours = connection.execute("SELECT count(*) FROM sqlite_master WHERE name GLOB 'datakit*'").fetchone()
        after = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
        connection.close()
        got["drop leaves Argilla's rows"] = before == after and ours == (0,)
        await self.restart()
        found = await self.engine.search(self.dataset, "退款 | quality | refund")
        scores = [item.score for item in found.items]
        try:
            await self.engine.search(self.dataset, " ".join(f"a | b{number}" for number in range(200)))
        except Exception as fault:
            got["query too deep"] = type(fault).__name__
        got["scores fall"] = len(scores) > 2 and scores == sorted(scores, reverse=True) and scores[-1] > 0
        return got

    async def many_at_once(self) -> dict[str, Any]:
        """Writers, searches and a second engine together: nobody finds the database locked."""
        from argilla_server.database import AsyncSessionLocal
        from search.store import Store

        second = type(self.engine)(Store(self.engine.store.path, 15.0))
        dataset, errors = self.dataset, []

        async def write(number: int) -> None:
            async with AsyncSessionLocal() as db:
                record = self.models.Record(fields={"text": f"同时写入 together {number}"}, dataset_id=dataset.id)
                db.add(record)
                await db.commit()
                db.add(self.models.Response(status="draft", record_id=record.id, user_id=self.users["cy"].id))
                await db.commit()
            await (self.engine if number % 2 else second).index_records(dataset, [record])

        async def read(number: int) -> None:
            await (second if number % 2 else self.engine).search(dataset, "together", user_id=self.users["cy"].id)

        work = [one(number) for number in range(40) for one in (write, read)]
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                errors.append(repr(result))
        found = await self.engine.search(dataset, '"同时写入" together', limit=100)
        return {"many at once": {"errors": errors, "found": found.total}}
