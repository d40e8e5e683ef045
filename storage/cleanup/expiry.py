"""Expiry: forgetting snapshots that are no longer needed."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from strata.storage.iceberg.catalog_errors import catalog_errors, retry_lost_races
from strata.storage.layout.records import TableSnapshot
from strata.storage.tables.table import CorpusTable

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["expirable", "expire"]


def expirable(table: CorpusTable, older_than: datetime, keep_last: int = 1) -> list[TableSnapshot]:
    """Snapshots that were superseded before ``older_than``, oldest first.

    The age of a snapshot counts from the publication of its successor: until then it was the table.
    The newest ``keep_last`` ones stay whatever their age.
    """
    limit = older_than.timestamp() * 1000
    iceberg = table.existing()
    if iceberg is None:
        return []
    kept = {ref.snapshot_id for ref in iceberg.refs().values()}
    superseded = _superseded_ms(iceberg.metadata)
    snapshots = sorted(table.snapshots(), key=lambda snapshot: snapshot.timestamp_ms)
    return [
        snapshot
        for snapshot in snapshots[: max(0, len(snapshots) - keep_last)]
        if superseded.get(snapshot.snapshot_id, limit) < limit and snapshot.snapshot_id not in kept
    ]


def _superseded_ms(metadata: TableMetadata) -> dict[int, int]:
    """When each snapshot stopped being the state of the table or of a tag, by its id."""
    ordered = sorted(metadata.snapshots, key=lambda snapshot: snapshot.timestamp_ms)
    # A snapshot without children, such as a dropped tag leaves, ended with the next one in time.
    ceased = {old.snapshot_id: new.timestamp_ms for old, new in pairwise(ordered)}
    # A tagged snapshot may have two children: the table's next one, and the tag's after a move.
    ceased |= {
        snapshot.parent_snapshot_id: snapshot.timestamp_ms
        for snapshot in ordered
        if snapshot.parent_snapshot_id is not None
    }
    return ceased


def expire(table: CorpusTable, older_than: datetime, keep_last: int = 1) -> list[TableSnapshot]:
    """Forget the :func:`expirable` snapshots; their files become orphans.

    The present snapshot, and those that a branch or tag names, always stay.

    Returns:
        The snapshots that are gone.

    Raises:
        ConflictError: another writer changed the table meanwhile.
        TransientError: the catalog did not answer.
    """
    with catalog_errors(table.name):
        return retry_lost_races(lambda: _expire(table, older_than, keep_last))


def _expire(table: CorpusTable, older_than: datetime, keep_last: int) -> list[TableSnapshot]:
    from pyiceberg.exceptions import CommitFailedException

    from strata.storage.iceberg.table_commit import ExpiryCommit, OneChange

    old = expirable(table, older_than, keep_last)
    if old:
        commit = ExpiryCommit(OneChange(table.iceberg(), autocommit=True))
        try:
            commit.by_ids([snapshot.snapshot_id for snapshot in old]).commit()
        except ValueError as error:
            # PyIceberg's way to report that another process has just expired or named one of them.
            raise CommitFailedException(str(error)) from error
    return old
