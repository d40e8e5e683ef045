"""Stages over a real catalog; only a crash of the machine could tell that it never syncs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine


@pytest.fixture(scope="session", autouse=True)
def unsynced_catalogs() -> Iterator[None]:
    """SQLite leaves it to the system when to write: 10 ms less a commit."""
    event.listen(Engine, "connect", _leave_it_to_the_system)
    yield
    event.remove(Engine, "connect", _leave_it_to_the_system)


def _leave_it_to_the_system(connection: Any, _: object) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous = OFF")
