"""Plain records of what is in a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from strata.storage.contracts.url import Url
from strata.storage.layout.partitioning import UNPARTITIONED, Partition
from strata.storage.layout.properties import CONTENT_KEY, RESULT_MS, RUN_ID

__all__ = [
    "LAST_ID",
    "PRESENT",
    "SnapshotTotals",
    "TableFile",
    "TableSnapshot",
]

PRESENT = "main"
"""Iceberg's name of the branch that is the table itself, beside its tags and other branches."""

LAST_ID = (1 << 63) - 1
"""The largest possible document id."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A data file of a snapshot of a table.

    Attributes:
        url: where it is.
        rows: number of rows.
        n_bytes: size on disk.
        min_doc_id: smallest ``doc_id`` (of `edges`: ``a``); 0 where the table has none.
        max_doc_id: largest ``doc_id``; the largest possible where the table has none.
        row_groups: number of row groups.
        codec: Parquet codec from its name, or nothing for a file of another writer.
        level: compression level, where the codec has one.
        created_ms: when its newest row came into the corpus, milliseconds since 1970, UTC;
            None for a file of another writer.
        partition: the values that its rows share, by field name.
    """

    url: str
    rows: int
    n_bytes: int
    min_doc_id: int
    max_doc_id: int
    row_groups: int
    codec: str
    level: int | None
    created_ms: int | None = None
    partition: Partition = UNPARTITIONED

    @property
    def location(self) -> Url:
        """The URL as a value."""
        return Url.parse(self.url)

    @property
    def folder(self) -> Url:
        """The folder of the table's data in its tier, above the folders of partitions."""
        folder = self.location.parent
        for _ in self.partition:
            folder = folder.parent
        return folder


@dataclass(frozen=True, slots=True)
class SnapshotTotals:
    """Counts in the summary of a snapshot; 0 where its writer recorded none.

    Attributes:
        rows: rows of the table.
        files: its data files.
        files_added: data files that the snapshot added.
        files_removed: data files that it removed.
        bytes_added: size on disk of those that it added.
        bytes_removed: size on disk of those that it removed.
    """

    rows: int
    files: int
    files_added: int
    files_removed: int
    bytes_added: int
    bytes_removed: int

    @classmethod
    def of(cls, summary: Mapping[str, str]) -> SnapshotTotals:
        """The counts in a summary, under the names of the specification."""
        return cls(
            rows=int(summary.get("total-records", 0)),
            files=int(summary.get("total-data-files", 0)),
            files_added=int(summary.get("added-data-files", 0)),
            files_removed=int(summary.get("deleted-data-files", 0)),
            bytes_added=int(summary.get("added-files-size", 0)),
            bytes_removed=int(summary.get("removed-files-size", 0)),
        )


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """One published state of a table.

    Attributes:
        snapshot_id: Iceberg's id.
        timestamp_ms: milliseconds since 1970, UTC.
        operation: append, overwrite, replace or delete.
        properties: the summary, with counts and the ``strata.`` properties.
        parent_id: the snapshot that it follows.
    """

    snapshot_id: int
    timestamp_ms: int
    operation: str
    properties: dict[str, str]
    parent_id: int | None = None

    @property
    def totals(self) -> SnapshotTotals:
        """The counts of its summary."""
        return SnapshotTotals.of(self.properties)

    @property
    def run_id(self) -> str | None:
        """The run that published it."""
        return self.properties.get(RUN_ID)

    @property
    def result_ms(self) -> int:
        """When its rows were published, whatever rewrote them since: a tag may move years later."""
        return int(self.properties.get(RESULT_MS, self.timestamp_ms))

    @property
    def content_key(self) -> str | None:
        """The key of the stage whose result it holds."""
        return self.properties.get(CONTENT_KEY)
