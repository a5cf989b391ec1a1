"""Libraries of the extras, imported where they are needed; where one is missing, the error says what to install."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any, Final

from datakit.errors import MissingExtra

# Form of file to the modules that read it.
_DOCUMENTS: Final = {
    "html": ("readability", "lxml.html"),
    "pdf": ("pypdfium2",),
    "docx": ("lxml.etree",),
    "xlsx": ("fastexcel",),
    "warc": ("warcio", "readability", "lxml.html"),
}
# What these have to say of a damaged file is in the row that is rejected for it.
_TALKATIVE: Final = ("readability", "pypdfium2", "calamine")


def need_documents(form: str, where: str) -> None:
    """See that what a form of document needs is installed, before any row is read.

    Raises:
        MissingExtra: it is not.
    """
    for name in _DOCUMENTS.get(form, ()):
        load(name, where, "documents")
    for name in _TALKATIVE:
        logging.getLogger(name).addHandler(logging.NullHandler())


def load(name: str, where: str, extra: str) -> Any:
    """A module of an extra.

    Args:
        name: as in an import.
        where: the file or path that needs it, for the error.
        extra: what brings it.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        missing = error.name or name.split(".")[0]
        cure = f"Run: pip install 'datakit[{extra}]'"
        raise MissingExtra(where, f"cannot be read without {missing}", f"the extra `{extra}`", cure) from None
