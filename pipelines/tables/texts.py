"""The texts of chosen documents: of ours, and of those of reference corpora."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.data_files import DataFile, data_files
from strata.pipelines.tables.other_corpora import ReferenceCorpus
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import group_bounds, open_parquet, rows_per_batch
from strata.storage.tables.table import TableReader

__all__ = ["own_texts", "reference_texts", "wanted_texts"]

TEXT_BYTES = 4_000_000
COLUMNS = ["doc_id", "text"]


def own_texts(documents: TableReader) -> tuple[DataFile, ...]:
    """The files of our `documents`."""
    return data_files(documents.files())


def reference_texts(corpora: Iterable[ReferenceCorpus]) -> tuple[DataFile, ...] | None:
    """The files of the reference corpora's `documents`; None if a snapshot's texts have expired."""
    found: list[DataFile] = []
    for corpus in corpora:
        snapshots = corpus.documents.snapshots()
        states = [each for each in snapshots if each.content_key == corpus.key]
        if not states:
            return None
        found += data_files(corpus.documents.files(states[-1].snapshot_id), corpus.origin.shift)
    return tuple(found)


def wanted_texts(file: DataFile, wanted: np.ndarray, store: Store) -> Iterator[pa.RecordBatch]:
    """The wanted documents, int64[n] sorted, that a file has, as rows doc_id, text.

    Only row groups that may have one are read, in batches of bounded size.
    """
    with open_parquet(store, Url.parse(file.url)) as scan:
        bounds = group_bounds(scan.metadata, "doc_id") + file.shift
        first = np.searchsorted(wanted, bounds[:, 0])
        last = np.searchsorted(wanted, bounds[:, 1], side="right")
        for group in np.flatnonzero(first < last).tolist():
            rows = rows_per_batch(scan.metadata.row_group(group), COLUMNS, TEXT_BYTES)
            for batch in scan.batches(group, COLUMNS, rows):
                doc_ids = batch.column("doc_id").to_numpy() + file.shift
                keep = np.isin(doc_ids, wanted)
                if keep.any():
                    text = batch.column("text").filter(pa.array(keep))
                    yield pa.RecordBatch.from_arrays([doc_ids[keep], text], names=COLUMNS)
