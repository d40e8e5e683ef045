"""Publishes of small files of the table `clusters`, for tests of what snapshots hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from strata.storage.tables.publish import PublishMode, publish
from strata.storage.tables.table import CorpusTable
from strata.storage.writing.parquet import WrittenFile


def put(
    table: CorpusTable,
    files: Sequence[WrittenFile],
    key: str,
    mode: PublishMode = PublishMode.APPEND,
) -> int | None:
    """Publish files under a content key; the snapshot, unless they were published before."""
    return publish(table, files, mode=mode, content_key=key, run_id="r")


def later() -> datetime:
    """A moment after which every snapshot of the test is old."""
    return datetime.now(UTC) + timedelta(hours=1)
