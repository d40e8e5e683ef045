"""Replacing files by others with the same rows: compaction, another codec, another tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strata.errors import BalanceError, ConflictError
from strata.storage.accesses import Succession
from strata.storage.parquet import WrittenFile
from strata.storage.publish import catalog_errors, run_commit
from strata.storage.records import RUN_ID
from strata.storage.table import CorpusTable
from strata.storage.url import Url

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile

__all__ = ["Replacement", "replace_files", "still_there"]


@dataclass(frozen=True, slots=True)
class Replacement:
    """New files that hold exactly the rows of the old ones.

    Attributes:
        old: URLs of files of the table.
        new: files just written.
    """

    old: tuple[str, ...]
    new: tuple[WrittenFile, ...]

    @property
    def succession(self) -> Succession:
        """The same by name, for the access log."""
        old = tuple(Url.parse(url).name for url in self.old)
        return Succession(old, tuple(Url.parse(file.url).name for file in self.new))


def replace_files(
    table: CorpusTable, replacements: Sequence[Replacement], *, run_id: str
) -> int | None:
    """Swap files in one REPLACE snapshot; the table's content key stays.

    Returns:
        The id of the new snapshot, or None if there was nothing to replace.

    Raises:
        BalanceError: new files hold more or fewer rows than the old ones.
        ConflictError: an old file is not in the table any more.
        TransientError: the catalog did not answer; nothing was replaced.
    """
    from strata.storage.commits import RewriteCommit
    from strata.storage.history import live_files

    if not replacements:
        return None
    with catalog_errors(table.name):
        iceberg = table.iceberg()
        present = {file.file_path: file for file in live_files(iceberg.metadata, iceberg.io)}
        commit = RewriteCommit(iceberg.transaction(), {RUN_ID: run_id})
        for replacement in replacements:
            commit.replace(_checked(table.name, replacement, present), replacement.new)
        return run_commit(table, commit)


def still_there(name: str, urls: Sequence[str], present: Mapping[str, DataFile]) -> list[DataFile]:
    """The present files with these URLs.

    Raises:
        ConflictError: one of them is not in the table any more.
    """
    gone = [url for url in urls if url not in present]
    if gone:
        raise ConflictError(
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
