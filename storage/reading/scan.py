"""Reading Parquet in batches of bounded size, through any store, in few and large requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strata.errors import InputError, InputMissingError, StrataError
from strata.storage.checksums.file_digest import (
    FOOTER_END,
    StoredDigest,
    footer_bytes,
    stores_digest,
)
from strata.storage.contracts.faults import as_strata_error
from strata.storage.contracts.store import ByteRange, Store
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.layout.file_names import facts_of_name
from strata.storage.transfer.prefetch import PART, PrefetchedFile

__all__ = [
    "PREFETCH",
    "ParquetScan",
    "group_bounds",
    "open_parquet",
    "read_batches",
    "read_footer",
    "rows_per_batch",
]

_TAIL = 256 << 10
_OF_A_TABLE = (
    "it is a file of a table: `strata storage verify FILE` lists what is missing, --repair rebuilds"
)
PREFETCH = 128 << 20
"""Row groups with more compressed bytes are streamed by column instead of fetched as a whole."""
_STREAM_BUFFER = 4 << 20
# The next row groups, up to this many compressed bytes, are fetched while these are decoded.
_FETCH_AHEAD = 32 << 20


@dataclass(frozen=True, slots=True)
class ParquetScan:
    """An open Parquet file whose row groups are fetched ahead, one at a time."""

    url: Url
    parquet: pq.ParquetFile
    source: PrefetchedFile

    @property
    def metadata(self) -> pq.FileMetaData:
        """The footer."""
        return self.parquet.metadata

    def batches(self, group: int, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Batches of up to ``rows`` rows of one row group, with ``columns`` in this order."""
        self._fetch([group], columns)
        yield from self.decoded(group, columns, rows)

    def _fetch(self, groups: Sequence[int], columns: Sequence[str]) -> None:
        """Fetch ``columns`` of some row groups, replacing those that were fetched before."""
        chunks = self._chunks(groups, columns)
        if _bytes(chunks) <= PREFETCH:
            self.source.prefetch(chunks)

    def _fetch_ahead(self, groups: Sequence[int], columns: Sequence[str]) -> None:
        """Start fetching what :meth:`_fetch` will need next."""
        chunks = self._chunks(groups, columns)
        if _bytes(chunks) <= _FETCH_AHEAD:
            self.source.fetch_ahead(chunks)

    def _runs(self, groups: Sequence[int], columns: Sequence[str]) -> list[list[int]]:
        """The row groups in runs that are worth fetching together, in their order."""
        runs: list[list[int]] = []
        room = 0
        for group in groups:
            size = _bytes(self._chunks([group], columns))
            if size > room or not runs:
                runs.append([])
                room = PART
            runs[-1].append(group)
            room -= size
        return runs

    def decoded(self, group: int, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Batches of one row group, from the fetched bytes or else from the store."""
        for batch in self.parquet.iter_batches(
            batch_size=rows, row_groups=[group], columns=list(columns), use_threads=False
        ):
            yield batch.select(list(columns))

    def read(
        self, groups: Sequence[int], columns: Sequence[str], batch_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Batches of about ``batch_bytes`` of some row groups, with ``columns`` in this order."""
        # A local file needs neither few requests nor prefetching: the operating system does both.
        local = self.url.scheme == LOCAL
        runs = [[each] for each in groups] if local else self._runs(groups, columns)
        for number, run in enumerate(runs):
            self._fetch(run, columns)
            if number + 1 < len(runs) and not local:
                self._fetch_ahead(runs[number + 1], columns)
            for group in run:
                rows = rows_per_batch(self.metadata.row_group(group), columns, batch_bytes)
                yield from self.decoded(group, columns, rows)

    def _chunks(self, groups: Sequence[int], columns: Sequence[str]) -> list[ByteRange]:
        return [c for each in groups for c in _chunks(self.metadata.row_group(each), columns)]


@contextmanager
def open_parquet(store: Store, url: Url) -> Iterator[ParquetScan]:
    """Open a Parquet file.

    Raises:
        InputMissingError: it is not there.
        InputError: not a Parquet file, or a damaged one; raised for reads inside the block too.
    """
    try:
        info, tail = store.read_tail(url, _TAIL)
    except InputMissingError as error:
        if facts_of_name(url.name).codec:
            raise InputMissingError(error.reason, hint=_OF_A_TABLE) from error
        raise
    with _damage_reported(url), PrefetchedFile(store, info, tail) as source:
        stored = _check_footer(url, source)
        # Arrow's own prefetch would read through Python handles from its own threads.
        parquet = pq.ParquetFile(
            pa.PythonFile(source, mode="r"),
            pre_buffer=False,
            buffer_size=_STREAM_BUFFER,
            page_checksum_verification=True,
        )
        if stored is None and stores_digest(parquet.metadata):
            raise InputError(_bad_footer(url), hint="replace or remove the file")
        yield ParquetScan(url, parquet, source)


def read_footer(source: PrefetchedFile) -> bytes:
    """The footer of a Parquet file with its end; empty where there is none."""
    source.seek(max(0, source.size - FOOTER_END))
    length = footer_bytes(bytes(source.read(FOOTER_END)), source.size)
    source.seek(source.size - length)
    return bytes(source.read(length))


def _check_footer(url: Url, source: PrefetchedFile) -> StoredDigest | None:
    # Before Arrow sees the footer: damaged statistics would crash it, or hide row groups.
    stored = StoredDigest.find(read_footer(source))
    source.seek(0)
    if stored is not None and not stored.is_footer_sound:
        raise InputError(_bad_footer(url), hint="replace or remove the file")
    return stored


def _bad_footer(url: Url) -> str:
    return f"{url} is not readable as Parquet: its footer is damaged"


def read_batches(
    store: Store,
    url: Url,
    columns: Sequence[str],
    row_groups: Sequence[int] | None,
    batch_bytes: int,
) -> Iterator[pa.RecordBatch]:
    """Read columns of a Parquet file, in the given order.

    Args:
        store: where the file is.
        url: the file.
        columns: top-level columns.
        row_groups: row groups to read, in this order; None for all.
        batch_bytes: uncompressed size to aim at for a batch; a single row may exceed it.

    Raises:
        InputError: not a Parquet file, damaged, or without one of the columns.
    """
    with open_parquet(store, url) as scan:
        absent = [name for name in columns if name not in scan.parquet.schema_arrow.names]
        if absent:
            raise InputError(
                f"{url} has no column {', '.join(absent)}", hint="check the field mapping"
            )
        groups = range(scan.metadata.num_row_groups) if row_groups is None else row_groups
        yield from scan.read(groups, columns, batch_bytes)


def group_bounds(metadata: pq.FileMetaData, column: str) -> np.ndarray:
    """Smallest and largest value of an integer column in each row group: int64[g, 2].

    Where another writer left out statistics, the bounds allow any value.
    """
    anything = np.iinfo(np.int64)
    bounds = np.full((metadata.num_row_groups, 2), (anything.min, anything.max), np.int64)
    for group in range(metadata.num_row_groups):
        for chunk in _columns(metadata.row_group(group), [column]):
            if chunk.is_stats_set and chunk.statistics.has_min_max:
                bounds[group] = chunk.statistics.min, chunk.statistics.max
    return bounds


def rows_per_batch(group: pq.RowGroupMetaData, columns: Sequence[str], batch_bytes: int) -> int:
    """Rows of a row group that have about ``batch_bytes`` uncompressed bytes in ``columns``."""
    rows: int = group.num_rows
    size: int = sum(chunk.total_uncompressed_size for chunk in _columns(group, columns))
    return max(1, min(rows, batch_bytes * rows // max(1, size)))


def _columns(
    group: pq.RowGroupMetaData, columns: Sequence[str]
) -> Iterator[pq.ColumnChunkMetaData]:
    for index in range(group.num_columns):
        chunk = group.column(index)
        if chunk.path_in_schema.partition(".")[0] in columns:
            yield chunk


def _chunks(group: pq.RowGroupMetaData, columns: Sequence[str]) -> list[ByteRange]:
    found = []
    for chunk in _columns(group, columns):
        start = chunk.data_page_offset
        if chunk.has_dictionary_page and chunk.dictionary_page_offset:
            start = min(start, chunk.dictionary_page_offset)
        found.append(ByteRange(start, start + chunk.total_compressed_size))
    return found


def _bytes(chunks: Sequence[ByteRange]) -> int:
    return sum(chunk.end - chunk.start for chunk in chunks)


@contextmanager
def _damage_reported(url: Url) -> Iterator[None]:
    try:
        yield
    except StrataError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        # Arrow reports damaged pages as OSError without an errno; errors of the system have one.
        if isinstance(error, OSError) and error.errno:
            raise as_strata_error(error, url, "read") or error from error
        raise InputError(
            f"{url} is not readable as Parquet: {error}", hint="replace or remove the file"
        ) from error
