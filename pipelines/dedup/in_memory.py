"""LSH in memory, for a corpus whose fingerprints fit there: no shuffle, no Spark SQL.

Every task reads all fingerprints and finds the buckets of its share of the bands by sorting. The
buckets, and so the edges, are those of the shuffle. Documents that an earlier run compared are
sorted only where they share a key with a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from strata.pipelines.dedup.band_rows import KeyKind, hash_to_sketch, key_of
from strata.pipelines.dedup.verify_buckets import Scan, ScanResult, ScanTask, edge_file
from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.execution.tasks import TaskCost
from strata.pipelines.kernels.banding import SKETCH_WORDS, Banding, band_keys
from strata.pipelines.kernels.buckets import pack_sketches
from strata.pipelines.kernels.buffers import fixed_matrix
from strata.pipelines.kernels.runs import repeated
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

__all__ = ["BandTask", "band_tasks", "scan_bands"]

BATCH_BYTES = 4_000_000
COLUMNS = ["doc_id", "n_shingles", "content_hash", "id_hash", "signature"]
# Each task reads all fingerprints: more tasks would read them more often, each for less work.
MAX_TASKS = 8


@dataclass(frozen=True, slots=True)
class BandTask:
    """All files of `fingerprints`, and what one task compares of the documents in them.

    Attributes:
        files: the files.
        banding: how signatures are cut into bands.
        watermark_doc_id: documents up to this id were compared with each other by an earlier run.
        bands: numbers of the bands that the task compares.
        kinds: the kinds of keys, other than bands, that the task compares.
        scan: how buckets are verified, and where the edges go.
    """

    files: tuple[DataFile, ...]
    banding: Banding
    watermark_doc_id: int
    bands: tuple[int, ...]
    kinds: tuple[KeyKind, ...]
    scan: ScanTask


@dataclass(frozen=True, slots=True)
class _KeyedRows:
    """Keys of one band or kind, and the documents that have them: int64[n], int64[n], u64[n, w]."""

    kind: KeyKind
    keys: np.ndarray
    doc_ids: np.ndarray
    sketches: np.ndarray

    def matching_new(self, watermark_doc_id: int) -> _KeyedRows:
        """The rows without those of old documents whose key no new document has."""
        new = self.doc_ids > watermark_doc_id
        if new.all():
            return self
        chosen = new | np.isin(self.keys, self.keys[new])
        return _KeyedRows(self.kind, self.keys[chosen], self.doc_ids[chosen], self.sketches[chosen])

    def buckets(self) -> _KeyedRows:
        """Only the rows whose key another row has too, sorted by (key, doc_id)."""
        order = np.argsort(self.keys, kind="stable")
        keys = self.keys[order]
        shared = repeated(keys)
        chosen = order[shared]
        return _KeyedRows(self.kind, keys[shared], self.doc_ids[chosen], self.sketches[chosen])


def band_tasks(
    files: Sequence[DataFile],
    banding: Banding,
    scan: ScanTask,
    parallelism: int,
) -> list[BandTask]:
    """Deal the bands, equal texts and repeated ids out to tasks."""
    if not files:
        return []
    work = [*range(banding.bands), KeyKind.EQUAL, KeyKind.SAME_ID]
    number = min(parallelism, MAX_TASKS, len(work))
    return [
        BandTask(
            tuple(files),
            banding,
            scan.watermark_doc_id,
            bands=tuple(range(banding.bands)[part::number]),
            kinds=tuple(each for each in work[part::number] if isinstance(each, KeyKind)),
            scan=scan,
        )
        for part in range(number)
    ]


def scan_bands(task: BandTask) -> ScanResult:
    """Find and verify the buckets of a share."""
    cost, store = TaskCost(), MeteredStore(open_store(task.scan.storage))
    with edge_file(task.scan, store) as file:
        scan = Scan(task.scan.threshold, file)
        for read in _read(task, store):
            keyed = read.matching_new(task.watermark_doc_id)
            new = int(np.count_nonzero(keyed.doc_ids > task.watermark_doc_id))
            scan.count(len(keyed.keys), new if keyed.kind is KeyKind.EQUAL else 0)
            rows = keyed.buckets()
            scan.feed(rows.kind, rows.keys, rows.doc_ids, rows.sketches)
        scan.finish()
    return scan.result(cost.counters(store.meter))


def _read(task: BandTask, store: Store) -> Iterator[_KeyedRows]:
    columns = _columns(task, store)
    # Buckets keep the order of their documents, which is that of the ids.
    order = np.argsort(columns["doc_id"], kind="stable")
    for name in columns:
        columns[name] = columns[name][order]
    doc_ids, worded = columns["doc_id"], columns["worded"]
    for place in range(len(task.bands)):
        keys = key_of(columns["keys"][worded, place], KeyKind.SIMILAR)
        yield _KeyedRows(KeyKind.SIMILAR, keys, doc_ids[worded], columns["sketch"][worded])
    hashes = {KeyKind.EQUAL: columns["content_hash"], KeyKind.SAME_ID: columns["id_hash"]}
    # An id is repeated within a corpus, not between two.
    own = {KeyKind.EQUAL: np.ones(len(doc_ids), bool), KeyKind.SAME_ID: doc_ids >= 0}
    for kind in task.kinds:
        chosen = hashes[kind][own[kind]]
        keys = key_of(chosen[:, 0], kind)
        yield _KeyedRows(kind, keys, doc_ids[own[kind]], hash_to_sketch(chosen[:, -1]))


def _columns(task: BandTask, store: Store) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {
        "doc_id": [np.empty(0, np.int64)],
        "worded": [np.empty(0, bool)],
        "keys": [np.empty((0, len(task.bands)), np.int64)],
        "sketch": [np.empty((0, SKETCH_WORDS), np.uint64)],
        "content_hash": [np.empty((0, 2), np.int64)],
        "id_hash": [np.empty((0, 1), np.int64)],
    }
    for file in task.files:
        for batch in read_batches(store, Url.parse(file.url), COLUMNS, None, BATCH_BYTES):
            signature = fixed_matrix(batch.column("signature"))
            parts["doc_id"].append(batch.column("doc_id").to_numpy() + file.shift)
            parts["worded"].append(batch.column("n_shingles").to_numpy() > 0)
            parts["keys"].append(band_keys(signature, task.banding, task.bands))
            parts["sketch"].append(pack_sketches(signature))
            parts["content_hash"].append(fixed_matrix(batch.column("content_hash")).view(np.int64))
            parts["id_hash"].append(batch.column("id_hash").to_numpy().reshape(-1, 1))
    # Each list is freed as soon as it is joined, so that memory does not hold everything twice.
    return {name: np.concatenate(parts.pop(name)) for name in list(parts)}
