"""Looking up single rows of a corpus' tables, in the row groups that may hold them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.tables.state import Tables
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.doc_ids import POSITION_BITS
from strata.storage.layout.records import TableFile
from strata.storage.reading.row_lookup import find_rows
from strata.storage.reading.scan import read_batches

__all__ = ["Row", "TableLookup"]

Row = Mapping[str, Any]
BATCH_BYTES = 8_000_000
INPUT_COLUMNS = ("uri", "ordinal", "format", "status", "source")
REJECT_COLUMNS = ("uri", "ordinal", "position", "reason", "excerpt", "source")


class TableLookup:
    """Lookup of single rows in the tables of a corpus; memory is bounded by the rows returned."""

    def __init__(self, tables: Tables, store: Store) -> None:
        self._tables = tables
        self._store = store
        self._files: dict[str, list[TableFile]] = {}

    def inputs(self) -> dict[int, Row]:
        """The input files by ordinal: uri, ordinal, format, status, source."""
        return {row["ordinal"]: row for row in self._all("inputs", INPUT_COLUMNS)}

    def ids_of(self, name: str) -> list[int]:
        """The ``doc_id`` of each document with this id of the user's, in ascending order."""
        found: list[int] = []
        for batch in self._batches("documents", ("doc_id", "id")):
            chosen = batch.filter(pc.equal(batch.column("id"), name))
            found += chosen.column("doc_id").to_pylist()
        return sorted(found)

    def rows(self, table: str, columns: Sequence[str], doc_ids: Collection[int]) -> dict[int, Row]:
        """Rows by document."""
        found = self.batches_of(table, "doc_id", columns, np.array(sorted(doc_ids), np.int64))
        return {row["doc_id"]: row for batch in found for row in batch.to_pylist()}

    def batches_of(
        self, table: str, key: str, columns: Sequence[str], wanted: np.ndarray
    ) -> Iterator[pa.RecordBatch]:
        """The rows whose key is one of ``wanted`` (int64[n], ascending), file by file."""
        for file in self.files(table):
            # The catalog has bounds of doc_id alone; those of other keys are in the footers.
            if key != "doc_id" or _overlaps(wanted, file):
                yield from find_rows(self._store, Url.parse(file.url), key, columns, wanted)

    def rejects(self, places: Collection[int], ordinals: Collection[int]) -> list[Row]:
        """Rejects at these places (given like a ``doc_id``), and all those of some input files."""
        if not places and not ordinals:
            return []
        found: list[Row] = []
        for batch in self._batches("rejects", REJECT_COLUMNS):
            of_file = batch.column("ordinal").to_numpy()
            place = (of_file << POSITION_BITS) | batch.column("position").to_numpy()
            keep = np.isin(place, list(places)) | np.isin(of_file, list(ordinals))
            found += batch.filter(pa.array(keep)).to_pylist()
        return sorted(found, key=lambda row: (row["ordinal"], row["position"]))

    def _all(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        for batch in self._batches(table, columns):
            yield from batch.to_pylist()

    def _batches(self, table: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for file in self.files(table):
            yield from read_batches(self._store, Url.parse(file.url), columns, None, BATCH_BYTES)

    def files(self, table: str) -> list[TableFile]:
        """The files of a table; all lookups use the same snapshot of it."""
        if table not in self._files:
            self._files[table] = self._tables.table(table).files()
        return self._files[table]


def _overlaps(wanted: np.ndarray, file: TableFile) -> bool:
    first = np.searchsorted(wanted, file.min_doc_id)
    return bool(first < len(wanted) and wanted[first] <= file.max_doc_id)
