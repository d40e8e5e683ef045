"""Scanning the sorted rows of a shuffle partition: edges to a file, counts to the driver."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strata.pipelines.dedup_rows import KeyKind, kind_of, sketch_words
from strata.pipelines.edge_set import EdgeSet
from strata.pipelines.kernels.buckets import BucketScanner, Edges
from strata.pipelines.stage import Counters
from strata.pipelines.tasks import TaskCost, task_stem
from strata.storage.store import FsspecStore, MeteredStore, StorageOptions
from strata.storage.url import Url

__all__ = ["EDGE_SCHEMA", "ScanResult", "ScanTask", "read_edges", "scan_partition"]

MAX_HUBS = 16
EDGE_SCHEMA = pa.schema(
    [("a", pa.int64()), ("b", pa.int64()), ("similarity", pa.float32()), ("equal", pa.bool_())]
)


@dataclass(frozen=True, slots=True)
class ScanTask:
    """How to verify a bucket, and the folder for the edges."""

    threshold: float
    folder: Url
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The edges of one shuffle partition; no file where it has none."""

    url: str | None
    edges: int
    rows: int
    documents: int
    same_id: int
    counters: Counters


def scan_partition(batches: Iterator[pa.RecordBatch], task: ScanTask) -> Iterator[pa.RecordBatch]:
    """Verify the buckets of a partition whose rows are sorted by (key, doc_id).

    Yields:
        One batch with one binary column: the pickled ScanResult.
    """
    cost, store = TaskCost(), MeteredStore(FsspecStore(task.storage))
    scanners = {
        KeyKind.SIMILAR: BucketScanner(task.threshold, MAX_HUBS),
        KeyKind.EQUAL: BucketScanner(1.0, MAX_HUBS),
        KeyKind.SAME_ID: BucketScanner(1.0, MAX_HUBS),
    }
    found = {kind: EdgeSet() for kind in scanners}
    rows = documents = 0
    for batch in batches:
        rows += batch.num_rows
        documents += int(np.count_nonzero(kind_of(batch.column("key").to_numpy()) == KeyKind.EQUAL))
        for kind, scanner in scanners.items():
            found[kind].add(_feed(scanner, batch, kind))
    table = _edge_table(found)
    url = _write(store, task.folder, table) if table.num_rows else None
    same_id = len(found[KeyKind.SAME_ID].distinct().a)
    result = ScanResult(url, table.num_rows, rows, documents, same_id, cost.counters(store.meter))
    yield pa.RecordBatch.from_pydict({"result": [pickle.dumps(result)]})


def _feed(scanner: BucketScanner, batch: pa.RecordBatch, kind: KeyKind) -> Edges:
    keys = batch.column("key").to_numpy()
    chosen = np.flatnonzero(kind_of(keys) == kind)
    doc_ids = batch.column("doc_id").to_numpy()
    sketches = sketch_words(batch.column("sketch"))
    return scanner.feed(keys[chosen], doc_ids[chosen], sketches[chosen])


def _edge_table(found: Mapping[KeyKind, EdgeSet]) -> pa.Table:
    parts = []
    for kind in (KeyKind.SIMILAR, KeyKind.EQUAL):
        edges = found[kind].distinct()
        equal = np.full(len(edges.a), kind == KeyKind.EQUAL)
        columns = [edges.a, edges.b, edges.similarity, equal]
        parts.append(pa.table(columns, schema=EDGE_SCHEMA))
    return pa.concat_tables(parts)


def _write(store: MeteredStore, folder: Url, table: pa.Table) -> str:
    url = folder / f"{task_stem('edges')}.parquet"
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
