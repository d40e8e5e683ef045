"""Reading a table's snapshots: whose result they carry, and which files are in the last one."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from pyiceberg.table.snapshots import Operation, Snapshot, ancestors_of

from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import facts_of_name
from strata.storage.layout.partitioning import UNPARTITIONED, Partition
from strata.storage.layout.records import CONTENT_KEY, LAST_ID, PRESENT, TableFile, TableSnapshot
from strata.storage.reading.conditions import as_expression
from strata.storage.reading.predicates import Predicate

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

__all__ = [
    "carries_key",
    "describe_file",
    "describe_snapshot",
    "files_of_ref",
    "generation",
    "live_files",
    "matching_files",
    "newest_key",
    "properties_of",
    "snapshot_named",
]

_DOC_ID_FIELD = 1
_INT64 = struct.Struct("<q")


def properties_of(snapshot: Snapshot) -> dict[str, str]:
    """The summary of a snapshot, without the operation."""
    return dict(snapshot.summary.additional_properties) if snapshot.summary else {}


def carries_key(metadata: TableMetadata, content_key: str) -> bool:
    """Whether a result is in the table: published after everything that would have dropped it."""
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


def matching_files(
    table: Table, predicates: Sequence[Predicate], snapshot_id: int | None = None
) -> list[DataFile]:
    """Those of the live files that can have a row which meets all predicates.

    Partition values and the bounds in the manifests decide.
    """
    scan = table.scan(row_filter=as_expression(predicates), snapshot_id=snapshot_id)
    return [task.file for task in scan.plan_files()]


def snapshot_named(metadata: TableMetadata, name: str) -> Snapshot | None:
    """A snapshot by its id, or by the name of a tag or branch."""
    if name.isdecimal():
        return metadata.snapshot_by_id(int(name))
    return metadata.snapshot_by_name(name)


def files_of_ref(table: Table, name: str) -> list[DataFile]:
    """The data files of a tag or branch; none where it is gone."""
    snapshot = table.metadata.snapshot_by_name(name)
    return live_files(table.metadata, table.io, snapshot.snapshot_id) if snapshot else []


def describe_snapshot(snapshot: Snapshot) -> TableSnapshot:
    """A snapshot as a plain record."""
    operation = snapshot.summary.operation.value if snapshot.summary else ""
    return TableSnapshot(
        snapshot.snapshot_id,
        snapshot.timestamp_ms,
        operation,
        properties_of(snapshot),
        snapshot.parent_snapshot_id,
    )


def generation(metadata: TableMetadata, ref: str = PRESENT) -> list[int]:
    """Ids of the snapshots that hold rows of one result, rewrites among them.

    Those of the present result, or of what a tag or branch names; where both are the same one, all.
    """
    found = _since_published(metadata, metadata.snapshot_by_name(ref))
    present = _since_published(metadata, metadata.current_snapshot())
    rewritten = {each.snapshot_id for each in takewhile(_is_rewrite, found)}
    published = next((each.snapshot_id for each in found if not _is_rewrite(each)), None)
    same = [each.snapshot_id for each in present]
    if published in same:
        # The table may have been rewritten since it was tagged, and holds the same rows.
        return [*same, *sorted(rewritten - set(same))]
    return [each.snapshot_id for each in found]


def _since_published(metadata: TableMetadata, snapshot: Snapshot | None) -> list[Snapshot]:
    found: list[Snapshot] = []
    for each in ancestors_of(snapshot, metadata):
        found.append(each)
        if each.summary and each.summary.operation == Operation.OVERWRITE:
            break
    return found


def _is_rewrite(snapshot: Snapshot) -> bool:
    return snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE


def describe_file(
    file: DataFile, bounded: frozenset[int], partition: Partition = UNPARTITIONED
) -> TableFile:
    """A data file as a plain record; ``bounded`` has the field id of ``doc_id``, if any."""
    low, high = (file.lower_bounds or {}), (file.upper_bounds or {})
    known = bool(bounded & low.keys() & high.keys())
    named = facts_of_name(Url.parse(file.file_path).name)
    return TableFile(
        url=file.file_path,
        rows=file.record_count,
        n_bytes=file.file_size_in_bytes,
        min_doc_id=_INT64.unpack(low[_DOC_ID_FIELD])[0] if known else 0,
        max_doc_id=_INT64.unpack(high[_DOC_ID_FIELD])[0] if known else LAST_ID,
        row_groups=len(file.split_offsets or ()),
        codec=named.codec,
        level=named.level,
        created_ms=named.created_ms,
        partition=partition,
    )


def newest_key(metadata: TableMetadata) -> str | None:
    """Content key of the present snapshot; rewrites carry that of the result they rewrite."""
    snapshot = metadata.current_snapshot()
    return properties_of(snapshot).get(CONTENT_KEY) if snapshot else None
