"""What a search engine answers to the contract, found out inside Argilla's environment, where no pytest is.

    <environment>/bin/python tests/search_answers.py datakit|elasticsearch --engines-folder FOLDER

Prints one JSON object: case -> answer. The database is a new one in a temporary folder, with Argilla's own migrations.
Elasticsearch is reached by ARGILLA_ELASTICSEARCH.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import search_cases as cases


def migrated(home: str) -> None:
    """A database with Argilla's schema under `home`; to be called before anything imports argilla_server."""
    os.environ.update(ARGILLA_HOME_PATH=home, HF_HUB_DISABLE_TELEMETRY="1", ARGILLA_REDIS_URL="redis://127.0.0.1:1/0")
    import alembic.config
    from argilla_server.database import ALEMBIC_CONFIG_FILE

    with contextlib.redirect_stdout(sys.stderr):
        alembic.config.main(argv=["-c", ALEMBIC_CONFIG_FILE, "upgrade", "head"])


async def answers(engine_name: str) -> dict[str, Any]:
    """What the engine answers to each case and check."""
    from argilla_server.database import AsyncSessionLocal
    from argilla_server.search_engine.base import SearchEngine
    from search_contract import Contract
    from search_own_contract import OwnContract

    async with AsyncSessionLocal() as db, SearchEngine.get_by_name(engine_name) as engine:
        await engine.ping()
        contract = (OwnContract if engine_name == "datakit" else Contract)(engine, db)
        await contract.build()
        got: dict[str, Any] = {case.name: await contract.ask(case) for case in cases.CASES}
        got |= await contract.checks()
        if isinstance(contract, OwnContract):
            got |= await contract.own_checks()
        return got


async def die(where: str) -> None:
    """Builds the dataset, commits one record more and one less, and dies by SIGKILL.

    Args:
        where: "before" the engine hears of it, or "inside" the transaction that indexes.
    """
    from argilla_server.database import AsyncSessionLocal
    from argilla_server.search_engine.base import SearchEngine
    from search import due
    from search_contract import Contract

    async with AsyncSessionLocal() as db, SearchEngine.get_by_name("datakit") as engine:
        contract = Contract(engine, db)
        await contract.build()
        await contract.add_row(cases.Row("last words", 16, "临终遗言"))
        await db.delete(await contract.fresh("refund"))
        await db.commit()
        if where == "inside":
            due.transaction = _fatal
            await engine.index_records(contract.dataset, [])
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def _fatal(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction whose process dies when all is written and nothing committed."""
    connection.execute("BEGIN IMMEDIATE")
    yield
    os.kill(os.getpid(), signal.SIGKILL)


async def search_after_death() -> dict[str, Any]:
    """What a new process finds of the record whose process was killed, and of the deleted one."""
    from argilla_server import models
    from argilla_server.database import AsyncSessionLocal
    from argilla_server.search_engine.base import SearchEngine
    from sqlalchemy import select

    async with AsyncSessionLocal() as db, SearchEngine.get_by_name("datakit") as engine:
        await engine.ping()
        dataset = (await db.execute(select(models.Dataset).filter_by(name="main"))).scalar_one()
        return {query: (await engine.search(dataset, query)).total for query in ("遗言", "refund", "quality", "*")}


def main() -> None:
    """Reads the command line, prints what was answered."""
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=["datakit", "elasticsearch"])
    parser.add_argument("--engines-folder", type=Path, help="the folder in which the package `search` lies")
    parser.add_argument("--home", help="a folder for the database, which stays; else a temporary one")
    parser.add_argument("--die", choices=["before", "inside"], help="die by SIGKILL before or inside the indexing")
    parser.add_argument("--after-death", action="store_true", help="search the database that --die left")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        migrated(given.home or folder)
        if given.engine == "datakit":
            sys.path.insert(0, str(given.engines_folder))
            importlib.import_module("search")
        if given.die:
            asyncio.run(die(given.die))
        got = asyncio.run(search_after_death() if given.after_death else answers(given.engine))
    sys.stdout.write(json.dumps(got, ensure_ascii=False))


if __name__ == "__main__":
    main()
