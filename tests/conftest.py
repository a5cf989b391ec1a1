"""What several test files share as fixtures."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from annotation.server.state import Local


@pytest.fixture(scope="session")
def argilla(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A real Argilla, one for the whole test run: url, api_key (the owner's), home."""
    from local_argilla import all_gone, begin

    home = tmp_path_factory.mktemp("argilla")
    started = begin(home)
    yield started.local
    started.stop()
    assert all_gone(home)


@pytest.fixture
def workspace(argilla: Local) -> str:
    """The name of a workspace of the test's own."""
    from local_argilla import call

    name = f"test-{uuid.uuid4().hex[:12]}"
    call(argilla, "POST", "workspaces", {"name": name})
    return name
