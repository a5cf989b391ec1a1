"""Argilla's server and its background worker: migrated, with its owner and our search engine.

Started by inside/supervise.py with the environment's Python. Standard input brings one line of JSON (see `main`) and
is then the lifeline: when it ends, the supervisor is dead, and all of its process group ends at once.

What Argilla imports and this server does not use is left out: 1.4 of 2.9 s at start and 125 of 266 MB (measured on
argilla-server 2.8.0). The worker is forked from the imported server, so that both share these pages.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

_HUB = "argilla_server.contexts.hub"
# Argilla's style sheet waits for fonts from Google: that tells them of every annotator, and holds up the page where
# they cannot be reached. With this header the page takes fonts of the machine (jsdelivr: the API's own manual).
_OWN_FONTS = "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; font-src 'self' data:"
_WORKER_SECONDS = 5.0  # what a job may still take after the server has stopped


def main() -> int:
    """Serve until a signal comes; 0 where it ended in order.

    The line on standard input: `home`; `socket` (number of a listening socket's file); `redis` (URL); `secrets`
    (path of {"auth_secret", "username", "password", "api_key"}).
    """
    told = json.loads(sys.stdin.buffer.readline())
    _end_with_supervisor()
    secrets = json.loads(Path(told["secrets"]).read_bytes())
    _set_environment(told, secrets)
    _leave_out()
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    importlib.import_module("search")  # registers the engine, before the server or the worker asks for it
    app = importlib.import_module("argilla_server").app
    _migrate()
    _make_owner(secrets)
    _reach_redis()
    worker = _fork_worker()
    _tell(worker)
    _serve(app, socket.socket(fileno=told["socket"]), worker)
    return 0


def _end_with_supervisor() -> None:
    """Kill the whole process group (server, worker, redis) as soon as standard input ends."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _set_environment(told: dict[str, Any], secrets: dict[str, str]) -> None:
    """Argilla's settings; those of the user's shell may belong to another server and are forgotten."""
    for name in [name for name in os.environ if name.startswith("ARGILLA_")]:
        del os.environ[name]
    os.environ.update(
        ARGILLA_HOME_PATH=told["home"],
        ARGILLA_REDIS_URL=told["redis"],
        ARGILLA_AUTH_SECRET_KEY=secrets["auth_secret"],
        ARGILLA_AUTH_OAUTH_CFG=str(Path(told["home"]) / ".oauth.yaml"),  # else one in the working folder is taken
        ARGILLA_SEARCH_ENGINE="datakit",
        ARGILLA_CORS_ORIGINS="[]",  # the page comes from the server itself; no other page has business here
        HF_HUB_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
    )


def _leave_out() -> None:
    """Stand-ins for two search engines that are not used, and for the Hub, which is loaded when a job needs it."""
    for engine, name in (("elasticsearch", "ElasticSearchEngine"), ("opensearch", "OpenSearchEngine")):
        _stand_in(f"argilla_server.search_engine.{engine}", {name: None})
    _stand_in(_HUB, {name: _late(name) for name in ("HubDataset", "HubDatasetExporter")})


def _stand_in(name: str, members: dict[str, Any]) -> None:
    module = ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module


def _late(name: str) -> Any:
    """A maker of a class of the Hub's module, which is imported for good at its first use."""

    def make(*args: Any, **kwargs: Any) -> Any:
        if not hasattr(sys.modules[_HUB], "__file__"):
            del sys.modules[_HUB]
        return getattr(importlib.import_module(_HUB), name)(*args, **kwargs)

    return make


def _migrate() -> None:
    """Bring the database to the schema of this Argilla."""
    import alembic.config
    from argilla_server.database import ALEMBIC_CONFIG_FILE

    alembic.config.main(argv=["-c", ALEMBIC_CONFIG_FILE, "upgrade", "head"])


def _make_owner(secrets: dict[str, str]) -> None:
    """The owner of the secrets file: made, or given the new key and password where the file was made anew."""
    from argilla_server.contexts.accounts import hash_password
    from argilla_server.database import SyncSessionLocal, sync_engine
    from argilla_server.models import User, UserRole

    with SyncSessionLocal() as session:
        owner = session.query(User).filter_by(username=secrets["username"]).one_or_none()
        if owner is None:
            owner = User(first_name="Owner", username=secrets["username"], role=UserRole.owner)
            session.add(owner)
        if owner.api_key != secrets["api_key"]:
            owner.api_key, owner.password_hash = secrets["api_key"], hash_password(secrets["password"])
        session.commit()
    sync_engine.dispose()  # no connection may cross the fork


def _reach_redis() -> None:
    """Say at once that redis does not answer; Argilla itself would try for a minute."""
    from argilla_server.jobs.queues import REDIS_CONNECTION

    REDIS_CONNECTION.ping()
    REDIS_CONNECTION.close()


def _fork_worker() -> int:
    """The worker's process id; jobs run in it one by one."""
    child = os.fork()
    if child:
        return child
    try:
        _work()
    finally:
        os._exit(1)


def _tell(worker: int) -> None:
    """One line on standard output for the supervisor, and no more: it reads no other."""
    sys.stdout.write(json.dumps({"worker": worker}) + "\n")
    sys.stdout.flush()
    os.dup2(2, 1)


def _work() -> None:
    os.dup2(2, 1)
    _end_with_supervisor()
    from argilla_server import database
    from argilla_server.jobs.queues import DEFAULT_QUEUE, HIGH_QUEUE, REDIS_CONNECTION
    from argilla_server.settings import settings
    from rq import SimpleWorker
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    # Every job has an event loop of its own: a connection of the last one must not be taken up again.
    engine = create_async_engine(settings.database_url, poolclass=NullPool, **settings.database_engine_args)
    database.AsyncSessionLocal.configure(bind=engine)
    SimpleWorker([HIGH_QUEUE, DEFAULT_QUEUE], connection=REDIS_CONNECTION).work(logging_level="WARNING")
    os._exit(0)


def _serve(app: Any, listening: socket.socket, worker: int) -> None:
    """Answer until a signal comes or the worker dies; then end the worker, while redis still runs."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=5,
            headers=[("Content-Security-Policy", _OWN_FONTS)],
        )
    )
    ended = threading.Event()

    def mind_worker() -> None:
        os.waitpid(worker, 0)
        ended.set()
        if not server.should_exit:
            sys.stderr.write("the background worker died\n")
            server.should_exit = True

    threading.Thread(target=mind_worker, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal once more when it has stopped
    server.run(sockets=[listening])
    if ended.is_set() or not server.started:
        raise SystemExit(1)
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGTERM)
        if not ended.wait(_WORKER_SECONDS):
            os.kill(worker, signal.SIGKILL)
            ended.wait()


if __name__ == "__main__":
    raise SystemExit(main())
