"""Removing rows from the files of a table and adding others: one snapshot, one new content key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strata.errors import BalanceError, ConcurrentChangeError
from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.layout.properties import CONTENT_KEY, PREFIX, RUN_ID, VERSION_KEY
from strata.storage.tables.file_lineage import FileLineage
from strata.storage.tables.publish import run_commit
from strata.storage.tables.replace import still_there
from strata.storage.tables.table import CorpusTable
from strata.storage.writing.parquet import WrittenFile
from strata.version import VERSION

__all__ = ["FileEdit", "edit_files"]


@dataclass(frozen=True, slots=True)
class FileEdit:
    """New files with other rows than the old ones that they replace.

    Attributes:
        old: URLs of files of the table; empty where rows are only added.
        new: files just written; empty where no row is left.
        removed: number of rows of the old files that the new ones do not have.
        added: number of rows of the new files that the old ones do not have.
    """

    old: tuple[str, ...]
    new: tuple[WrittenFile, ...]
    removed: int
    added: int

    @property
    def lineage(self) -> FileLineage:
        """Which files replace which, for the access log."""
        return FileLineage.of(self.old, self.new)


def edit_files(
    table: CorpusTable,
    edits: Sequence[FileEdit],
    *,
    onto: str | None,
    content_key: str,
    run_id: str,
    extra: Mapping[str, str],
) -> int | None:
    """Publish edits in one OVERWRITE snapshot; without any edits it still records the key.

    The other properties of the present result are kept.

    Args:
        table: the table.
        edits: the changes.
        onto: key of the result that the edits were made from; None where there is none.
        content_key: names the new result by its causes.
        run_id: the run, for the snapshot's summary.
        extra: additional properties of the snapshot.

    Returns:
        The id of the new snapshot, or None if another process published the same result first.

    Raises:
        BalanceError: rows were lost or duplicated.
        ConflictError: the table now has another result, or one of the old files is gone.
        TransientError: the catalog did not answer; nothing was published.
    """
    from strata.storage.iceberg.commits import EditCommit
    from strata.storage.iceberg.snapshots import live_files, newest_key, properties_of
    from strata.storage.iceberg.table_commit import OneChange

    with catalog_errors(table.name):
        iceberg = table.iceberg_for(new for edit in edits for new in edit.new)
        head = iceberg.metadata.current_snapshot()
        carried = {
            name: value
            for name, value in (properties_of(head) if head else {}).items()
            if name.startswith(PREFIX)
        }
        named = {CONTENT_KEY: content_key, RUN_ID: run_id, VERSION_KEY: VERSION}
        if newest_key(iceberg.metadata) != onto:
            raise ConcurrentChangeError(
                f"{table.name} has another result than a moment ago",
                hint="let the other run finish, then run the same command again",
            )
        commit = EditCommit(OneChange(iceberg), carried | named | dict(extra), content_key)
        present = {file.file_path: file for file in live_files(iceberg.metadata, iceberg.io)}
        for edit in edits:
            old = still_there(table.name, edit.old, present)
            _check_rows(table.name, edit, sum(file.record_count for file in old))
            commit.replace(old, edit.new)
        return run_commit(table, commit)


def _check_rows(name: str, edit: FileEdit, before: int) -> None:
    after = sum(file.rows for file in edit.new)
    if before - edit.removed + edit.added != after:
        raise BalanceError(
            f"{len(edit.old)} file(s) of {name} hold {before:,} rows, of which {edit.removed:,} "
            f"go and {edit.added:,} come, but {after:,} were written",
            hint="nothing was published; this is a defect, please report it with the run's log",
        )
