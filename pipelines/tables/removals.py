"""Which documents are removed, and other rows sorted by document, one range of ids at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from strata.pipelines.execution.data_files import DataFile, RemovedBy
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import group_bounds, open_parquet, read_batches, rows_per_batch

__all__ = [
    "DocumentRows",
    "removed_ids",
    "rows_between",
]

BATCH_BYTES = 8_000_000


def removed_ids(ledger: Sequence[DataFile], low: int, high: int, store: Store) -> np.ndarray:
    """Ids of the removed documents between low and high, both included: int64[n], sorted.

    The files are those of `clusters`, in which rows that are not kept count, or of `contained`.
    The id of a document that contains several items is repeated for each of them.
    """
    found = [np.empty(0, np.int64)]
    for file in ledger:
        if file.overlaps(low, high):
            found += _removed_between(file, low, high, store)
    return np.sort(np.concatenate(found))


def _removed_between(file: DataFile, low: int, high: int, store: Store) -> Iterator[np.ndarray]:
    tells_kept = file.reason is not RemovedBy.CONTAINED
    columns = ["doc_id", "kept"] if tells_kept else ["doc_id"]
    with open_parquet(store, Url.parse(file.url)) as scan:
        bounds = group_bounds(scan.metadata, "doc_id")
        for group in np.flatnonzero((bounds[:, 0] <= high) & (bounds[:, 1] >= low)):
            rows = rows_per_batch(scan.metadata.row_group(int(group)), columns, BATCH_BYTES)
            for batch in scan.batches(int(group), columns, rows):
                doc_ids = batch.column("doc_id").to_numpy()
                gone = (doc_ids >= low) & (doc_ids <= high)
                if tells_kept:
                    gone &= ~batch.column("kept").to_numpy(zero_copy_only=False)
                yield doc_ids[gone]


@dataclass(frozen=True, slots=True)
class DocumentRows:
    """Rows sorted by document and, within a document, by the first of the columns.

    Attributes:
        doc_ids: int64[m], the document of each row.
        columns: values by name, each of length m.
    """

    doc_ids: np.ndarray
    columns: Mapping[str, np.ndarray]

    def of(self, doc_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the rows of some documents, in the order of ``doc_ids``, with bounds.

        Returns:
            int64[k], indices of rows, and int64[n + 1]: those of document i are from ``bounds[i]``
            to ``bounds[i + 1]``.
        """
        low = np.searchsorted(self.doc_ids, doc_ids, "left")
        high = np.searchsorted(self.doc_ids, doc_ids, "right")
        bounds = np.concatenate([[0], np.cumsum(high - low)]).astype(np.int64)
        return np.arange(bounds[-1]) + np.repeat(low - bounds[:-1], high - low), bounds


def rows_between(
    files: Sequence[DataFile], columns: Sequence[str], low: int, high: int, store: Store
) -> DocumentRows:
    """Some columns of the rows of documents between low and high, both included."""
    found = list(_batches(files, columns, low, high, store))
    joined = {
        name: np.concatenate([batch[name] for batch in found] or [np.empty(0, np.int64)])
        for name in ("doc_id", *columns)
    }
    order = np.lexsort((joined[columns[0]], joined["doc_id"]))
    doc_ids = joined.pop("doc_id")[order]
    return DocumentRows(doc_ids, {name: values[order] for name, values in joined.items()})


def _batches(
    files: Sequence[DataFile], columns: Sequence[str], low: int, high: int, store: Store
) -> Iterator[dict[str, np.ndarray]]:
    names = ["doc_id", *columns]
    for file in files:
        if not file.overlaps(low, high):
            continue
        for batch in read_batches(store, Url.parse(file.url), names, None, BATCH_BYTES):
            doc_ids = batch.column("doc_id").to_numpy()
            inside = (doc_ids >= low) & (doc_ids <= high)
            if inside.any():
                yield {name: batch.column(name).to_numpy()[inside] for name in names}
