"""What all commits share, on PyIceberg's private classes: ordering, and partition specs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import (
    Operation,
    SnapshotSummaryCollector,
    Summary,
    update_snapshot_summaries,
)
from pyiceberg.table.update import AssertRefSnapshotId, UpdatesAndRequirements
from pyiceberg.table.update.snapshot import ExpireSnapshots, _SnapshotProducer
from pyiceberg.typedef import EMPTY_DICT

__all__ = ["ExpiryCommit", "OneChange", "OrderedCommit", "SpecCommit"]


class OneChange(Transaction):
    """A transaction with a single commit.

    PyIceberg copies the whole metadata, with all snapshots, whenever a commit looks at it, which is
    several times for each file: 5 ms each time for a dozen snapshots.
    """

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata with the staged changes."""
        return super().table_metadata if self._updates else self._table.metadata


def _as_they_are(metadata: TableMetadata) -> Iterator[AssertRefSnapshotId]:
    """Requirements that fail a commit when a tag or branch has moved meanwhile."""
    for name, ref in metadata.refs.items():
        yield AssertRefSnapshotId.model_validate({"ref": name, "snapshot-id": ref.snapshot_id})


class ExpiryCommit(ExpireSnapshots):
    """Forgets snapshots, but loses the race when any tag or branch has moved meanwhile.

    PyIceberg requires nothing, and drops a tag or branch that has come to name an expired snapshot:
    in a race with a rollback, that is the table's main branch.
    """

    def _commit(self) -> UpdatesAndRequirements:
        updates, requirements = super()._commit()
        return updates, (*requirements, *_as_they_are(self._transaction.table_metadata))


class OrderedCommit(_SnapshotProducer[Any]):
    """A commit that is retried when any tag or branch has moved meanwhile.

    PyIceberg checks only the one that it commits to. But the snapshots of all of them share one
    sequence of numbers, and a number that is taken by then would be an error of the table, not a
    lost race.
    """

    def _commit(self) -> UpdatesAndRequirements:
        updates, requirements = super()._commit()
        refs = _as_they_are(self._transaction._table.metadata)
        others = (each for each in refs if each.ref != self._target_branch)
        return updates, (*requirements, *others)


class SpecCommit(OrderedCommit):
    """A commit whose new files stay under their own partition specs.

    PyIceberg writes all new files into one manifest of the default spec, under which the values of
    an older one mean something else: filtered reads would miss the rows of such a file.
    """

    kind: ClassVar[Operation] = Operation.OVERWRITE
    """What the snapshot does to the existing files."""

    def __init__(
        self, transaction: Transaction, properties: dict[str, str], ref: str = MAIN_BRANCH
    ) -> None:
        io = transaction._table.io
        super().__init__(self.kind, transaction, io, snapshot_properties=properties, branch=ref)

    def run(self) -> None:
        """Commit, and retry while other writers win the race."""
        self.commit()
        self._transaction.commit_transaction()

    def _manifests(self) -> list[ManifestFile]:
        added, self._added_data_files = self._added_data_files, []
        try:
            others = super()._manifests()
        finally:
            self._added_data_files = added
        return [*self._added_manifests(), *others]

    def _added_manifests(self) -> list[ManifestFile]:
        by_spec: defaultdict[int, list[DataFile]] = defaultdict(list)
        for file in self._added_data_files:
            by_spec[file.spec_id].append(file)
        numbers = self._sequence_numbers() if by_spec else {}
        made = []
        for spec_id, files in by_spec.items():
            with self.new_manifest_writer(self.spec(spec_id)) as writer:
                for file in files:
                    writer.add(self._added_entry(file, numbers.get(file.file_path)))
            made.append(writer.to_manifest_file())
        return made

    def _sequence_numbers(self) -> Mapping[str, int]:
        """Data sequence numbers of new files by URL; any other file gets that of the snapshot."""
        return {}

    def _added_entry(self, file: DataFile, sequence_number: int | None) -> ManifestEntry:
        return ManifestEntry.from_args(
            status=ManifestEntryStatus.ADDED,
            snapshot_id=self._snapshot_id,
            sequence_number=sequence_number,
            file_sequence_number=None,
            data_file=file,
        )

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        metadata = self._transaction.table_metadata
        schema, specs = metadata.schema(), metadata.specs()
        changes = SnapshotSummaryCollector()
        for file in self._added_data_files:
            changes.add_file(file, schema, specs[file.spec_id])
        for file in self._deleted_data_files:
            changes.remove_file(file, schema, specs[file.spec_id])
        parent = metadata.snapshot_by_id(self._parent_snapshot_id or -1)
        return update_snapshot_summaries(
            Summary(operation=self._operation, **changes.build(), **snapshot_properties),
            parent.summary if parent else None,
        )
