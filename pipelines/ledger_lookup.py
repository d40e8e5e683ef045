"""Asking which documents are removed, one range of document ids at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from strata.storage.parquet import WrittenFile
from strata.storage.records import TableFile
from strata.storage.scan import group_bounds, open_parquet, rows_per_batch
from strata.storage.store import Store
from strata.storage.url import Url

__all__ = [
    "LedgerFile",
    "RemovedBy",
    "files_of_contained",
    "files_of_ledger",
    "files_written",
    "removed_ids",
]

BATCH_BYTES = 8_000_000


class RemovedBy(StrEnum):
    """The table that says that a document is removed, as the reason in a report."""

    CLUSTERS = "duplicate"
    CONTAINED = "contaminated"


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """A file of `clusters`, whose rows also tell who is kept, or of `contained`."""

    url: str
    min_doc_id: int
    max_doc_id: int
    reason: RemovedBy = RemovedBy.CLUSTERS


def files_of_ledger(clusters: Iterable[TableFile]) -> tuple[LedgerFile, ...]:
    """The files of the ledger with their ranges."""
    return tuple(LedgerFile(file.url, file.min_doc_id, file.max_doc_id) for file in clusters)


def files_written(files: Sequence[WrittenFile]) -> tuple[LedgerFile, ...]:
    """Files of a ledger that is not published yet."""
    bounds = [group_bounds(file.metadata, "doc_id") for file in files]
    return tuple(
        LedgerFile(file.url, int(of_file[:, 0].min()), int(of_file[:, 1].max()))
        for file, of_file in zip(files, bounds, strict=True)
    )


def files_of_contained(contained: Iterable[TableFile]) -> tuple[LedgerFile, ...]:
    """The files of `contained` with their ranges."""
    return tuple(
        LedgerFile(file.url, file.min_doc_id, file.max_doc_id, RemovedBy.CONTAINED)
        for file in contained
    )


def removed_ids(ledger: Sequence[LedgerFile], low: int, high: int, store: Store) -> np.ndarray:
    """Ids of the removed documents between low and high, both included: int64[n], sorted.

    A document that contains several items comes as often.
    """
    found = [np.empty(0, np.int64)]
    for file in ledger:
        if file.max_doc_id < low or file.min_doc_id > high:
            continue
        found += _removed_between(file, low, high, store)
    return np.sort(np.concatenate(found))


def _removed_between(file: LedgerFile, low: int, high: int, store: Store) -> Iterator[np.ndarray]:
    tells_kept = file.reason is RemovedBy.CLUSTERS
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
