"""Reading a table's snapshots: whose result they carry, and which files are in the last one."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.table.snapshots import Operation, Snapshot, ancestors_of

from strata.storage.url import Url

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table.metadata import TableMetadata

__all__ = [
    "CONTENT_KEY",
    "PREFIX",
    "RUN_ID",
    "TableFile",
    "TableSnapshot",
    "carries_key",
    "content_snapshots",
    "describe_file",
    "describe_snapshot",
    "live_files",
]

PREFIX = "strata."
CONTENT_KEY = "strata.content-key"
RUN_ID = "strata.run-id"

_DOC_ID_FIELD = 1
_INT64 = struct.Struct("<q")
_LAST_ID = (1 << 63) - 1
_TAG = re.compile(r"\.(?P<codec>[a-z0-9]+)(?:-(?P<level>\d+))?\.parquet")


@dataclass(frozen=True, slots=True)
class TableFile:
    """A data file of the present snapshot.

    Attributes:
        url: where it is.
        rows: number of rows.
        n_bytes: size on disk.
        min_doc_id: smallest ``doc_id``; 0 where the table has none.
        max_doc_id: largest ``doc_id``; the largest possible where the table has none.
        row_groups: number of row groups.
        codec: Parquet codec as its name tells, or nothing for a file of another writer.
        level: compression level, where the codec has one.
    """

    url: str
    rows: int
    n_bytes: int
    min_doc_id: int
    max_doc_id: int
    row_groups: int
    codec: str
    level: int | None

    @property
    def location(self) -> Url:
        """The URL as a value."""
        return Url.parse(self.url)


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """One published state of a table.

    Attributes:
        snapshot_id: Iceberg's id.
        timestamp_ms: milliseconds since 1970, UTC.
        operation: append, overwrite, replace or delete.
        properties: the summary, with counts and the ``strata.`` properties.
    """

    snapshot_id: int
    timestamp_ms: int
    operation: str
    properties: dict[str, str]

    @property
    def run_id(self) -> str | None:
        """The run that published it."""
        return self.properties.get(RUN_ID)

    @property
    def content_key(self) -> str | None:
        """The key of the stage whose result it holds."""
        return self.properties.get(CONTENT_KEY)


def properties_of(snapshot: Snapshot) -> dict[str, str]:
    """The summary of a snapshot, without the operation."""
    return dict(snapshot.summary.additional_properties) if snapshot.summary else {}


def content_snapshots(metadata: TableMetadata) -> Iterator[Snapshot]:
    """Snapshots of the main branch that changed rows, newest first."""
    for snapshot in ancestors_of(metadata.current_snapshot(), metadata):
        if snapshot.summary is None or snapshot.summary.operation != Operation.REPLACE:
            yield snapshot


def carries_key(metadata: TableMetadata, content_key: str) -> bool:
    """Whether a result is in the table: published after everything that would have dropped it."""
    for snapshot in ancestors_of(metadata.current_snapshot(), metadata):
        if properties_of(snapshot).get(CONTENT_KEY) == content_key:
            return True
        if snapshot.summary and snapshot.summary.operation == Operation.OVERWRITE:
            return False
    return False


def live_files(metadata: TableMetadata, io: FileIO) -> list[DataFile]:
    """The data files of the present snapshot."""
    snapshot = metadata.current_snapshot()
    manifests = snapshot.manifests(io) if snapshot else []
    return [
        entry.data_file
        for manifest in manifests
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)
    ]


def describe_snapshot(snapshot: Snapshot) -> TableSnapshot:
    """A snapshot as a plain record."""
    operation = snapshot.summary.operation.value if snapshot.summary else ""
    return TableSnapshot(
        snapshot.snapshot_id, snapshot.timestamp_ms, operation, properties_of(snapshot)
    )


def describe_file(file: DataFile, bounded: frozenset[int]) -> TableFile:
    """A data file as a plain record; ``bounded`` has the field id of ``doc_id``, if any."""
    low, high = (file.lower_bounds or {}), (file.upper_bounds or {})
    known = bool(bounded & low.keys() & high.keys())
    tag = _TAG.search(Url.parse(file.file_path).name)
    return TableFile(
        url=file.file_path,
        rows=file.record_count,
        n_bytes=file.file_size_in_bytes,
        min_doc_id=_INT64.unpack(low[_DOC_ID_FIELD])[0] if known else 0,
        max_doc_id=_INT64.unpack(high[_DOC_ID_FIELD])[0] if known else _LAST_ID,
        row_groups=len(file.split_offsets or ()),
        codec=tag["codec"] if tag else "",
        level=int(tag["level"]) if tag and tag["level"] else None,
    )
