"""Scanning the sorted rows of a shuffle partition: edges to a file, counts to the driver."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strata.pipelines.dedup_rows import KeyKind, kind_of, sketch_words
from strata.pipelines.edge_set import EdgeSet
from strata.pipelines.kernels.buckets import BucketScanner
from strata.pipelines.stage import Counters
from strata.pipelines.tasks import TaskCost, task_stem
from strata.storage.store import FsspecStore, MeteredStore, StorageOptions
from strata.storage.url import Url

__all__ = ["EDGE_SCHEMA", "Scan", "ScanResult", "ScanTask", "read_edges", "scan_partition"]

MAX_HUBS = 16
EDGE_SCHEMA = pa.schema(
    [("a", pa.int64()), ("b", pa.int64()), ("similarity", pa.float32()), ("equal", pa.bool_())]
)


@dataclass(frozen=True, slots=True)
class ScanTask:
    """How to verify a bucket, and the folder for the edges.

    Documents up to ``seen_to`` were counted by an earlier run.
    """

    threshold: float
    folder: Url
    storage: StorageOptions
    seen_to: int = -1


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The edges of one shuffle partition; no file where it has none.

    ``documents`` counts the new ones among those that the partition saw by their bytes.
    """

    url: str | None
    edges: int
    rows: int
    documents: int
    same_id: int
    counters: Counters


class Scan:
    """Buckets of all kinds on their way to edges; rows of a kind come sorted by (key, doc_id)."""

    def __init__(self, threshold: float) -> None:
        thresholds = {KeyKind.SIMILAR: threshold, KeyKind.EQUAL: 1.0, KeyKind.SAME_ID: 1.0}
        self._scanners = {kind: BucketScanner(at, MAX_HUBS) for kind, at in thresholds.items()}
        self._found = {kind: EdgeSet() for kind in thresholds}
        self._rows = self._documents = 0

    def count(self, rows: int, documents: int) -> None:
        """Count rows that come, and documents among them."""
        self._rows += rows
        self._documents += documents

    def feed(
        self, kind: KeyKind, keys: np.ndarray, doc_ids: np.ndarray, sketches: np.ndarray
    ) -> None:
        """Take rows of one kind: int64[n], int64[n], uint64[n, SKETCH_WORDS]."""
        self._found[kind].add(self._scanners[kind].feed(keys, doc_ids, sketches))

    def finish(self, task: ScanTask, store: MeteredStore, cost: TaskCost) -> ScanResult:
        """Write the edges and tell what was seen."""
        table = _edge_table(self._found)
        url = _write(store, task.folder, table) if table.num_rows else None
        same_id = len(self._found[KeyKind.SAME_ID].distinct().a)
        return ScanResult(
            url=url,
            edges=table.num_rows,
            rows=self._rows,
            documents=self._documents,
            same_id=same_id,
            counters=cost.counters(store.meter),
        )


def scan_partition(batches: Iterator[pa.RecordBatch], task: ScanTask) -> Iterator[pa.RecordBatch]:
    """Verify the buckets of a partition whose rows are sorted by (key, doc_id).

    Yields:
        One batch with one binary column: the pickled ScanResult.
    """
    cost, store = TaskCost(), MeteredStore(FsspecStore(task.storage))
    scan = Scan(task.threshold)
    for batch in batches:
        kinds = kind_of(batch.column("key").to_numpy())
        new = batch.column("doc_id").to_numpy() > task.seen_to
        scan.count(batch.num_rows, int(np.count_nonzero((kinds == KeyKind.EQUAL) & new)))
        for kind in KeyKind:
            _feed(scan, batch, kinds, kind)
    result = scan.finish(task, store, cost)
    yield pa.RecordBatch.from_pydict({"result": [pickle.dumps(result)]})


def _feed(scan: Scan, batch: pa.RecordBatch, kinds: np.ndarray, kind: KeyKind) -> None:
    chosen = np.flatnonzero(kinds == kind)
    keys, doc_ids = batch.column("key").to_numpy(), batch.column("doc_id").to_numpy()
    sketches = sketch_words(batch.column("sketch"))
    scan.feed(kind, keys[chosen], doc_ids[chosen], sketches[chosen])


def _edge_table(found: Mapping[KeyKind, EdgeSet]) -> pa.Table:
    parts = []
    for kind in (KeyKind.SIMILAR, KeyKind.EQUAL):
        edges = found[kind].distinct()
        # Two documents of other corpora are not ours to compare.
        own = edges.b >= 0
        equal = np.full(int(own.sum()), kind == KeyKind.EQUAL)
        columns = [edges.a[own], edges.b[own], edges.similarity[own], equal]
        parts.append(pa.table(columns, schema=EDGE_SCHEMA))
    return pa.concat_tables(parts)


def _write(store: MeteredStore, folder: Url, table: pa.Table) -> str:
    url = folder / f"{task_stem('edges')}-{uuid4().hex}.parquet"
    with store.create(url) as sink:
        pq.write_table(table, sink, compression="zstd", compression_level=1)
    return str(url)


def read_edges(store: FsspecStore, results: Sequence[ScanResult]) -> pa.Table:
    """All edges of all partitions, as one table of EDGE_SCHEMA."""
    tables = []
    for result in results:
        if result.url is not None:
            with store.open_input(Url.parse(result.url)) as source:
                tables.append(pq.ParquetFile(source).read())
    return pa.concat_tables(tables) if tables else EDGE_SCHEMA.empty_table()
