"""What an Iceberg table holds at one moment, as plain records."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from pyiceberg.table.snapshots import Operation, Snapshot, ancestors_of

from strata.storage.contracts.url import Url
from strata.storage.iceberg.partition_specs import fields_by_spec, partition_of
from strata.storage.iceberg.snapshots import carries_key, files_of_ref, live_files, properties_of
from strata.storage.layout.file_names import facts_of_name
from strata.storage.layout.partitioning import Partition
from strata.storage.layout.records import LAST_ID, TableFile, TableSnapshot
from strata.storage.reading.conditions import as_expression
from strata.storage.reading.predicates import Predicate

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata

__all__ = ["TableRecords"]

# First columns that hold document ids; each file records its smallest and largest id.
_NUMBERED = frozenset({"doc_id", "a"})
_DOC_ID_FIELD = 1
_INT64 = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class TableRecords:
    """A table as it was when it was loaded from the catalog."""

    table: Table

    def files(
        self, snapshot: int | None = None, predicates: Sequence[Predicate] = ()
    ) -> list[TableFile]:
        """The data files of a snapshot, the present one by default, by smallest document id.

        Files that cannot have a row that meets all predicates are left out, as partition values and
        the bounds in the manifests show.
        """
        if not predicates:
            return self._sorted(live_files(self.table.metadata, self.table.io, snapshot))
        scan = self.table.scan(row_filter=as_expression(predicates), snapshot_id=snapshot)
        return self._sorted(task.file for task in scan.plan_files())

    def files_of_ref(self, ref: str) -> list[TableFile]:
        """The data files of a tag or branch, by smallest document id; none where it is gone."""
        return self._sorted(files_of_ref(self.table, ref))

    def _sorted(self, files: Iterable[DataFile]) -> list[TableFile]:
        return sorted(self.described(files), key=lambda file: (file.min_doc_id, file.url))

    def described(self, files: Iterable[DataFile]) -> list[TableFile]:
        """Data files of the table as plain records, in the same order."""
        metadata = self.table.metadata
        specs = fields_by_spec(metadata)
        is_numbered = metadata.schema().fields[0].name in _NUMBERED
        return [_record(file, partition_of(file, specs), is_numbered) for file in files]

    def snapshot_id(self, name: str) -> int | None:
        """Id of a snapshot given by its id or by a tag or branch; None if it is gone."""
        metadata = self.table.metadata
        if name.isdecimal():
            snapshot = metadata.snapshot_by_id(int(name))
        else:
            snapshot = metadata.snapshot_by_name(name)
        return snapshot.snapshot_id if snapshot else None

    def snapshots(self) -> list[TableSnapshot]:
        """All retained snapshots, oldest first."""
        return [_snapshot_record(snapshot) for snapshot in self.table.metadata.snapshots]

    def refs(self) -> dict[str, int]:
        """The snapshot of each tag and branch."""
        return {name: ref.snapshot_id for name, ref in self.table.metadata.refs.items()}

    def tags(self) -> dict[str, int]:
        """The snapshot of each tag."""
        refs = self.table.metadata.refs
        tags = [name for name, ref in refs.items() if ref.snapshot_ref_type == "tag"]
        return {name: refs[name].snapshot_id for name in tags}

    def property_of_ref(self, ref: str, name: str) -> str | None:
        """A property of the result that a tag or branch names; None where there is none."""
        snapshot = self.table.metadata.snapshot_by_name(ref)
        # A rewrite keeps the properties of the result that it rewrites.
        return properties_of(snapshot).get(name) if snapshot else None

    def carries(self, content_key: str) -> bool:
        """Whether a result is in the table: perhaps appended to since, but never overwritten."""
        return carries_key(self.table.metadata, content_key)

    def snapshots_of_result(self, ref: str) -> list[int]:
        """Ids of the snapshots that hold rows of the result that a tag or branch names.

        They include rewrites and, where the table still holds that result, its own snapshots of it.
        """
        metadata = self.table.metadata
        found = _since_published(metadata, metadata.snapshot_by_name(ref))
        present = _since_published(metadata, metadata.current_snapshot())
        rewritten = {each.snapshot_id for each in takewhile(_is_rewrite, found)}
        published = next((each.snapshot_id for each in found if not _is_rewrite(each)), None)
        same = [each.snapshot_id for each in present]
        if published in same:
            # The table may have been rewritten since it was tagged, and still holds the same rows.
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


def _record(file: DataFile, partition: Partition, is_numbered: bool) -> TableFile:
    low, high = (file.lower_bounds or {}), (file.upper_bounds or {})
    known = is_numbered and _DOC_ID_FIELD in low and _DOC_ID_FIELD in high
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


def _snapshot_record(snapshot: Snapshot) -> TableSnapshot:
    operation = snapshot.summary.operation.value if snapshot.summary else ""
    return TableSnapshot(
        snapshot.snapshot_id,
        snapshot.timestamp_ms,
        operation,
        properties_of(snapshot),
        snapshot.parent_snapshot_id,
    )
