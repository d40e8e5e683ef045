"""The four kinds of snapshots of Strata, on PyIceberg's private commit classes (pinned to 0.12).

PyIceberg retries a commit that lost a race: it refreshes the table, validates and writes the
manifests again. Each class here defines what is validated then. PyIceberg has no REPLACE itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyiceberg.exceptions import ValidationException
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
)
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import (
    Operation,
    Summary,
)
from pyiceberg.table.update import (
    SetSnapshotRefUpdate,
    TableUpdate,
    UpdatesAndRequirements,
)
from pyiceberg.table.update.snapshot import _FastAppendFiles, _OverwriteFiles
from pyiceberg.table.update.validate import (
    _validate_data_files_exist,
    _validate_no_new_deletes_for_data_files,
)
from pyiceberg.typedef import EMPTY_DICT

from strata.storage.iceberg.partition_specs import record_of, spec_of
from strata.storage.iceberg.snapshots import carries_key, live_files, newest_key, properties_of
from strata.storage.iceberg.table_commit import SpecCommit
from strata.storage.layout.properties import PREFIX, RESULT_MS, RUN_ID
from strata.storage.writing.parquet import WrittenFile

if TYPE_CHECKING:
    from pyiceberg.table import Transaction
    from pyiceberg.table.metadata import TableMetadata

__all__ = [
    "AlreadyPublishedError",
    "AppendCommit",
    "Commit",
    "EditCommit",
    "OverwriteCommit",
    "RewriteCommit",
    "data_file",
]


class AlreadyPublishedError(ValidationException):
    """Another process has published the same result; PyIceberg cleans up after this one."""


def data_file(file: WrittenFile, metadata: TableMetadata) -> DataFile:
    """Iceberg's record of a written file, made from its footer without reading it back."""
    schema = metadata.schema()
    statistics = data_file_statistics_from_parquet_metadata(
        file.metadata,
        compute_statistics_plan(schema, metadata.properties),
        parquet_path_to_id_mapping(schema),
    )
    spec = spec_of(metadata, file.partition.fields)
    if spec is None:
        raise ValidationException(f"the table has no partition spec for {file.url}")
    made = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=file.url,
        file_format=FileFormat.PARQUET,
        partition=record_of(file.partition),
        file_size_in_bytes=file.n_bytes,
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )
    # from_args drops it.
    made.spec_id = spec
    return made


class _ResultCommit(SpecCommit):
    """A commit that gives the table a new content key, that of the result that it then holds."""

    def __init__(
        self, transaction: Transaction, properties: dict[str, str], content_key: str
    ) -> None:
        super().__init__(transaction, properties)
        self._content_key = content_key
        self._former_key = newest_key(transaction.table_metadata)


class AppendCommit(_ResultCommit, _FastAppendFiles):
    """Adds files; other writers may add theirs at the same time."""

    kind = Operation.APPEND

    def is_published(self, metadata: TableMetadata) -> bool:
        """Whether the result has been appended since the table was last overwritten."""
        return carries_key(metadata, self._content_key)

    def add_files(self, files: Sequence[WrittenFile]) -> None:
        """Stage the files."""
        for file in files:
            self.append_data_file(data_file(file, self._transaction.table_metadata))

    def _validate_concurrency(self) -> None:
        if self.is_published(self._transaction._table.metadata):
            raise AlreadyPublishedError(self._content_key)


class OverwriteCommit(_ResultCommit, _OverwriteFiles):
    """Replaces all files of the table.

    A concurrent rewrite of the old files is harmless; a different result is a conflict.
    """

    def is_published(self, metadata: TableMetadata) -> bool:
        """Whether the result is what the table holds."""
        return newest_key(metadata) == self._content_key

    def add_files(self, files: Sequence[WrittenFile]) -> None:
        """Stage the files, and the removal of all others."""
        for file in files:
            self.append_data_file(data_file(file, self._transaction.table_metadata))
        self._drop_present_files()

    def _drop_present_files(self) -> None:
        self._deleted_data_files = set(live_files(self._transaction._table.metadata, self._io))

    def _validate_concurrency(self) -> None:
        present = self._transaction._table.metadata
        if self.is_published(present):
            raise AlreadyPublishedError(self._content_key)
        if newest_key(present) != self._former_key:
            raise ValidationException(f"it now holds the result {newest_key(present)}")
        self._drop_present_files()


class EditCommit(_ResultCommit, _OverwriteFiles):
    """Replaces some files by files with other rows, and gives the table a new content key.

    The table must still hold what the edit was made from: another result, or a rewrite of one of
    the old files, is a conflict.
    """

    def replace(self, old: Sequence[DataFile], new: Sequence[WrittenFile]) -> None:
        """Stage the replacement of ``old`` by ``new``."""
        for file in old:
            self.delete_data_file(file)
        for written in new:
            self.append_data_file(data_file(written, self._transaction.table_metadata))

    def _validate_concurrency(self) -> None:
        # PyIceberg itself refuses the commit when one of the old files is gone.
        present = newest_key(self._transaction._table.metadata)
        if present == self._content_key:
            raise AlreadyPublishedError(self._content_key)
        if present != self._former_key:
            raise ValidationException(f"it now holds the result {present}")


class RewriteCommit(SpecCommit, _OverwriteFiles):
    """REPLACE: other files with the same rows; never conflicts with appends.

    After https://iceberg.apache.org/spec/#snapshots; new files keep the data sequence number of
    the newest file that they replace. Files of a tag are replaced as those of a branch: the new
    snapshot is a child of the one that the tag names, and the same commit moves the tag to it.
    """

    def __init__(
        self, transaction: Transaction, properties: dict[str, str], ref: str = MAIN_BRANCH
    ) -> None:
        super().__init__(transaction, properties, ref)
        self._groups: list[tuple[frozenset[str], list[DataFile]]] = []

    def replace(self, old: Sequence[DataFile], new: Sequence[WrittenFile]) -> None:
        """Stage the replacement of ``old`` by ``new``."""
        made = [data_file(file, self._transaction.table_metadata) for file in new]
        self.replace_by(old, made)

    def replace_by(self, old: Sequence[DataFile], made: Sequence[DataFile]) -> None:
        """Stage the replacement of ``old`` by files that the table already has elsewhere."""
        for file in old:
            self.delete_data_file(file)
        for file in made:
            self.append_data_file(file)
        self._groups.append((frozenset(file.file_path for file in old), list(made)))

    def _validate_target_branch(self, branch: str | None) -> str | None:
        # PyIceberg would refuse tags.
        return branch

    def _commit(self) -> UpdatesAndRequirements:
        updates, requirements = super()._commit()
        return tuple(self._kept_kind(update) for update in updates), requirements

    def _kept_kind(self, update: TableUpdate) -> TableUpdate:
        """The same update, made so that a tag stays a tag and keeps its age limits."""
        if not isinstance(update, SetSnapshotRefUpdate):
            return update
        ref = self._transaction._table.metadata.refs[update.ref_name]
        kept = {
            "type": ref.snapshot_ref_type,
            "max_ref_age_ms": ref.max_ref_age_ms,
            "max_snapshot_age_ms": ref.max_snapshot_age_ms,
            "min_snapshots_to_keep": ref.min_snapshots_to_keep,
        }
        return update.model_copy(update=kept)

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        head = self._transaction._table.metadata.snapshot_by_name(self._target_branch)
        # The rows remain the result of the run that published them.
        carried = {
            name: value
            for name, value in (properties_of(head) if head else {}).items()
            if name.startswith(PREFIX) and name != RUN_ID
        }
        if head is not None:
            carried.setdefault(RESULT_MS, str(head.timestamp_ms))
        summary = super()._summary(carried | snapshot_properties)
        return Summary(operation=Operation.REPLACE, **summary.additional_properties)

    def _sequence_numbers(self) -> Mapping[str, int]:
        replaced = {
            entry.data_file.file_path: entry.sequence_number or 0
            for entry in self._deleted_entries()
        }
        return {
            file.file_path: max(replaced[path] for path in old)
            for old, new in self._groups
            for file in new
        }

    def _validate_concurrency(self) -> None:
        window, table = self._commit_window, self._transaction._table
        if window is None or window.is_empty() or window.head is None:
            return
        gone = self._deleted_data_files
        _validate_data_files_exist(table, window.head, gone, window.base)
        _validate_no_new_deletes_for_data_files(table, window.head, None, gone, window.base)


Commit = AppendCommit | EditCommit | OverwriteCommit | RewriteCommit
