"""Files of rows that live as long as one run, in its staging folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from strata.pipelines.ledger_lookup import LedgerFile
from strata.storage.contract import Output
from strata.storage.scan import read_batches
from strata.storage.store import Store
from strata.storage.url import Url

__all__ = ["StagedFile", "read_staged", "write_staged"]

BATCH_BYTES = 4_000_000
GROUP_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file of rows with a column ``doc_id``."""

    url: str
    rows: int
    min_doc_id: int
    max_doc_id: int

    @property
    def lookup(self) -> LedgerFile:
        """The file as one that is asked for ranges of documents."""
        return LedgerFile(self.url, self.min_doc_id, self.max_doc_id)


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
    return StagedFile(str(url), rows, int(low), int(high))


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
