"""Writing one table into many partitions at once, with bounded memory and few open files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.partitioning import Partition, partition_rows
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.writing.parquet import (
    ParquetLayout,
    RowWriter,
    TableWriter,
    WrittenFile,
    pieces,
)

__all__ = ["PartitionedWriter", "table_writer"]

# Size of an offset or a number.
_SLOT_BYTES = 8


def table_writer(
    store: Store,
    folder: Url,
    table: str,
    layout: ParquetLayout,
    stem: str,
    created_ms: int | None = None,
) -> RowWriter:
    """A writer for rows of any partition; see `TableWriter` for the arguments."""
    writer_of = partial(TableWriter, store, folder, table, layout, stem, created_ms)
    return PartitionedWriter(writer_of, table, layout) if layout.partition_by else writer_of()


@dataclass(frozen=True, slots=True)
class _Routed:
    """Rows in their order, and the partition of each: int64[n], index into ``partitions``."""

    rows: pa.RecordBatch
    owner: NDArray[np.int64]
    partitions: tuple[Partition, ...]

    def shares(self) -> Iterator[NDArray[np.int64]]:
        """The row numbers of each partition, ascending."""
        order = np.argsort(self.owner, kind="stable")
        bounds = np.searchsorted(self.owner[order], np.arange(1, len(self.partitions)))
        return iter(np.split(order, bounds))

    def take(self, places: NDArray[np.int64]) -> _Routed:
        """Some of the rows, copied, so that the others can be freed."""
        owners, owner = np.unique(self.owner[places], return_inverse=True)
        left = tuple(self.partitions[number] for number in owners.tolist())
        return _Routed(self.rows.take(pa.array(places)), owner, left)


def _row_bytes(rows: pa.RecordBatch) -> NDArray[np.int64]:
    """Approximate bytes of each row: those of its values and offsets."""
    size = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns:
        if pa.types.is_list(column.type):
            width = column.type.value_type.bit_width // 8
            size += pc.list_value_length(column).to_numpy() * width
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            size += pc.fill_null(pc.binary_length(column), 0).to_numpy()
        size += _SLOT_BYTES
    return size


class PartitionedWriter(RowWriter):
    """Sends every row to a file of its partition.

    Rows are gathered up to ``layout.pending_bytes``; then those of the largest partitions are
    written, as one row group each, until half of them are left. No more than ``layout.open_files``
    files are open: before another one is opened, the least recently written one is ended. So more
    partitions lead to smaller files, which compaction merges, and never to more memory.

    A file that is never published is an orphan, which garbage collection removes.

    Args:
        open_writer: makes the writer of a partition.
        table: name of the table, a key of ``SCHEMAS``.
        layout: partitions, and limits of open files and pending bytes.
    """

    def __init__(
        self, open_writer: Callable[[Partition], TableWriter], table: str, layout: ParquetLayout
    ) -> None:
        self._open_writer = open_writer
        self._table = table
        self._layout = layout
        self._pending: list[_Routed] = []
        self._pending_bytes = 0
        self._writers: dict[Partition, TableWriter] = {}
        # In the order of their last row group.
        self._open: dict[Partition, TableWriter] = {}

    @property
    def open_files(self) -> int:
        """Number of files that are open now."""
        return len(self._open)

    @property
    def pending_bytes(self) -> int:
        """Bytes of the rows that are waiting to be written."""
        return self._pending_bytes

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows.

        Raises:
            ValueError: columns or types are not those of the table.
        """
        schema = SCHEMAS[self._table]
        if batch.schema.names != schema.names or batch.schema.types != schema.types:
            raise ValueError(f"a batch for {self._table} has the wrong columns: {batch.schema}")
        for piece in pieces(batch, self._layout.pending_bytes):
            owned = partition_rows(piece, self._layout.partition_by)
            self._pending.append(_Routed(piece, owned.owner, owned.partitions))
            self._pending_bytes += piece.nbytes
            if self._pending_bytes > self._layout.pending_bytes:
                self._write_largest()

    def roll(self) -> None:
        """End all files; the next rows start new ones."""
        if self._pending:
            gathered = self._gathered()
            for partition, places in zip(gathered.partitions, gathered.shares(), strict=True):
                self._write_share(partition, gathered.rows.take(pa.array(places)))
                self._end(partition)
        for partition in list(self._open):
            self._end(partition)

    def close(self) -> list[WrittenFile]:
        """End all files, and return what was written, by partition in the order of their rows."""
        self.roll()
        return [file for writer in self._writers.values() for file in writer.close()]

    def discard(self) -> None:
        """Delete everything written so far."""
        self._pending, self._pending_bytes = [], 0
        self._open.clear()
        for writer in self._writers.values():
            writer.discard()

    def _write_largest(self) -> None:
        gathered = self._gathered()
        shares = list(gathered.shares())
        row_bytes = _row_bytes(gathered.rows)
        sizes = [int(row_bytes[share].sum()) for share in shares]
        excess = sum(sizes) - self._layout.pending_bytes // 2
        kept = []
        for number in sorted(range(len(shares)), key=lambda number: -sizes[number]):
            if excess > 0:
                rows = gathered.rows.take(pa.array(shares[number]))
                self._write_share(gathered.partitions[number], rows)
            else:
                kept.append(shares[number])
            excess -= sizes[number]
        if kept:
            left = gathered.take(np.sort(np.concatenate(kept)))
            self._pending, self._pending_bytes = [left], left.rows.nbytes

    def _gathered(self) -> _Routed:
        """Take all pending rows, joined into one batch."""
        numbers: dict[Partition, int] = {}
        owners = []
        for each in self._pending:
            mine = [numbers.setdefault(part, len(numbers)) for part in each.partitions]
            owners.append(np.array(mine, np.int64)[each.owner])
        table = pa.Table.from_batches([each.rows for each in self._pending])
        self._pending, self._pending_bytes = [], 0
        rows = table.combine_chunks().to_batches()[0]
        return _Routed(rows, np.concatenate(owners), tuple(numbers))

    def _write_share(self, partition: Partition, rows: pa.RecordBatch) -> None:
        writer = self._open.pop(partition, None)
        if writer is None:
            while len(self._open) >= self._layout.open_files:
                self._end(next(iter(self._open)))
            writer = self._writer_of(partition)
        writer.write(rows)
        writer.end_row_group()
        if writer.is_open:
            self._open[partition] = writer

    def _writer_of(self, partition: Partition) -> TableWriter:
        if partition not in self._writers:
            self._writers[partition] = self._open_writer(partition)
        return self._writers[partition]

    def _end(self, partition: Partition) -> None:
        writer = self._open.pop(partition, None)
        if writer is not None:
            writer.roll()
