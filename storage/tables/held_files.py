"""The data files that the present state of a table, a tag or a branch refers to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from strata.storage.layout.records import PRESENT, TableFile
from strata.storage.tables.catalog import Corpus
from strata.storage.tables.table import CorpusTable

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["HeldFile", "corpus_files", "files_by_ref", "held_files"]


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A data file, and what refers to it.

    Attributes:
        table: name of the table.
        file: the file.
        refs: the tags and branches that refer to it; :data:`PRESENT` is the present table.
        partition: values of its partition, by field.
        bounds: smallest and largest value of each numeric or time column without nulls for which
            the manifest has bounds; times in microseconds since 1970, UTC.
    """

    table: str
    file: TableFile
    refs: frozenset[str] = frozenset({PRESENT})
    partition: Mapping[str, object] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name under which the access log has it."""
        return self.file.location.name


def files_by_ref(iceberg: Table) -> dict[str, dict[str, DataFile]]:
    """The data files of each branch and tag, by URL."""
    read: dict[str, list[DataFile]] = {}
    found = {}
    for name in iceberg.metadata.refs:
        snapshot = iceberg.metadata.snapshot_by_name(name)
        if snapshot is not None:
            files = _files(snapshot, iceberg.io, read)
            found[name] = {file.file_path: file for file in files}
    return found


def held_files(table: CorpusTable) -> list[HeldFile]:
    """All files that the table, one of its tags or of its branches refers to, sorted by URL."""
    from strata.storage.iceberg.table_records import TableRecords

    iceberg = table.existing()
    if iceberg is None:
        return []
    files: dict[str, DataFile] = {}
    refs: defaultdict[str, set[str]] = defaultdict(set)
    for name, listed in files_by_ref(iceberg).items():
        files |= listed
        for url in listed:
            refs[url].add(name)
    described = dict(zip(files, TableRecords(iceberg).described(files.values()), strict=True))
    return [
        HeldFile(
            table.name,
            described[url],
            frozenset(refs[url]),
            described[url].partition,
            dict(_bounds(files[url], iceberg.metadata)),
        )
        for url in sorted(files)
    ]


def corpus_files(corpus: Corpus, tables: Collection[str] | None = None) -> list[HeldFile]:
    """The same for some tables of a corpus, all by default; those that do not exist are skipped."""
    present = [name for name in corpus.existing_tables() if tables is None or name in tables]
    return [held for name in present for held in held_files(corpus.table(name))]


def _files(snapshot: Snapshot, io: FileIO, read: dict[str, list[DataFile]]) -> Iterator[DataFile]:
    for manifest in snapshot.manifests(io):
        # A tag shares most of its manifests with the table.
        if manifest.manifest_path not in read:
            entries = manifest.fetch_manifest_entry(io, discard_deleted=True)
            read[manifest.manifest_path] = [entry.data_file for entry in entries]
        yield from read[manifest.manifest_path]


def _bounds(file: DataFile, metadata: TableMetadata) -> Iterator[tuple[str, tuple[float, float]]]:
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import DoubleType, FloatType, IntegerType, LongType, TimestamptzType

    ordered = DoubleType | FloatType | IntegerType | LongType | TimestamptzType
    low, high = file.lower_bounds or {}, file.upper_bounds or {}
    missing = file.null_value_counts or {}
    for column in metadata.schema().fields:
        kind = column.field_type
        known = column.field_id in low and column.field_id in high
        is_whole = column.required or missing.get(column.field_id) == 0
        if known and is_whole and isinstance(kind, ordered):
            ends = [from_bytes(kind, side[column.field_id]) for side in (low, high)]
            yield column.name, (float(ends[0]), float(ends[1]))
