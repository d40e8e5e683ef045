"""Rows of the tables that name some documents, found from the columns that name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.retraction.gone import Gone
from strata.pipelines.stage import StageContext
from strata.pipelines.tasks import run_tasks
from strata.storage.records import TableFile
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import StorageOptions, open_store
from strata.storage.url import Url

__all__ = ["Naming", "count_naming", "rows_naming"]

BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class Naming:
    """Rows in which one of some columns names one of some documents.

    Attributes:
        columns: columns of int64.
        gone: the documents.
    """

    columns: tuple[str, ...]
    gone: Gone

    def rows(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which rows of a batch: bool[n]."""
        found = np.zeros(batch.num_rows, bool)
        for name in self.columns:
            found |= self.gone.holds(batch.column(name).to_numpy())
        return found

    def files(self, table: str, files: Iterable[TableFile]) -> list[TableFile]:
        """The files that may have such a row."""
        if not self.gone:
            return []
        if self.columns != (SCHEMAS[table].names[0],):
            return list(files)
        return [file for file in files if self.gone.meets(file.min_doc_id, file.max_doc_id)]


def count_naming(url: str, naming: Naming, storage: StorageOptions) -> int:
    """Such rows of a file."""
    columns = list(naming.columns)
    batches = read_batches(open_store(storage), Url.parse(url), columns, None, BATCH_BYTES)
    return sum(int(np.count_nonzero(naming.rows(batch))) for batch in batches)


def rows_naming(
    context: StageContext, table: str, columns: Sequence[str], naming: Naming
) -> pa.Table:
    """Such rows of a table, by one task a file; they must be few enough for the driver."""
    names, storage = list(columns), context.storage_options
    schema = pa.schema([SCHEMAS[table].field(name).remove_metadata() for name in names])

    def find(url: str) -> pa.Table:
        parts = [schema.empty_table()]
        read = list(dict.fromkeys([*names, *naming.columns]))
        for batch in read_batches(open_store(storage), Url.parse(url), read, None, BATCH_BYTES):
            found = naming.rows(batch)
            if found.any():
                rows = batch.filter(pa.array(found)).select(names)
                parts.append(pa.table(rows.columns, schema=schema))
        return pa.concat_tables(parts)

    files = naming.files(table, context.corpus.table(table).files())
    tables = run_tasks(context.spark(), find, [file.url for file in files])
    return pa.concat_tables([schema.empty_table(), *tables])
