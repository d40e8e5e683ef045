"""Parquet files of a run's staging folder, which live only as long as that attempt of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.execution.stage import StageContext
from strata.storage.contracts.close_or_discard import CloseOrDiscard
from strata.storage.contracts.store import Output, Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches

__all__ = ["StagedFile", "StagedWriter", "clear_staging", "read_staged", "write_staged"]

BATCH_BYTES = 4_000_000
GROUP_BYTES = 32_000_000


class StagedWriter(CloseOrDiscard):
    """Writes tables to a file that is created with its first row.

    As a context manager it discards the file on failure.

    Args:
        store: where the file is written.
        url: its URL, if it gets a row.
        schema: schema of all tables.
    """

    def __init__(self, store: Store, url: Url, schema: pa.Schema) -> None:
        self._store = store
        self._url = url
        self._schema = schema
        self._output: Output | None = None
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    @property
    def url(self) -> str | None:
        """URL of the file; None if it has no row."""
        return str(self._url) if self.rows else None

    def write(self, table: pa.Table) -> None:
        """Append rows, as a row group of their own."""
        if not table.num_rows:
            return
        if self._writer is None:
            self._output = self._store.create(self._url)
            self._writer = pq.ParquetWriter(
                self._output, self._schema, compression="zstd", compression_level=1
            )
        self._writer.write_table(table)
        self.rows += table.num_rows

    def close(self) -> None:
        """Finish the file, if there is one."""
        if self._writer is not None and self._output is not None:
            self._writer.close()
            self._output.close()

    def discard(self) -> None:
        """Drop what was written."""
        if self._output is not None:
            self._output.discard()


def clear_staging(context: StageContext) -> None:
    """Remove what this attempt of the run has staged; what others staged stays."""
    for file in context.store.find(context.staging):
        context.store.delete(file.url)


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file of the staging folder, and how many rows it has; one column is ``doc_id``."""

    file: DataFile
    rows: int


def write_staged(
    store: Store, folder: Url, stem: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> StagedFile | None:
    """Write rows to a file of their own, if there are any."""
    url = folder / f"{stem}-{uuid4().hex}.parquet"
    groups = _groups(batches)
    first = next(groups, None)
    if first is None:
        return None
    with store.create(url) as sink:
        return _write(sink, url, schema, first, groups)


def _write(
    sink: Output, url: Url, schema: pa.Schema, first: pa.Table, others: Iterator[pa.Table]
) -> StagedFile:
    rows, low, high = 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min
    with pq.ParquetWriter(
        sink, schema, compression="zstd", compression_level=1, use_dictionary=False
    ) as writer:
        for group in (first, *others):
            writer.write_table(group, row_group_size=group.num_rows)
            ends = pc.min_max(group["doc_id"])
            low, high = min(low, ends["min"].as_py()), max(high, ends["max"].as_py())
            rows += group.num_rows
    return StagedFile(DataFile(str(url), int(low), int(high)), rows)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if batch.num_rows:
            waiting.append(batch)
            size += batch.nbytes
        if size >= GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def read_staged(
    store: Store, urls: Sequence[str], columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The rows of some files, file by file."""
    for url in urls:
        yield from read_batches(store, Url.parse(url), columns, None, BATCH_BYTES)
