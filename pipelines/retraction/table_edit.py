"""Planning and publishing what a retraction changes in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strata.errors import BalanceError
from strata.pipelines.retraction.edits import (
    FIRST_ID,
    LAST_ID,
    EditResult,
    EditTask,
    Inserts,
    run_edit_task,
)
from strata.pipelines.retraction.select import RowFilter, count_matching_rows
from strata.pipelines.stage import Counters, StageContext
from strata.pipelines.tasks import run_tasks
from strata.storage.edit import edit_files
from strata.storage.lifecycle.accesses import log_successions
from strata.storage.lifecycle.rules import MOVED, seated
from strata.storage.parquet import WrittenFile
from strata.storage.records import TableFile
from strata.storage.tiers import tier_for_table

__all__ = ["ROWS_ADDED", "ROWS_REMOVED", "TableEdit", "plan_edit", "publish_edit"]

ROWS_REMOVED = "strata.retraction-rows-removed"
ROWS_ADDED = "strata.retraction-rows-added"

SORTED_BY: Mapping[str, tuple[str, ...]] = {"edges": ("a", "b")}


@dataclass(frozen=True, slots=True)
class TableEdit:
    """What goes from a table and what comes to it.

    Attributes:
        table: name of the table.
        drop: the rows that go.
        dropped: their number by URL of the files that hold one.
        added_ids: int64[n], the first key column of the rows that come, ascending.
    """

    table: str
    drop: RowFilter
    dropped: Mapping[str, int]
    added_ids: NDArray[np.int64]

    @property
    def rows_dropped(self) -> int:
        """Rows that go."""
        return sum(self.dropped.values())


def plan_edit(
    context: StageContext, table: str, drop: RowFilter, added_ids: NDArray[np.int64]
) -> TableEdit:
    """Look which files hold a row that goes; only the columns that decide are read."""
    files = drop.files(table, context.corpus.table(table).files())
    storage = context.storage_options

    def count(url: str) -> int:
        return count_matching_rows(url, drop, storage)

    context.progress.start("retract", f"look through {table}", len(files))
    counts = run_tasks(context.spark(), count, [file.url for file in files])
    context.progress.finish()
    dropped = {file.url: rows for file, rows in zip(files, counts, strict=True) if rows}
    return TableEdit(table, drop, dropped, np.sort(added_ids))


def publish_edit(
    context: StageContext,
    edit: TableEdit,
    staged: Sequence[WrittenFile],
    *,
    onto: str | None,
    content_key: str,
    extra: Mapping[str, str],
) -> Counters:
    """Rewrite the touched files, and publish them in one snapshot.

    The snapshot says how many rows went and came.

    Args:
        context: the corpus.
        edit: what goes and comes.
        staged: files with the rows that come, in the order of the table's key.
        onto: key of the table when the edit was planned.
        content_key: its key from now on.
        extra: more properties of the snapshot.

    Raises:
        BalanceError: more or fewer rows went or came than should.
        ConflictError: another process changed the table meanwhile.
    """
    table = context.corpus.table(edit.table)
    tasks = _tasks(context, edit, staged, table.files())
    if tasks:
        context.progress.start("retract", f"rewrite {edit.table}", len(tasks))
    results = run_tasks(context.spark(), run_edit_task, tasks)
    context.progress.finish()
    _check(edit, results)
    told = {ROWS_REMOVED: str(edit.rows_dropped), ROWS_ADDED: str(len(edit.added_ids))}
    log_successions(context.corpus, context.run_id, [result.edit.succession for result in results])
    edit_files(
        table,
        [result.edit for result in results],
        onto=onto,
        content_key=content_key,
        run_id=context.run_id,
        extra={**told, **extra},
    )
    counters = Counters()
    for result in results:
        counters.add(result.counters)
    return counters


def _tasks(
    context: StageContext, edit: TableEdit, staged: Sequence[WrittenFile], files: list[TableFile]
) -> list[EditTask]:
    settings = context.settings
    home = settings.tier_of(edit.table)
    # A file stays in its tier, and under the fields that it was partitioned by.
    seats = {
        file.url: name
        for name, some in seated(settings, edit.table, files).items()
        for file in some
    }
    partition_by = {file.url: file.partition.fields for file in files}
    urls = tuple(file.url for file in staged)
    made = []
    for url, inserts in _places(files, edit.added_ids, urls).items():
        if not (inserts.urls or url in edit.dropped):
            continue
        tier = tier_for_table(settings, seats.get(url or "", home), edit.table)
        fields = partition_by.get(url or "", tier.layout.partition_by)
        made.append(
            EditTask(
                table=edit.table,
                key=SORTED_BY.get(edit.table, ("doc_id",)),
                url=url,
                drop=edit.drop,
                inserts=inserts,
                folder=tier.folder(settings.corpus, edit.table),
                layout=replace(tier.layout, partition_by=fields),
                stem="retract" if tier.name == home else MOVED,
                storage=context.storage_options,
            )
        )
    return made


def _places(
    files: Sequence[TableFile], added_ids: NDArray[np.int64], urls: tuple[str, ...]
) -> dict[str | None, Inserts]:
    """Where rows come: to the last file that begins before them, else to the first one."""
    if not files:
        return {None: Inserts(urls)} if len(added_ids) else {}
    starts = np.array([file.min_doc_id for file in files])
    owner = np.maximum(np.searchsorted(starts, added_ids, "right") - 1, 0)
    places: dict[str | None, Inserts] = {file.url: Inserts() for file in files}
    for number in np.unique(owner):
        low = int(starts[number]) if number else FIRST_ID
        high = int(starts[number + 1]) - 1 if number + 1 < len(files) else LAST_ID
        places[files[number].url] = Inserts(urls, low, high)
    return places


def _check(edit: TableEdit, results: Sequence[EditResult]) -> None:
    removed = sum(result.edit.removed for result in results)
    added = sum(result.edit.added for result in results)
    if (removed, added) != (edit.rows_dropped, len(edit.added_ids)):
        raise BalanceError(
            f"{edit.table}: {edit.rows_dropped:,} rows have to go and {len(edit.added_ids):,} to "
            f"come, but {removed:,} went and {added:,} came",
            hint="run `strata storage verify`; nothing was published to this table",
        )
