"""Replacing files by others with the same rows: compaction, another codec, another tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from strata.errors import BalanceError, ConcurrentChangeError, ConflictError
from strata.storage.iceberg.catalog_errors import catalog_errors
from strata.storage.layout.properties import RUN_ID
from strata.storage.layout.records import PRESENT
from strata.storage.tables.file_lineage import FileLineage
from strata.storage.tables.publish import run_commit
from strata.storage.tables.table import CorpusTable
from strata.storage.writing.parquet import WrittenFile

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile

__all__ = [
    "Replacement",
    "beside_others",
    "replace_everywhere",
    "replace_files",
    "still_there",
]

_RACES = 8
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Replacement:
    """New files with exactly the rows of the old ones.

    Attributes:
        old: URLs of files of the table.
        new: files just written.
    """

    old: tuple[str, ...]
    new: tuple[WrittenFile, ...]

    @property
    def lineage(self) -> FileLineage:
        """Which files replace which, for the access log."""
        return FileLineage.of(self.old, self.new)


def replace_files(
    table: CorpusTable, replacements: Sequence[Replacement], *, run_id: str
) -> int | None:
    """Replace files in one REPLACE snapshot; the table keeps its content key.

    Returns:
        The id of the new snapshot, or None if there was nothing to replace.

    Raises:
        BalanceError: new files hold more or fewer rows than the old ones.
        ConflictError: an old file is no longer in the table.
        TransientError: the catalog did not answer; nothing was replaced.
    """
    from strata.storage.iceberg.commits import RewriteCommit
    from strata.storage.iceberg.snapshots import live_files
    from strata.storage.iceberg.table_commit import OneChange

    if not replacements:
        return None
    with catalog_errors(table.name):
        iceberg = table.iceberg_for(new for each in replacements for new in each.new)
        present = {file.file_path: file for file in live_files(iceberg.metadata, iceberg.io)}
        commit = RewriteCommit(OneChange(iceberg), {RUN_ID: run_id})
        for replacement in replacements:
            commit.replace(_checked(table.name, replacement, present), replacement.new)
        return run_commit(table, commit)


def replace_everywhere(
    table: CorpusTable, replacements: Sequence[Replacement], *, run_id: str
) -> frozenset[str]:
    """Replace files in the table and in all its tags and branches, each in one REPLACE snapshot.

    A tag then names another snapshot with the same rows. Files that another writer has removed
    meanwhile are left out; a crash in between leaves the table and some tags with the old files.

    Returns:
        URLs of the old files that were replaced somewhere.

    Raises:
        BalanceError: new files hold more or fewer rows than the old ones.
        ConflictError: other writers won the race on every attempt.
        TransientError: the catalog did not answer; what was already replaced stays replaced.
    """
    if not replacements:
        return frozenset()
    with catalog_errors(table.name):
        iceberg = table.iceberg_for(new for each in replacements for new in each.new)
    names = list(iceberg.metadata.refs)
    done: set[str] = set()
    # The table last: as long as it has the old files, a run after a crash repeats everything.
    for name in sorted(names, key=lambda each: (each == PRESENT, each)):
        done |= beside_others(partial(_try_replace, table, name, replacements, run_id))
    return frozenset(done)


def beside_others(change: Callable[[], Result]) -> Result:
    """Make a change that loads the table on each attempt; other writers may win some of them."""
    for _ in range(_RACES):
        with suppress(ConflictError):
            return change()
    return change()


def _try_replace(
    table: CorpusTable, ref: str, replacements: Sequence[Replacement], run_id: str
) -> set[str]:
    from strata.storage.iceberg.commits import RewriteCommit
    from strata.storage.iceberg.snapshots import files_of_ref
    from strata.storage.iceberg.table_commit import OneChange

    with catalog_errors(table.name):
        iceberg = table.iceberg()
        present = {file.file_path: file for file in files_of_ref(iceberg, ref)}
        fitting = [each for each in replacements if all(url in present for url in each.old)]
        if not fitting:
            return set()
        commit = RewriteCommit(OneChange(iceberg), {RUN_ID: run_id}, ref)
        for replacement in fitting:
            commit.replace(_checked(table.name, replacement, present), replacement.new)
        run_commit(table, commit)
        return {url for replacement in fitting for url in replacement.old}


def still_there(name: str, urls: Sequence[str], present: Mapping[str, DataFile]) -> list[DataFile]:
    """The present files with these URLs.

    Raises:
        ConflictError: one of them is no longer in the table.
    """
    gone = [url for url in urls if url not in present]
    if gone:
        raise ConcurrentChangeError(
            f"{name} has no file {gone[0]} any more",
            hint="another run replaced it; run the same command again",
        )
    return [present[url] for url in urls]


def _checked(
    name: str, replacement: Replacement, present: Mapping[str, DataFile]
) -> list[DataFile]:
    old = still_there(name, replacement.old, present)
    before = sum(file.record_count for file in old)
    after = sum(file.rows for file in replacement.new)
    if before != after or not old:
        raise BalanceError(
            f"{len(old)} file(s) of {name} hold {before:,} rows, their replacement {after:,}",
            hint="nothing was replaced",
        )
    return old
