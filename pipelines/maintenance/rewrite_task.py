"""Rewriting data files: many into few of about equal size, with another codec, in another tier.

A verified rewrite reads the new files back: they hold the rows of the old ones, or are deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pyarrow as pa

from strata.errors import BalanceError, StrataError
from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.tasks import TaskCost, task_stem
from strata.pipelines.maintenance.row_order import row_places
from strata.settings import RowOrder
from strata.storage.checksums.rows import RowsChecksum, checksum_of
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import newest_created_ms
from strata.storage.layout.partitioning import UNPARTITIONED, Partition
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import open_parquet, read_batches, rows_per_batch
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import ParquetLayout, RowWriter, TableWriter, WrittenFile
from strata.storage.writing.partitioned_writer import table_writer

__all__ = [
    "RewriteResult",
    "RewriteTask",
    "SourceFile",
    "balance",
    "run_rewrite_task",
    "run_verified_rewrite",
]

ROUTED_BYTES = 8_000_000
# Size of the rows that are sorted together, uncompressed: what one task holds.
SORTED_BYTES = 256_000_000
LARGEST_BATCH_BYTES = 16_000_000
SMALLEST_BATCH_BYTES = 4_096
# Text shrinks to about a third on disk.
TEXT_PER_DISK_BYTE = 3
# A file below this share of the largest is merged, which keeps all within a factor of two with some
# room for pieces that come out larger or smaller than planned.
SMALLEST_SHARE = 0.6
# About as many files as a balancing task makes: few enough to run beside others, and from four on,
# rounding to whole files leaves each at 80 % of the largest one or more.
MAX_FILES_PER_GROUP = 4
# This many batches for each new file let it end within a few percent of the size asked for.
BATCHES_PER_FILE = 24
_BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A data file to rewrite; ``n_bytes`` on disk."""

    url: str
    rows: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class RewriteTask:
    """Files of a table that are rewritten together.

    Attributes:
        stage: first part of the new files' names.
        table: name of the table.
        sources: the files.
        file_count: number of new files, where the rows keep their order and their partition.
        folder: folder of the table.
        layout: how the new files are laid out.
        storage: storage options.
        partition: the partition of all rows; None if the layout gives each row its own.
        order: how the rows are ordered.
        ledger: files of `clusters`, for the order by cluster.
    """

    stage: str
    table: str
    sources: tuple[SourceFile, ...]
    file_count: int
    folder: Url
    layout: ParquetLayout
    storage: StorageOptions
    partition: Partition | None = UNPARTITIONED
    order: RowOrder = RowOrder.DOC_ID
    ledger: tuple[DataFile, ...] = ()


@dataclass(slots=True)
class RewriteResult:
    """The files that replace the sources of a task."""

    sources: tuple[SourceFile, ...]
    files: list[WrittenFile]
    counters: Counters


def run_rewrite_task(task: RewriteTask) -> RewriteResult:
    """Read the source files in order and write their rows again.

    Raises:
        BalanceError: the sources do not have the number of rows that the catalog counts.
    """
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    stem = task_stem(task.stage)
    born = newest_created_ms([source.url for source in task.sources])
    with _writer(task, store, stem, born) as writer:
        keeps_order = task.order is RowOrder.DOC_ID
        copy = _copy if keeps_order and task.partition is not None else _copy_sorted
        seen = copy(task, store, writer)
        files = writer.close()
        _check_rows(task, seen)
    counters = cost.counters(store.meter)
    counters.files_written = len(files)
    # Rewriting files does not count as reading them in the access log.
    counters.io.files.clear()
    return RewriteResult(task.sources, files, counters)


def _writer(task: RewriteTask, store: Store, stem: str, born: int | None) -> RowWriter:
    if task.partition is None:
        return table_writer(store, task.folder, task.table, task.layout, stem, born)
    layout = _layout(task) if task.order is RowOrder.DOC_ID else task.layout
    return TableWriter(store, task.folder, task.table, layout, stem, born, task.partition)


def _copy_sorted(task: RewriteTask, store: Store, writer: RowWriter) -> int:
    """Write the rows in separately sorted runs, so that memory is bounded."""
    columns = SCHEMAS[task.table].names
    pending: list[pa.RecordBatch] = []
    size = rows = 0
    for source in task.sources:
        for batch in read_batches(store, Url.parse(source.url), columns, None, ROUTED_BYTES):
            pending.append(batch)
            size, rows = size + batch.nbytes, rows + batch.num_rows
            if task.order is RowOrder.DOC_ID or size >= SORTED_BYTES:
                _write_run(task, store, pending, writer)
                pending, size = [], 0
    if pending:
        _write_run(task, store, pending, writer)
    return rows


def _write_run(
    task: RewriteTask, store: Store, batches: list[pa.RecordBatch], writer: RowWriter
) -> None:
    if task.order is RowOrder.DOC_ID:
        for batch in batches:
            writer.write(batch)
        return
    run = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
    places = row_places(run, task.order, task.ledger, store)
    # Not all at once: memory would hold the sorted rows besides the unsorted ones.
    step = max(1, run.num_rows * ROUTED_BYTES // max(1, run.nbytes))
    for start in range(0, run.num_rows, step):
        writer.write(run.take(pa.array(places[start : start + step])))


def _copy(task: RewriteTask, store: Store, writer: RowWriter) -> int:
    total = sum(source.n_bytes for source in task.sources)
    batch_bytes = _batch_bytes(total, task.file_count)
    columns = SCHEMAS[task.table].names
    rows = done = 0
    file_count = 1
    for source in task.sources:
        seen = 0
        for batch in read_batches(store, Url.parse(source.url), columns, None, batch_bytes):
            writer.write(batch)
            seen += batch.num_rows
            position = done + source.n_bytes * seen / max(source.rows, 1)
            if file_count < task.file_count and position * task.file_count >= total * file_count:
                writer.roll()
                file_count += 1
        rows += seen
        done += source.n_bytes
    return rows


def _batch_bytes(disk_bytes: int, file_count: int) -> int:
    text_bytes = disk_bytes * TEXT_PER_DISK_BYTE
    wanted = text_bytes // (file_count * BATCHES_PER_FILE)
    return max(SMALLEST_BATCH_BYTES, min(LARGEST_BATCH_BYTES, wanted))


def _check_rows(task: RewriteTask, seen: int) -> None:
    expected = sum(source.rows for source in task.sources)
    if seen != expected:
        raise BalanceError(
            f"rewriting {len(task.sources)} file(s) of {task.table} from {task.sources[0].url}: "
            f"{expected:,} rows expected, {seen:,} read",
            hint="run `strata storage verify`; nothing was replaced",
        )


def _layout(task: RewriteTask) -> ParquetLayout:
    # The pieces decide where a file ends; the target only keeps a file from growing without bound.
    return replace(task.layout, target_file_bytes=2 * task.layout.target_file_bytes)


def balance(files: Sequence[SourceFile]) -> list[tuple[tuple[SourceFile, ...], int]]:
    """Choose the files to rewrite so that none is more than twice as large as another.

    Returns:
        Groups of files in their order, each with the number of pieces it becomes; files in no group
        stay as they are.
    """
    largest = max((file.n_bytes for file in files), default=0)
    rest = sorted(files, key=lambda file: file.n_bytes)
    size, taken = 0, 0
    # A group too small for files of the right size also takes the next larger file.
    for file in rest:
        if file.n_bytes >= SMALLEST_SHARE * largest and (not taken or _fits(size, largest)):
            break
        size, taken = size + file.n_bytes, taken + 1
    if not taken or len(files) < 2:
        return []
    chosen = frozenset(rest[:taken])
    return _groups([file for file in files if file in chosen], largest)


def _file_count(size: int, largest: int) -> int:
    return max(1, -(-size // largest))


def _fits(size: int, largest: int) -> bool:
    return size >= _file_count(size, largest) * SMALLEST_SHARE * largest


def _groups(files: Sequence[SourceFile], largest: int) -> list[tuple[tuple[SourceFile, ...], int]]:
    groups: list[list[SourceFile]] = []
    size = largest * MAX_FILES_PER_GROUP
    for file in files:
        if size >= largest * MAX_FILES_PER_GROUP:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.n_bytes
    if size < largest * MAX_FILES_PER_GROUP and len(groups) > 1:
        last = groups.pop()
        groups[-1] += last
    return [
        (tuple(group), _file_count(sum(file.n_bytes for file in group), largest))
        for group in groups
    ]


def run_verified_rewrite(task: RewriteTask) -> RewriteResult:
    """Rewrite files and compare the checksums of their decoded rows before and after.

    Raises:
        BalanceError: the rows differ; the new files were deleted.
        InputError: an old file cannot be read.
    """
    result, store = run_rewrite_task(task), open_store(task.storage)
    try:
        _compare(task, "read back", _read_back(task, result, store), _written(result))
        stored = _stored(task, store)
        if stored is not None:
            _compare(task, "written", _written(result), stored)
    except BaseException:
        for file in result.files:
            # What cannot be deleted now is left to `strata storage gc`; the first error counts.
            with suppress(StrataError):
                store.delete(Url.parse(file.url))
        raise
    return result


def _written(result: RewriteResult) -> RowsChecksum:
    return _sum(checksum_of(file.metadata) or RowsChecksum() for file in result.files)


def _stored(task: RewriteTask, store: Store) -> RowsChecksum | None:
    """The checksum that the old files store of their rows; None where one of them has none."""
    found = []
    for source in task.sources:
        with open_parquet(store, Url.parse(source.url)) as scan:
            found.append(checksum_of(scan.metadata))
    known = [each for each in found if each is not None]
    return _sum(known) if len(known) == len(found) else None


def _read_back(task: RewriteTask, result: RewriteResult, store: Store) -> RowsChecksum:
    names, total = SCHEMAS[task.table].names, RowsChecksum()
    for file in result.files:
        with open_parquet(store, Url.parse(file.url)) as scan:
            for group in range(scan.metadata.num_row_groups):
                rows = rows_per_batch(scan.metadata.row_group(group), names, _BATCH_BYTES)
                for batch in scan.batches(group, names, rows):
                    total += RowsChecksum.of(batch)
    return total


def _sum(sums: Iterable[RowsChecksum]) -> RowsChecksum:
    total = RowsChecksum()
    for each in sums:
        total += each
    return total


def _compare(task: RewriteTask, verb: str, found: RowsChecksum, expected: RowsChecksum) -> None:
    if found != expected:
        columns = ", ".join(found.differs_in(expected)) or "their number"
        raise BalanceError(
            f"rewriting {len(task.sources)} file(s) of {task.table} from {task.sources[0].url}: "
            f"other rows were {verb} than are there ({columns})",
            hint="run `strata storage verify`; nothing was replaced",
        )
