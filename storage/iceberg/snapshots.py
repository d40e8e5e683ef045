"""Reading a table's snapshots: which result they hold, and which files are in the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyiceberg.table.snapshots import Operation, Snapshot, ancestors_of

from strata.storage.layout.properties import CONTENT_KEY

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["carries_key", "files_of_ref", "live_files", "newest_key", "properties_of"]


def properties_of(snapshot: Snapshot) -> dict[str, str]:
    """The summary of a snapshot, without the operation."""
    return dict(snapshot.summary.additional_properties) if snapshot.summary else {}


def carries_key(metadata: TableMetadata, content_key: str) -> bool:
    """Whether a result is in the table: published by the last overwrite or after it."""
    for snapshot in ancestors_of(metadata.current_snapshot(), metadata):
        if properties_of(snapshot).get(CONTENT_KEY) == content_key:
            return True
        if snapshot.summary and snapshot.summary.operation == Operation.OVERWRITE:
            return False
    return False


def live_files(
    metadata: TableMetadata, io: FileIO, snapshot_id: int | None = None
) -> list[DataFile]:
    """The data files of a snapshot; of the present one unless its id is given."""
    snapshot = (
        metadata.current_snapshot() if snapshot_id is None else metadata.snapshot_by_id(snapshot_id)
    )
    manifests = snapshot.manifests(io) if snapshot else []
    return [
        entry.data_file
        for manifest in manifests
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)
    ]


def files_of_ref(table: Table, name: str) -> list[DataFile]:
    """The data files of a tag or branch; none where it is gone."""
    snapshot = table.metadata.snapshot_by_name(name)
    return live_files(table.metadata, table.io, snapshot.snapshot_id) if snapshot else []


def newest_key(metadata: TableMetadata) -> str | None:
    """Content key of the present snapshot; rewrites keep that of the result that they rewrite."""
    snapshot = metadata.current_snapshot()
    return properties_of(snapshot).get(CONTENT_KEY) if snapshot else None
