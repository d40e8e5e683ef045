"""Asking the ledger which documents are removed, one range of document ids at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from strata.storage.scan import read_batches
from strata.storage.store import Store
from strata.storage.url import Url

if TYPE_CHECKING:
    from strata.storage.catalog import CorpusTable

__all__ = ["LedgerFile", "files_of_ledger", "removed_ids"]

BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """A file of `clusters`, sorted by document id."""

    url: str
    min_doc_id: int
    max_doc_id: int


def files_of_ledger(clusters: CorpusTable) -> tuple[LedgerFile, ...]:
    """The files of the ledger with their ranges."""
    return tuple(
        LedgerFile(file.url, file.min_doc_id, file.max_doc_id) for file in clusters.files()
    )


def removed_ids(ledger: Sequence[LedgerFile], low: int, high: int, store: Store) -> np.ndarray:
    """Ids of the removed documents between low and high, both included: int64[n], sorted."""
    found = [np.empty(0, np.int64)]
    for file in ledger:
        if file.max_doc_id < low or file.min_doc_id > high:
            continue
        columns = ["doc_id", "kept"]
        for batch in read_batches(store, Url.parse(file.url), columns, None, BATCH_BYTES):
            doc_ids = batch.column("doc_id").to_numpy()
            gone = ~batch.column("kept").to_numpy(zero_copy_only=False)
            found.append(doc_ids[gone & (doc_ids >= low) & (doc_ids <= high)])
    return np.sort(np.concatenate(found))
