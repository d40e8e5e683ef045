"""Rewriting a file of a table in a worker, without some of its rows and with others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from strata.pipelines.retraction.select import RowFilter
from strata.pipelines.stage import Counters
from strata.pipelines.tasks import TaskCost, task_stem
from strata.storage.edit import FileEdit
from strata.storage.file_names import youngest
from strata.storage.parquet import ParquetLayout
from strata.storage.partitions.partitioned_writer import table_writer
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import MeteredStore, StorageOptions, Store, open_store
from strata.storage.url import Url

__all__ = ["FIRST_ID", "LAST_ID", "EditResult", "EditTask", "Inserts", "run_edit_task"]

BATCH_BYTES = 8_000_000
FIRST_ID, LAST_ID = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Inserts:
    """Rows that come, in files sorted by the key of the table.

    Attributes:
        urls: the files; together they are sorted as well.
        low: the first value of the first key column that belongs to a task.
        high: the last one.
    """

    urls: tuple[str, ...] = ()
    low: int = FIRST_ID
    high: int = LAST_ID


@dataclass(frozen=True, slots=True)
class EditTask:
    """One file of a table, the rows that go from it and come to it, and where it is written.

    Attributes:
        table: name of the table.
        key: the columns that its rows are sorted by, one or two of int64.
        url: the file; None where the table has none, and rows only come.
        drop: the rows that go.
        inserts: the rows that come.
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
    """What the task made of its file."""

    edit: FileEdit
    counters: Counters = field(default_factory=Counters)


def run_edit_task(task: EditTask) -> EditResult:
    """Write a file again, with its rows in their order."""
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    # One file stays one file, as long as it does not double.
    layout = replace(task.layout, target_file_bytes=2 * task.layout.target_file_bytes)
    stem = task_stem(task.stem)
    removed = added = 0
    born = youngest([task.url] if task.url else [])
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
    """The rows of the file that stay and those that come, in batches, sorted by the key."""
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
    """Sorted rows that come, handed out as far as the file has got."""

    def __init__(self, batches: Iterator[pa.RecordBatch], key: Sequence[str]) -> None:
        self._batches = batches
        self._key = key
        self._next: pa.RecordBatch | None = next(batches, None)

    def up_to(self, last: tuple[int, ...]) -> list[pa.RecordBatch]:
        """The rows whose key is at most ``last``, which have not been handed out."""
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
        """All other rows."""
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
