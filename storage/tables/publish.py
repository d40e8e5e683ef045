"""Publishing written files: one atomic snapshot per stage and table, however often retried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.layout.properties import CONTENT_KEY, RUN_ID, VERSION_KEY
from strata.storage.tables.table import CorpusTable
from strata.storage.writing.parquet import WrittenFile
from strata.version import VERSION

if TYPE_CHECKING:
    from strata.storage.iceberg.commits import Commit

__all__ = ["PublishMode", "publish", "run_commit"]


class PublishMode(StrEnum):
    """What a publish does to the existing rows."""

    APPEND = "append"
    OVERWRITE = "overwrite"


def publish(
    table: CorpusTable,
    files: Sequence[WrittenFile],
    *,
    mode: PublishMode,
    content_key: str,
    run_id: str,
    extra: Mapping[str, str] | None = None,
) -> int | None:
    """Make files part of a table, all at once; safe beside other processes, and safe to repeat.

    Args:
        table: the table to publish to.
        files: what ``TableWriter.close`` returned; without any, the key is still recorded.
        mode: append, or drop all present files in the same snapshot.
        content_key: names the result by its causes. Where the table already holds it, nothing is
            done and ``files`` stay orphans.
        run_id: the run, for the snapshot's summary.
        extra: additional properties of the snapshot.

    Returns:
        The id of the new snapshot, or None if the result was already there.

    Raises:
        ConflictError: another process published a different result meanwhile.
        TransientError: the catalog did not answer; nothing was published.
    """
    from strata.storage.iceberg.commits import AppendCommit, OverwriteCommit
    from strata.storage.iceberg.table_commit import OneChange

    properties = {
        **(extra or {}),
        CONTENT_KEY: content_key,
        RUN_ID: run_id,
        VERSION_KEY: VERSION,
    }
    kind = AppendCommit if mode is PublishMode.APPEND else OverwriteCommit
    with catalog_errors(table.name):
        if files:
            table.set_default_spec(files[0].partition.fields)
        iceberg = table.iceberg_for(files)
        commit = kind(OneChange(iceberg), properties, content_key)
        if commit.is_published(iceberg.metadata):
            return None
        commit.add_files(files)
        return run_commit(table, commit)


def run_commit(table: CorpusTable, commit: Commit) -> int | None:
    """Run a commit.

    Returns:
        The id of its snapshot, or None if another process published the same result first.
    """
    from pyiceberg.exceptions import CommitStateUnknownException
    from sqlalchemy.exc import DBAPIError

    from strata.storage.iceberg.commits import AlreadyPublishedError

    try:
        commit.run()
    except AlreadyPublishedError:
        return None
    except (CommitStateUnknownException, DBAPIError):
        # The response was lost, or the database locked: only the table shows how it ended.
        present = table.existing()
        if present is None or present.metadata.snapshot_by_id(commit.snapshot_id) is None:
            raise
    return commit.snapshot_id
