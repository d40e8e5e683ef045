"""Replacing files by others with the same rows: compaction, another codec, another tier.

PyIceberg 0.12 has no REPLACE; the commit below builds it on private classes, so its version is
pinned and its behaviour is tested. Unlike an overwrite it runs beside appends, keeps sequence
numbers, and is refused when somebody else took one of the files away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.manifest import DataFile, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.table.update.validate import (
    _validate_data_files_exist,
    _validate_no_new_deletes_for_data_files,
)

from strata.errors import BalanceError, ConflictError
from strata.storage.history import RUN_ID, live_files
from strata.storage.parquet import WrittenFile
from strata.storage.publish import carried_properties, catalog_errors, data_file

if TYPE_CHECKING:
    from pyiceberg.table import Transaction

    from strata.storage.catalog import CorpusTable

__all__ = ["Replacement", "replace_files"]


@dataclass(frozen=True, slots=True)
class Replacement:
    """Files of a table, by URL, and the files that hold the same rows instead."""

    old: tuple[str, ...]
    new: tuple[WrittenFile, ...]


def replace_files(
    table: CorpusTable, replacements: Sequence[Replacement], *, run_id: str
) -> int | None:
    """Replace files in one REPLACE snapshot; the old ones stay until garbage collection.

    Returns:
        The snapshot's id, or None where there is nothing to replace.

    Raises:
        BalanceError: old and new files do not hold equally many rows.
        ConflictError: an old file is no longer in the table.
        TransientError: the catalog did not answer.
    """
    if not replacements:
        return None
    with catalog_errors(table.name):
        iceberg = table.iceberg()
        live = {file.file_path: file for file in live_files(iceberg.metadata, iceberg.io)}
        properties = carried_properties(iceberg) | {RUN_ID: run_id}
        with iceberg.transaction() as transaction:
            commit = _ReplaceFiles(transaction, properties)
            for replacement in replacements:
                old = [_live(live, url, table.name) for url in replacement.old]
                new = [data_file(file, iceberg.metadata) for file in replacement.new]
                _check_rows(table.name, old, new)
                commit.replace(old, new)
            commit.commit()
        snapshot = iceberg.current_snapshot()
    return snapshot.snapshot_id if snapshot else None


def _live(live: dict[str, DataFile], url: str, table: str) -> DataFile:
    if url not in live:
        raise ConflictError(
            f"{table}: {url} is no longer part of the table",
            hint="another writer replaced it; run the same command again",
        )
    return live[url]


def _check_rows(table: str, old: Sequence[DataFile], new: Sequence[DataFile]) -> None:
    before, after = (sum(file.record_count for file in files) for files in (old, new))
    if before != after:
        raise BalanceError(
            f"{table}: files of {before:,} rows would be replaced by files of {after:,} rows",
            hint="nothing was replaced; run `strata storage verify`",
        )


class _ReplaceFiles(_OverwriteFiles):
    """A snapshot with the operation REPLACE."""

    def __init__(self, transaction: Transaction, properties: dict[str, str]) -> None:
        super().__init__(
            operation=Operation.OVERWRITE,
            transaction=transaction,
            io=transaction._table.io,
            snapshot_properties=properties,
        )
        self._groups: list[tuple[list[DataFile], list[DataFile]]] = []

    def replace(self, old: list[DataFile], new: list[DataFile]) -> None:
        self._groups.append((old, new))
        for file in old:
            self.delete_data_file(file)
        for file in new:
            self.append_data_file(file)

    def _summary(self, snapshot_properties: dict[str, str] | None = None) -> Summary:
        summary = super()._summary(snapshot_properties or {})
        return Summary(operation=Operation.REPLACE, **summary.additional_properties)

    def _manifests(self) -> list[ManifestFile]:
        # The added files get manifests of their own, which keep the sequence numbers of the rows.
        added, self._added_data_files = self._added_data_files, []
        try:
            manifests = super()._manifests()
        finally:
            self._added_data_files = added
        numbers = {
            entry.data_file.file_path: entry.sequence_number for entry in self._deleted_entries()
        }
        specs = {old[0].spec_id for old, _ in self._groups}
        return manifests + [self._added_manifest(spec, numbers) for spec in sorted(specs)]

    def _added_manifest(self, spec_id: int, numbers: dict[str, int | None]) -> ManifestFile:
        with self.new_manifest_writer(self.spec(spec_id)) as writer:
            for old, new in self._groups:
                if old[0].spec_id != spec_id:
                    continue
                known = [numbers[file.file_path] for file in old]
                # Rows of several ages in one file count as old as the oldest of them.
                number = min((n for n in known if n is not None), default=None)
                for file in new:
                    writer.add(
                        ManifestEntry.from_args(
                            status=ManifestEntryStatus.ADDED,
                            snapshot_id=self._snapshot_id,
                            sequence_number=number,
                            file_sequence_number=None,
                            data_file=file,
                        )
                    )
        return writer.to_manifest_file()

    def _validate_concurrency(self) -> None:
        # Appends elsewhere never conflict with a replacement.
        window = self._commit_window
        if window is None or window.is_empty() or window.head is None:
            return
        table = self._transaction._table
        files = self._deleted_data_files
        _validate_data_files_exist(table, window.head, files, window.base)
        _validate_no_new_deletes_for_data_files(table, window.head, None, files, window.base)
