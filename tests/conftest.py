"""A store, a folder and settings that tests of all lanes share."""

from __future__ import annotations

from pathlib import Path

import pytest

from strata.settings import Settings
from strata.storage.store import FsspecStore, Store
from strata.storage.url import Url


@pytest.fixture
def store() -> Store:
    """A store without options: local files and memory."""
    return FsspecStore()


@pytest.fixture
def folder(tmp_path: Path) -> Url:
    """An empty local folder."""
    return Url.parse(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a corpus whose warehouse is a local folder."""
    return Settings(
        corpus="web",
        warehouse=str(tmp_path / "warehouse"),
        inputs=({"path": "nothing"},),  # type: ignore[arg-type]
    )
