"""Scanning the sorted rows of a shuffle partition: edges to a file, counts to the driver.

Edges are written without repetition, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strata.pipelines.dedup.band_rows import KeyKind, kind_of, link_pairs, sketch_words
from strata.pipelines.execution.stage import Counters
from strata.pipelines.execution.staging import StagedWriter
from strata.pipelines.execution.tasks import TaskCost, task_stem
from strata.pipelines.kernels.buckets import BucketScanner, Edges
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

__all__ = [
    "EDGE_SCHEMA",
    "EdgeSet",
    "Scan",
    "ScanResult",
    "ScanTask",
    "edge_file",
    "read_edges",
    "scan_partition",
]

MAX_HUBS = 16
EDGE_SCHEMA = pa.schema(
    [("a", pa.int64()), ("b", pa.int64()), ("similarity", pa.float32()), ("equal", pa.bool_())]
)
# Bands find the same pair again and again; this many rows are held before repetitions are dropped,
# at some 60 bytes each while they are sorted.
WAITING_EDGES = 2_000_000


@dataclass(frozen=True, slots=True)
class ScanTask:
    """How to verify a bucket, and the folder for the edges.

    Documents up to ``watermark_doc_id`` were counted by an earlier run.
    """

    threshold: float
    folder: Url
    storage: StorageOptions
    watermark_doc_id: int = -1


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The edges of one shuffle partition; no file where it has none.

    ``documents`` counts the new documents among the partition's rows of content hashes.
    """

    url: str | None
    edges: int
    rows: int
    documents: int
    same_id: int
    counters: Counters


class Scan:
    """Buckets of all kinds on their way to edges; rows of a kind come sorted by (key, doc_id).

    Args:
        threshold: Jaccard similarity that makes an edge of similar documents.
        file: takes the edges.
    """

    def __init__(self, threshold: float, file: StagedWriter) -> None:
        thresholds = {KeyKind.SIMILAR: threshold, KeyKind.EQUAL: 1.0, KeyKind.SAME_ID: 1.0}
        self._scanners = {kind: BucketScanner(at, MAX_HUBS) for kind, at in thresholds.items()}
        self._file = file
        self._found = {
            kind: EdgeSet(partial(self._write, kind)) for kind in (KeyKind.SIMILAR, KeyKind.EQUAL)
        }
        self._rows = self._documents = self._same_id = 0

    def count(self, rows: int, documents: int) -> None:
        """Count incoming rows, and the documents among them."""
        self._rows += rows
        self._documents += documents

    def feed(
        self, kind: KeyKind, keys: np.ndarray, doc_ids: np.ndarray, sketches: np.ndarray
    ) -> None:
        """Take rows of one kind: int64[n], int64[n], uint64[n, SKETCH_WORDS]."""
        self._take(kind, self._scanners[kind].feed(keys, doc_ids, sketches))

    def link(self, kind: KeyKind, pairs: Edges) -> None:
        """Take pairs of one kind that were found before the shuffle."""
        self._take(kind, pairs)

    def finish(self) -> None:
        """Write the edges that are still held."""
        for found in self._found.values():
            found.finish()

    def result(self, counters: Counters) -> ScanResult:
        """What was seen, once the file is closed."""
        return ScanResult(
            url=self._file.url,
            edges=self._file.rows,
            rows=self._rows,
            documents=self._documents,
            same_id=self._same_id,
            counters=counters,
        )

    def _take(self, kind: KeyKind, edges: Edges) -> None:
        if kind in self._found:
            self._found[kind].add(edges)
        else:
            # A document has one id, so no pair comes again.
            self._same_id += len(edges.a)

    def _write(self, kind: KeyKind, edges: Edges) -> None:
        # Pairs of two documents of reference corpora do not concern us.
        own = edges.b >= 0
        equal = np.full(int(own.sum()), kind == KeyKind.EQUAL)
        columns = [edges.a[own], edges.b[own], edges.similarity[own], equal]
        self._file.write(pa.table(columns, schema=EDGE_SCHEMA))


def scan_partition(batches: Iterable[pa.RecordBatch], task: ScanTask) -> ScanResult:
    """Verify the buckets of a partition whose rows are sorted by (key, doc_id)."""
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    with edge_file(task, store) as file:
        scan = Scan(task.threshold, file)
        for batch in batches:
            kinds, doc_ids = (
                kind_of(batch.column("key").to_numpy()),
                batch.column("doc_id").to_numpy(),
            )
            new = np.count_nonzero((kinds == KeyKind.EQUAL) & (doc_ids > task.watermark_doc_id))
            scan.count(batch.num_rows, int(new))
            for kind in (KeyKind.SIMILAR, KeyKind.EQUAL, KeyKind.SAME_ID):
                _feed(scan, batch, kinds, kind)
            _link(scan, batch, kinds)
        scan.finish()
    return scan.result(cost.counters(store.meter))


def edge_file(task: ScanTask, store: Store) -> StagedWriter:
    """The file for the edges of one scan."""
    name = f"{task_stem('edges')}-{uuid4().hex}.parquet"
    return StagedWriter(store, task.folder / name, EDGE_SCHEMA)


def _feed(scan: Scan, batch: pa.RecordBatch, kinds: np.ndarray, kind: KeyKind) -> None:
    chosen = np.flatnonzero(kinds == kind)
    keys, doc_ids = batch.column("key").to_numpy(), batch.column("doc_id").to_numpy()
    sketches = sketch_words(batch.column("sketch"))
    scan.feed(kind, keys[chosen], doc_ids[chosen], sketches[chosen])


def _link(scan: Scan, batch: pa.RecordBatch, kinds: np.ndarray) -> None:
    """Take the pairs that were found before the shuffle."""
    if not (kinds == KeyKind.LINK).any():
        return
    pairs = link_pairs(batch.filter(pa.array(kinds == KeyKind.LINK)))
    for kind, edges in pairs.items():
        scan.link(kind, edges)
        # Only new documents are linked.
        scan.count(0, len(edges.a) if kind is KeyKind.EQUAL else 0)


def read_edges(store: Store, results: Sequence[ScanResult]) -> pa.Table:
    """All edges of all partitions, as one table of EDGE_SCHEMA."""
    tables = []
    for result in results:
        if result.url is not None:
            with store.open_input(Url.parse(result.url)) as source:
                tables.append(pq.ParquetFile(source).read())
    return pa.concat_tables(tables) if tables else EDGE_SCHEMA.empty_table()


class EdgeSet:
    """Collects edges, drops repetitions, and passes edges on when it holds too many.

    Args:
        spill: takes edges, each once and in ascending order of (a, b). A pair that comes again
            after it was passed on is passed on again.
        waiting: most edges that are held, not counting those added last.
    """

    def __init__(self, spill: Callable[[Edges], None], waiting: int = WAITING_EDGES) -> None:
        self._spill = spill
        self._waiting = waiting
        self._parts: list[Edges] = []
        self._count = 0

    def add(self, edges: Edges) -> None:
        """Add edges, in any order."""
        if len(edges.a):
            self._parts.append(edges)
            self._count += len(edges.a)
        if self._count > self._waiting:
            self._parts = [Edges.join(self._parts).distinct()]
            self._count = len(self._parts[0].a)
            # Dropping repetitions sorts all edges, so it must not come back at every batch.
            if 2 * self._count > self._waiting:
                self.finish()

    def finish(self) -> None:
        """Pass on what is left."""
        if self._parts:
            self._spill(Edges.join(self._parts).distinct())
        self._parts, self._count = [], 0
