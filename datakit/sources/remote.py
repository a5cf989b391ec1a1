"""Files elsewhere, by fsspec: fetched whole to a folder of this machine, tried again, and gone when the run ends.

A run reads every file twice (its checksum, its rows) and must see the same bytes both times; so files are fetched once.
"""

from __future__ import annotations

import atexit
import errno
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from datakit.errors import InputError, InputPermission, MissingExtra, MissingInput, Surroundings
from datakit.files import disk_faults
from datakit.sources.block import Notice
from datakit.sources.extras import load

T = TypeVar("T")

_WAITS: Final = (0.5, 1.0, 2.0)  # seconds before another try; servers that are busy want a little time
_PIECE: Final = 1 << 20
_ADDRESS: Final = re.compile(r"\w+://[^\s'\"]+")
_OWN: Final = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs", "abfs": "adlfs"}


def is_remote(text: str) -> bool:
    """Whether an input names a place by its protocol, such as s3://bucket/folder."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.replace("+", "").isalnum()


def local_path(url: str) -> str | None:
    """The path behind file://; None for any other protocol."""
    return unquote(urlsplit(url).path) if url.startswith("file://") else None


def fetch(url: str, wanted: Callable[[str], bool], notice: Notice) -> Path:
    """The path of what was fetched: a file, or a folder with the files of a folder or glob.

    Args:
        url: a file, a folder or a glob, with its protocol.
        wanted: whether a file of this name is to be fetched.
        notice: hears of how much is fetched.

    Raises:
        MissingExtra: fsspec, or what the protocol needs, is not installed.
        MissingInput, InputPermission, InputError: there is no such place, or it may not be read.
        Surroundings: the network fails, four times in a row.
    """
    shown = without_secrets(url)
    system, path = _connect(url, shown)
    root, paths = _trying(lambda: _listed(system, path, wanted), shown)
    chosen = [one for one in paths if wanted(_name(one))]
    if not chosen:
        passed = f", but {', '.join(map(_name, paths[:5]))}" if paths else ""
        raise MissingInput(shown, f"no file that can be read{passed}", "a file, a folder or a glob", "Check the path")
    folder = Path(tempfile.mkdtemp(prefix="datakit-remote-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Below the names of protocol and place, so that a row's key names the same on every machine.
    base = folder / urlsplit(url).scheme / _plain(root)
    notice(f"{shown}: fetching {len(chosen):,} files")
    for one in chosen:
        target = base / _plain(one[len(root) :]) if one != root else base
        with disk_faults(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _trying(lambda one=one, target=target: _copy(system, one, target), without_secrets(one))  # type: ignore[misc]
    return base


def _connect(url: str, shown: str) -> tuple[Any, str]:
    scheme = urlsplit(url).scheme
    core = load("fsspec.core", shown, "remote")
    try:
        system, path = core.url_to_fs(url)
    except ImportError as error:
        package = _OWN.get(scheme, error.name or "")
        cure = "Run: pip install 'datakit[remote]'" if scheme in ("http", "https") else f"Run: pip install {package}"
        raise MissingExtra(shown, f"{scheme}:// cannot be read without {package or error}", "", cure) from None
    except ValueError as error:
        raise InputError(shown, f"no protocol that is known ({error})", "s3://, gs://, https:// and the like") from None
    return system, path


def _listed(system: Any, path: str, wanted: Callable[[str], bool]) -> tuple[str, list[str]]:
    """The place that names are relative to, and the files there."""
    if "*" in path or "[" in path:
        root = re.split(r"[*\[]", path, maxsplit=1)[0].rpartition("/")[0]
        return root, sorted(one for one in system.glob(path) if not system.isdir(one))
    # A page may stand for a folder, and every page is a file to http: what is called like a file comes first.
    if wanted(_name(path)) and system.isfile(path):
        return path, [path]
    if system.isdir(path):
        return path, sorted(system.find(path))
    if not system.exists(path):
        raise FileNotFoundError(path)
    return path, [path]


def _copy(system: Any, path: str, target: Path) -> None:
    """One file, whole or not at all."""
    aside = target.with_name(f".{target.name}.part")
    with system.open(path, "rb") as source, aside.open("wb") as file:
        shutil.copyfileobj(source, file, _PIECE)
        size = getattr(source, "size", None)
    if size is not None and aside.stat().st_size != size:
        raise ConnectionError(f"{aside.stat().st_size:,} of {size:,} bytes came")
    aside.replace(target)


def _trying(action: Callable[[], T], shown: str) -> T:
    """The result of an action on the network, tried again where the network fails.

    Raises:
        MissingInput, InputPermission: it is not there, or may not be read.
        Surroundings: the network fails every time.
    """
    fault: Exception | None = None
    for wait in (*_WAITS, None):
        try:
            return action()
        except FileNotFoundError:
            raise MissingInput(shown, "not found", "a place that exists", "Check the path") from None
        except PermissionError:
            raise InputPermission(shown, "may not be read", "read permission", "Check your credentials") from None
        except Exception as error:  # every protocol has errors of its own: aiohttp's, botocore's, google's
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):  # the disk here
                raise
            fault = error
        if wait is not None:
            time.sleep(wait)
    said = _ADDRESS.sub(lambda found: without_secrets(found[0]), " ".join(str(fault).split())) or type(fault).__name__
    raise Surroundings(
        shown,
        f"could not be fetched in {len(_WAITS) + 1} tries ({said[:200]})",
        cure="Check the network, then run again",
    ) from None


def without_secrets(text: str) -> str:
    """An address without what may be secret in it (user, password, query); any other text as it is."""
    if not is_remote(text):
        return text
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _plain(path: str) -> str:
    """A path of plain names: no protocol, no query, no dots that climb."""
    names = [name for name in _bare(path).split("/") if name not in ("", ".", "..")]
    return "/".join(names) or "file"


def _name(path: str) -> str:
    return PurePosixPath(_bare(path)).name


def _bare(path: str) -> str:
    """The path without its protocol, and without the query of a web address."""
    if path.startswith(("http://", "https://")):
        parts = urlsplit(path)
        return f"{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}"
    return path.rpartition("://")[2]
