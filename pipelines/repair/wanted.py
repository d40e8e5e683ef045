"""Which documents the files that are gone held: known from the tables that have them too."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strata.errors import InputError
from strata.pipelines.repair.state import CorpusState
from strata.pipelines.retraction.gone import DocumentSet
from strata.storage.records import TableFile
from strata.storage.scan import read_batches
from strata.storage.store import Store

__all__ = ["DOCUMENT_TABLES", "MissingRows", "find_missing_rows"]

BATCH_BYTES = 8_000_000

DOCUMENT_TABLES: Mapping[str, tuple[str, ...]] = {
    "documents": ("fingerprints",),
    "fingerprints": ("documents",),
    "clean": ("tokens", "documents", "fingerprints"),
    "tokens": ("clean", "documents", "fingerprints"),
}
"""Tables with one row a document; where each of its documents is too, the closest table first."""


@dataclass(frozen=True, slots=True)
class MissingRows:
    """The documents that are sought.

    Attributes:
        low: smallest document id that there can be.
        high: largest one.
        present: int64[n], ascending; documents between that are there already.
        known_ids: int64[m], ascending; no others are sought. None where no table knows them.
        retracted: retracted documents, which never come back; where ``among`` knows, it decides.
    """

    low: int
    high: int
    present: NDArray[np.int64]
    known_ids: NDArray[np.int64] | None
    retracted: DocumentSet

    def contains(self, doc_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these documents are sought: int64[k] -> bool[k]."""
        held: NDArray[np.bool_] = (doc_ids >= self.low) & (doc_ids <= self.high)
        held &= ~np.isin(doc_ids, self.present)
        if self.known_ids is None:
            return held & ~self.retracted.contains(doc_ids)
        return held & np.isin(doc_ids, self.known_ids)

    def without(self, doc_ids: NDArray[np.int64]) -> MissingRows:
        """The rest, once these documents have been found."""
        return replace(self, present=np.union1d(self.present, doc_ids))


def find_missing_rows(
    state: CorpusState,
    store: Store,
    table: str,
    broken: Sequence[TableFile],
    damaged_urls: Collection[str],
    retracted: DocumentSet,
) -> MissingRows:
    """The documents of broken files of one table.

    Args:
        state: the tables that have the files.
        store: where its files are.
        table: a key of ``DOCUMENT_TABLES``.
        broken: the files.
        damaged_urls: URLs of all files that cannot be trusted, of every table.
        retracted: retracted documents.
    """
    low, high = min(f.min_doc_id for f in broken), max(f.max_doc_id for f in broken)
    sound = [file for file in state.files(table) if file.url not in damaged_urls]
    present = _ids_between(store, sound, low, high)
    for twin in DOCUMENT_TABLES[table]:
        files = state.files(twin)
        if any(file.url in damaged_urls and _meet(file, low, high) for file in files):
            continue
        try:
            known_ids = _ids_between(store, files, low, high)
        except InputError:
            # A finding of its own, once that table is looked at closely.
            continue
        if len(known_ids):
            return MissingRows(low, high, present, np.setdiff1d(known_ids, present), retracted)
    return MissingRows(low, high, present, None, retracted)


def _ids_between(
    store: Store, files: Sequence[TableFile], low: int, high: int
) -> NDArray[np.int64]:
    """Documents between two ids, both included, ascending."""
    found = [
        batch.column(0).to_numpy()
        for file in files
        if _meet(file, low, high)
        for batch in read_batches(store, file.location, ["doc_id"], None, BATCH_BYTES)
    ]
    ids = np.unique(np.concatenate([np.empty(0, np.int64), *found]))
    return ids[(ids >= low) & (ids <= high)]


def _meet(file: TableFile, low: int, high: int) -> bool:
    return file.min_doc_id <= high and file.max_doc_id >= low
