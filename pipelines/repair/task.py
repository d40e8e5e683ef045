"""Rebuilding files of a table in a worker: source by source, until all rows are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from strata.errors import InputError
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.execution.tasks import task_stem
from strata.pipelines.readers.rejects import BrokenFile
from strata.pipelines.repair.affected import MissingRows
from strata.pipelines.repair.sources import RowSource
from strata.storage.checksums.rows import RowsChecksum, checksum_of
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import newest_created_ms
from strata.storage.layout.records import TableFile
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import RowWriter, WrittenFile
from strata.storage.writing.partitioned_writer import table_writer

__all__ = ["RepairTask", "RepairTaskResult", "run_repair_task"]


@dataclass(frozen=True, slots=True)
class RepairTask:
    """Broken files of one table whose rows are rebuilt together.

    Attributes:
        target: where the new files go.
        broken: the files.
        sources: where the rows can be had from, the most reliable first.
        wanted: their documents; None where the table does not have one row per document, so that a
            source has to hold exactly the rows.
        checksum: checksum of the rows, where every footer can still be read.
    """

    target: TableTarget
    broken: tuple[TableFile, ...]
    sources: tuple[RowSource, ...]
    wanted: MissingRows | None
    checksum: RowsChecksum | None

    @property
    def rows(self) -> int:
        """Number of rows to rebuild."""
        return sum(file.rows for file in self.broken)


@dataclass(slots=True)
class RepairTaskResult:
    """New files with exactly the rows of the broken ones; none where that failed.

    Attributes:
        files: the files.
        origins: names of the sources of their rows.
        reason: why there are none.
    """

    files: list[WrittenFile] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    reason: str = "nothing else holds its rows"


def run_repair_task(task: RepairTask) -> RepairTaskResult:
    """Write the rows again; where the first sources give wrong rows, try without them."""
    store, result = open_store(task.target.storage), RepairTaskResult()
    for first in range(len(task.sources)):
        result = _attempt(task, task.sources[first:], store)
        if result.files:
            break
    return result


def _attempt(task: RepairTask, sources: Sequence[RowSource], store: Store) -> RepairTaskResult:
    result, rows = RepairTaskResult(), 0
    target, born = task.target, newest_created_ms(file.url for file in task.broken)
    writer = table_writer(
        store, target.folder, target.table, target.layout, task_stem("repair"), born
    )
    filling = _RowCollector(writer, task.wanted)
    with writer:
        for source in sources:
            before = filling.rows
            try:
                filling.take(source, store)
            except (InputError, BrokenFile) as error:
                result.reason = f"{source.name} cannot be read: {error}"
            if filling.rows > before:
                result.origins.append(source.name)
            if filling.rows >= task.rows:
                break
        files, rows = writer.close(), filling.rows
    checksums = [checksum_of(file.metadata) for file in files]
    whole = sum((each for each in checksums if each is not None), RowsChecksum())
    if rows == task.rows and task.checksum in (None, whole):
        result.files = files
        return result
    for file in files:
        store.delete(Url.parse(file.url))
    if rows == task.rows:
        result.reason = f"{', '.join(result.origins)} gave other rows than were written once"
    elif rows:
        result.reason = f"{rows:,} of {task.rows:,} rows were found, in {', '.join(result.origins)}"
    return result


class _RowCollector:
    """Takes rows from sources, each document once."""

    def __init__(self, writer: RowWriter, wanted: MissingRows | None) -> None:
        self._writer = writer
        self._wanted = wanted
        self.rows = 0

    def take(self, source: RowSource, store: Store) -> None:
        for batch in source.batches(store, self._wanted):
            rows = self._missing_rows(batch)
            if rows.num_rows:
                self._writer.write(rows)
                self.rows += rows.num_rows

    def _missing_rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self._wanted is None:
            return batch
        held = self._wanted.contains(np.asarray(batch.column("doc_id")))
        rows = batch.filter(pa.array(held))
        self._wanted = self._wanted.without(np.asarray(rows.column("doc_id")))
        return rows
