"""Editing one table for a retraction: planned, rewritten file by file in workers, published.

A rewritten file lacks some rows of the old one and has others inserted in the order of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.errors import BalanceError
from strata.pipelines.execution.stage import Counters, StageContext
from strata.pipelines.execution.tasks import TaskCost, run_tasks, task_stem
from strata.pipelines.tables.doc_set import RowFilter, count_matching_rows
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import newest_created_ms
from strata.storage.layout.properties import ROWS_ADDED, ROWS_REMOVED
from strata.storage.layout.records import TableFile
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.lifecycle.accesses import log_file_lineage
from strata.storage.lifecycle.rules import MOVED, files_by_tier
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.tables.edit import FileEdit, edit_files
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, WrittenFile
from strata.storage.writing.partitioned_writer import table_writer
from strata.storage.writing.tiers import tier_for_table
from strata.tables import DECLARED

__all__ = [
    "FIRST_ID",
    "LAST_ID",
    "EditResult",
    "EditTask",
    "Inserts",
    "TableEdit",
    "plan_edit",
    "publish_edit",
    "run_edit_task",
]

BATCH_BYTES = 8_000_000
FIRST_ID, LAST_ID = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Inserts:
    """Rows to insert, in files sorted by the key of the table.

    Attributes:
        urls: the files; their concatenation is sorted as well.
        low: the smallest value of the first key column that belongs to a task.
        high: the largest one.
    """

    urls: tuple[str, ...] = ()
    low: int = FIRST_ID
    high: int = LAST_ID


@dataclass(frozen=True, slots=True)
class EditTask:
    """One file of a table, the rows to drop and to insert, and where the new file is written.

    Attributes:
        table: name of the table.
        key: the columns that its rows are sorted by, one or two of int64.
        url: the file; None where the table has none, and rows are only inserted.
        drop: the rows to drop.
        inserts: the rows to insert.
        folder: where the new file goes.
        layout: how it is laid out.
        stem: first part of its name.
        storage: storage options.
    """

    table: str
    key: tuple[str, ...]
    url: str | None
    drop: RowFilter
    inserts: Inserts
    folder: Url
    layout: ParquetLayout
    stem: str
    storage: StorageOptions


@dataclass(slots=True)
class EditResult:
    """The new files of a task, and the rows that it dropped and inserted."""

    edit: FileEdit
    counters: Counters = field(default_factory=Counters)


def run_edit_task(task: EditTask) -> EditResult:
    """Write a file again, with its rows in their order."""
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    # One file stays one file, as long as it does not double.
    layout = replace(task.layout, target_file_bytes=2 * task.layout.target_file_bytes)
    stem = task_stem(task.stem)
    removed = added = 0
    born = newest_created_ms([task.url] if task.url else [])
    with table_writer(store, task.folder, task.table, layout, stem, born) as writer:
        for merged in _merged(task, store):
            removed, added = removed + merged.removed, added + merged.added
            if merged.rows.num_rows:
                writer.write(merged.rows)
        files = tuple(writer.close())
    old = () if task.url is None else (task.url,)
    counters = cost.counters(store.meter)
    counters.files_written = len(files)
    return EditResult(FileEdit(old, files, removed, added), counters)


@dataclass(frozen=True, slots=True)
class _MergedRows:
    rows: pa.RecordBatch
    removed: int
    added: int


def _merged(task: EditTask, store: Store) -> Iterator[_MergedRows]:
    """The rows of the file that stay and those to insert, merged by the key, in batches."""
    waiting = _PendingInserts(_inserted(task, store), task.key)
    columns = SCHEMAS[task.table].names
    if task.url is not None:
        for batch in read_batches(store, Url.parse(task.url), columns, None, BATCH_BYTES):
            retracted = task.drop.rows(batch)
            last = tuple(batch.column(name)[-1].as_py() for name in task.key)
            added_ids = waiting.up_to(last)
            kept = batch.filter(pa.array(~retracted)) if retracted.any() else batch
            rows = _sorted([kept, *added_ids], task.key) if added_ids else kept
            yield _MergedRows(rows, int(retracted.sum()), sum(each.num_rows for each in added_ids))
    for batch in waiting.rest():
        yield _MergedRows(batch, 0, batch.num_rows)


def _inserted(task: EditTask, store: Store) -> Iterator[pa.RecordBatch]:
    for url in task.inserts.urls:
        columns = SCHEMAS[task.table].names
        for batch in read_batches(store, Url.parse(url), columns, None, BATCH_BYTES):
            place = batch.column(task.key[0]).to_numpy()
            mine = (place >= task.inserts.low) & (place <= task.inserts.high)
            if mine.any():
                yield batch.filter(pa.array(mine))


def _sorted(batches: Sequence[pa.RecordBatch], key: Sequence[str]) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches).sort_by([(name, "ascending") for name in key])
    joined: pa.RecordBatch = table.combine_chunks().to_batches()[0]
    return joined


class _PendingInserts:
    """Sorted rows to insert, handed out as the merge advances through the file."""

    def __init__(self, batches: Iterator[pa.RecordBatch], key: Sequence[str]) -> None:
        self._batches = batches
        self._key = key
        self._next: pa.RecordBatch | None = next(batches, None)

    def up_to(self, last: tuple[int, ...]) -> list[pa.RecordBatch]:
        """The rows whose key is at most ``last`` and that have not been handed out yet."""
        found = []
        while self._next is not None:
            ready = self._count(self._next, last)
            if ready:
                found.append(self._next.slice(0, ready))
            if ready < self._next.num_rows:
                self._next = self._next.slice(ready)
                break
            self._next = next(self._batches, None)
        return found

    def rest(self) -> Iterator[pa.RecordBatch]:
        """All rows that have not been handed out yet."""
        while self._next is not None:
            yield self._next
            self._next = next(self._batches, None)

    def _count(self, batch: pa.RecordBatch, last: tuple[int, ...]) -> int:
        before = np.zeros(batch.num_rows, bool)
        equal = np.ones(batch.num_rows, bool)
        for name, bound in zip(self._key, last, strict=True):
            values = batch.column(name).to_numpy()
            before |= equal & (values < bound)
            equal &= values == bound
        return int(np.count_nonzero(before | equal))


@dataclass(frozen=True, slots=True)
class TableEdit:
    """The rows that are dropped from a table and inserted into it.

    Attributes:
        table: name of the table.
        drop: the rows to drop.
        dropped: their number by file, for the files that hold one.
        added_ids: int64[n], the first key column of the rows to insert, ascending.
    """

    table: str
    drop: RowFilter
    dropped: Mapping[str, int]
    added_ids: NDArray[np.int64]

    @property
    def rows_dropped(self) -> int:
        """Number of rows to drop."""
        return sum(self.dropped.values())


def plan_edit(
    context: StageContext, table: str, drop: RowFilter, added_ids: NDArray[np.int64]
) -> TableEdit:
    """Find the files that hold a row to drop, reading only the columns that decide it."""
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

    The properties of the snapshot say how many rows were dropped and inserted.

    Args:
        context: the corpus.
        edit: the rows to drop and to insert.
        staged: files with the rows to insert, in the order of the table's key.
        onto: content key of the table when the edit was planned.
        content_key: its content key from now on.
        extra: more properties of the snapshot.

    Raises:
        BalanceError: more or fewer rows were dropped or inserted than planned.
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
    log_file_lineage(context.corpus, context.run_id, [result.edit.lineage for result in results])
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
        for name, some in files_by_tier(settings, edit.table, files).items()
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
                key=DECLARED[edit.table].sorted_by,
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
    """Which file rows are inserted into: the last one that begins before them, else the first."""
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
