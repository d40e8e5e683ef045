"""Sets of documents, such as those of a retraction, and the rows of tables that refer to them.

A set has single documents and whole input files; rows are found by the columns of document ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.tasks import run_tasks
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.layout.doc_ids import POSITION_BITS
from strata.storage.layout.records import TableFile
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store

__all__ = ["DocumentSet", "RowFilter", "count_matching_rows", "matching_rows"]

BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """Single documents, and all documents of some input files.

    Attributes:
        ids: int64[n], document ids, ascending, each once.
        ordinals: int64[m], ordinals of input files, ascending, each once.
    """

    ids: NDArray[np.int64]
    ordinals: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Iterable[int], ordinals: Iterable[int] = ()) -> DocumentSet:
        """A set of documents, and of all documents of some input files."""
        return cls(_distinct(ids), _distinct(ordinals))

    def __bool__(self) -> bool:
        return bool(len(self.ids) or len(self.ordinals))

    def contains(self, doc_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these documents are in the set: int64[k] -> bool[k]."""
        held: NDArray[np.bool_] = np.isin(doc_ids, self.ids)
        if len(self.ordinals):
            held |= np.isin(doc_ids >> POSITION_BITS, self.ordinals)
        return held

    def overlaps(self, low: int, high: int) -> bool:
        """Whether a document between ``low`` and ``high``, both included, may be in the set."""
        return _any_between(self.ids, low, high) or _any_between(
            self.ordinals, low >> POSITION_BITS, high >> POSITION_BITS
        )

    def plus(self, ids: NDArray[np.int64]) -> DocumentSet:
        """This set with more documents added."""
        return DocumentSet(np.union1d(self.ids, ids), self.ordinals)


def _distinct(values: Iterable[int]) -> NDArray[np.int64]:
    listed = values if isinstance(values, np.ndarray) else list(values)
    return np.unique(np.asarray(listed, np.int64))


def _any_between(values: NDArray[np.int64], low: int, high: int) -> bool:
    return bool(np.searchsorted(values, high, "right") > np.searchsorted(values, low))


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Selects rows in which any of some columns refers to one of some documents.

    Attributes:
        columns: names of int64 columns.
        retracted: the documents.
    """

    columns: tuple[str, ...]
    retracted: DocumentSet

    def rows(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which rows of a batch are selected: bool[n]."""
        found = np.zeros(batch.num_rows, bool)
        for name in self.columns:
            found |= self.retracted.contains(batch.column(name).to_numpy())
        return found

    def files(self, table: str, files: Iterable[TableFile]) -> list[TableFile]:
        """The files that may have a selected row."""
        if not self.retracted:
            return []
        if self.columns != (SCHEMAS[table].names[0],):
            return list(files)
        return [file for file in files if self.retracted.overlaps(file.min_doc_id, file.max_doc_id)]


def count_matching_rows(url: str, row_filter: RowFilter, storage: StorageOptions) -> int:
    """Number of rows of a file that a filter selects."""
    columns = list(row_filter.columns)
    batches = read_batches(open_store(storage), Url.parse(url), columns, None, BATCH_BYTES)
    return sum(int(np.count_nonzero(row_filter.rows(batch))) for batch in batches)


def matching_rows(
    context: StageContext, table: str, columns: Sequence[str], row_filter: RowFilter
) -> pa.Table:
    """The selected rows of a table, read by one task per file; they must fit the driver."""
    names, storage = list(columns), context.storage_options
    schema = pa.schema([SCHEMAS[table].field(name).remove_metadata() for name in names])

    def find(url: str) -> pa.Table:
        parts = [schema.empty_table()]
        read = list(dict.fromkeys([*names, *row_filter.columns]))
        for batch in read_batches(open_store(storage), Url.parse(url), read, None, BATCH_BYTES):
            found = row_filter.rows(batch)
            if found.any():
                rows = batch.filter(pa.array(found)).select(names)
                parts.append(pa.table(rows.columns, schema=schema))
        return pa.concat_tables(parts)

    files = row_filter.files(table, context.corpus.table(table).files())
    tables = run_tasks(context.spark(), find, [file.url for file in files])
    return pa.concat_tables([schema.empty_table(), *tables])
