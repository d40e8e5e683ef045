"""The sample of an audit: documents that the ledger removes or keeps, chosen by hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.kernels.buffers import fixed_matrix
from strata.pipelines.kernels.columns import Columns
from strata.pipelines.tables.removals import removed_ids
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SIGNATURE_BYTES
from strata.storage.reading.scan import group_bounds, open_parquet, rows_per_batch
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "AuditSampleTask",
    "Disposition",
    "FingerprintRows",
    "Sample",
    "fingerprint_rows",
    "sample_documents",
    "sampling_hash",
]

BATCH_BYTES = 4_000_000
COLUMNS = ["doc_id", "n_shingles", "content_hash", "signature"]
_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)
_FINISHER = np.uint64(0x94D049BB133111EB)


class Disposition(IntEnum):
    """What the ledger says of a document."""

    KEPT = 0
    REMOVED = 1


def sampling_hash(doc_ids: np.ndarray, seed: int | np.ndarray) -> np.ndarray:
    """A random number for each document, int64[n] -> uint64[n], the same in every run.

    Each bit depends on all bits of the document id and of the seed, uint64 or uint64[n] (the
    finisher of splitmix64, Steele, Lea, Flood: OOPSLA 2014).
    """
    x = doc_ids.view(np.uint64) ^ np.asarray(seed, np.uint64)
    x = (x ^ (x >> np.uint64(30))) * _MULTIPLIER
    x = (x ^ (x >> np.uint64(27))) * _FINISHER
    drawn: np.ndarray = x ^ (x >> np.uint64(31))
    return drawn


@dataclass(frozen=True, slots=True)
class FingerprintRows(Columns):
    """Fingerprints of n documents, with their disposition.

    Attributes:
        doc_id: int64[n].
        disposition: int64[n], see Disposition.
        n_shingles: int64[n], repetitions counted.
        content: int64[n, 2], hash of the bytes of the text.
        signature: uint8[n, 256].
    """

    doc_id: np.ndarray
    disposition: np.ndarray
    n_shingles: np.ndarray
    content: np.ndarray
    signature: np.ndarray

    @classmethod
    def empty(cls) -> Self:
        """No rows."""
        nothing = np.empty(0, np.int64)
        signature = np.empty((0, SIGNATURE_BYTES), np.uint8)
        return cls(nothing, nothing, nothing, np.empty((0, 2), np.int64), signature)


def fingerprint_rows(
    file: DataFile, ledger: Sequence[DataFile], store: Store
) -> Iterator[FingerprintRows]:
    """The rows of a file of `fingerprints`, in batches of bounded size."""
    with open_parquet(store, Url.parse(file.url)) as scan:
        bounds = group_bounds(scan.metadata, "doc_id") + file.shift
        for group, (low, high) in enumerate(bounds):
            removed = removed_ids(ledger, int(low), int(high), store)
            rows = rows_per_batch(scan.metadata.row_group(group), COLUMNS, BATCH_BYTES)
            for batch in scan.batches(group, COLUMNS, rows):
                yield _rows(batch, file.shift, removed)


def _rows(batch: pa.RecordBatch, shift: int, removed: np.ndarray) -> FingerprintRows:
    doc_ids = batch.column("doc_id").to_numpy() + shift
    return FingerprintRows(
        doc_ids,
        np.isin(doc_ids, removed).astype(np.int64),
        batch.column("n_shingles").to_numpy(),
        fixed_matrix(batch.column("content_hash")).view(np.int64),
        fixed_matrix(batch.column("signature")),
    )


@dataclass(frozen=True, slots=True)
class AuditSampleTask:
    """Files of `fingerprints` to sample documents from.

    Attributes:
        files: the files.
        ledger: the files of the ledger.
        share: the shares of kept and of removed documents that are sampled.
        seed: seed of the choice.
        storage: options of the stores.
    """

    files: tuple[DataFile, ...]
    ledger: tuple[DataFile, ...]
    share: tuple[float, float]
    seed: int
    storage: StorageOptions


def sample_documents(task: AuditSampleTask) -> FingerprintRows:
    """Sample documents by their own hash alone, so that the tasks do not influence the result."""
    store = MeteredStore(open_store(task.storage))
    limits = np.array([min(share * 2.0**64, 2.0**64 - 2048) for share in task.share])
    parts = [FingerprintRows.empty()]
    for file in task.files:
        for rows in fingerprint_rows(file, task.ledger, store):
            chosen = sampling_hash(rows.doc_id, task.seed) <= limits[rows.disposition]
            parts.append(rows.take(chosen))
    return FingerprintRows.join(parts)


@dataclass(frozen=True, slots=True)
class Sample:
    """The sampled documents; one represents all those with its text and disposition.

    Attributes:
        rows: one document for each text and disposition, ordered by document id.
        copies: int64[n], how many sampled documents each represents.
    """

    rows: FingerprintRows
    copies: np.ndarray

    @classmethod
    def of(cls, rows: FingerprintRows) -> Self:
        """Combine the documents that the tasks sampled."""
        rows = rows.take(np.argsort(rows.doc_id))
        key = np.column_stack([rows.content, rows.disposition])
        _, first, copies = np.unique(key, axis=0, return_index=True, return_counts=True)
        order = np.argsort(first)
        return cls(rows.take(first[order]), copies[order])
