"""Finding rows by a numeric key: other columns are read only in row groups with a match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import ParquetScan, open_parquet, rows_per_batch

__all__ = ["find_rows"]

BATCH_BYTES = 8_000_000


def find_rows(
    store: Store, url: Url, key: str, columns: Sequence[str], wanted: np.ndarray
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file whose key is one of ``wanted``, in the order of the file.

    The footer shows which row groups may hold one. Their key column is read first, and the other
    columns only up to the last row that is wanted.

    Args:
        store: where the file is.
        url: the file.
        key: an int64 column.
        columns: columns to return.
        wanted: int64[n], ascending.

    Raises:
        InputError: not a Parquet file, or a damaged one.
    """
    with open_parquet(store, url) as scan:
        for group in range(scan.metadata.num_row_groups):
            if _may_hold(scan, group, key, wanted):
                yield from _rows_of_group(scan, group, key, columns, wanted)


def _may_hold(scan: ParquetScan, group: int, key: str, wanted: np.ndarray) -> bool:
    facts = scan.metadata.row_group(group)
    place = scan.parquet.schema_arrow.names.index(key)
    limits = facts.column(place).statistics
    if limits is None or not limits.has_min_max:
        return bool(len(wanted))
    first = np.searchsorted(wanted, limits.min)
    return bool(first < len(wanted) and wanted[first] <= limits.max)


def _rows_of_group(
    scan: ParquetScan, group: int, key: str, columns: Sequence[str], wanted: np.ndarray
) -> Iterator[pa.RecordBatch]:
    rows = rows_per_batch(scan.metadata.row_group(group), [key], BATCH_BYTES)
    keys = np.concatenate(
        [batch.column(0).to_numpy() for batch in scan.batches(group, [key], rows)]
    )
    held = np.flatnonzero(np.isin(keys, wanted))
    if not len(held):
        return
    at = 0
    rows = rows_per_batch(scan.metadata.row_group(group), columns, BATCH_BYTES)
    for batch in scan.batches(group, columns, rows):
        inside = held[(held >= at) & (held < at + batch.num_rows)] - at
        at += batch.num_rows
        if len(inside):
            yield batch.take(pa.array(inside))
        if at > held[-1]:
            return
