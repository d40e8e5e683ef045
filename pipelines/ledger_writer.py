"""Making and writing the ledger: on the driver while the edges fit a bound, else on Spark."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from strata.pipelines.dedup_scan import EDGE_SCHEMA, ScanResult, read_edges
from strata.pipelines.ledger import Attributes, ledger_rows, needs_attributes
from strata.pipelines.stage import StageContext
from strata.pipelines.tasks import run_tasks, task_stem
from strata.pipelines.wide_ledger import wide_ledger
from strata.storage.parquet import ParquetLayout, TableWriter, WrittenFile
from strata.storage.scan import read_batches
from strata.storage.schemas import SCHEMAS
from strata.storage.store import FsspecStore, MeteredStore, StorageOptions
from strata.storage.tiers import tier_of_table
from strata.storage.url import Url

__all__ = ["WrittenLedger", "write_ledger"]

ATTRIBUTES = pa.schema([("doc_id", pa.int64()), ("n_bytes", pa.int64()), ("source", pa.string())])
BATCH_BYTES = 4_000_000


@dataclass(slots=True)
class WrittenLedger:
    """The files of a ledger, and what they hold: documents removed by method, clusters."""

    files: list[WrittenFile] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    clusters: int = 0
    largest: int = 0
    bytes_written: int = 0

    def count(self, rows: pa.RecordBatch) -> None:
        """Count some rows of the ledger."""
        kept = rows.column("kept").to_numpy(zero_copy_only=False)
        methods = np.array(rows.column("method").to_pylist(), dtype=str)[~kept]
        for name, number in zip(*np.unique(methods, return_counts=True), strict=True):
            self.removed[str(name)] = self.removed.get(str(name), 0) + int(number)
        self.clusters += int(kept.sum())
        sizes = rows.column("cluster_size").to_numpy()
        self.largest = max(self.largest, int(sizes.max(initial=0)))

    def add(self, other: WrittenLedger) -> None:
        """Add the part of another task."""
        self.files += other.files
        for name, number in other.removed.items():
            self.removed[name] = self.removed.get(name, 0) + number
        self.clusters += other.clusters
        self.largest = max(self.largest, other.largest)
        self.bytes_written += other.bytes_written


def write_ledger(context: StageContext, results: Sequence[ScanResult]) -> WrittenLedger:
    """Turn the edge files into the files of `clusters`, sorted by document id.

    Both ways give the same rows; ``dedup.driver_edges`` chooses.
    """
    edges = sum(result.edges for result in results)
    if edges <= context.settings.dedup.driver_edges:
        return _on_driver(context, results)
    return _on_spark(context, results)


def _on_driver(context: StageContext, results: Sequence[ScanResult]) -> WrittenLedger:
    edges = read_edges(context.store, results)
    rules = context.settings.dedup.survivor
    attributes = _attributes(context, edges) if needs_attributes(rules) else None
    rows = ledger_rows(edges, rules, attributes)
    return _Target.of(context).write(iter([rows]), "dedup-driver")


def _attributes(context: StageContext, edges: pa.Table) -> Attributes:
    nodes = np.unique(np.concatenate([edges["a"].to_numpy(), edges["b"].to_numpy()]))
    storage = context.storage_options
    wanted = context.spark().sparkContext.broadcast(nodes)

    def gather(url: str) -> pa.Table:
        found = [_only(batch, wanted.value) for batch in _attribute_batches(url, storage)]
        return pa.Table.from_batches(found, ATTRIBUTES)

    tables = run_tasks(context.spark(), gather, _fingerprint_urls(context))
    table = pa.concat_tables([ATTRIBUTES.empty_table(), *tables]).sort_by("doc_id")
    source = table["source"].to_numpy(zero_copy_only=False)
    return Attributes(table["doc_id"].to_numpy(), table["n_bytes"].to_numpy(), source)


def _only(batch: pa.RecordBatch, wanted: np.ndarray) -> pa.RecordBatch:
    return batch.filter(pa.array(np.isin(batch.column("doc_id").to_numpy(), wanted)))


def _fingerprint_urls(context: StageContext) -> list[str]:
    return [file.url for file in context.corpus.table("fingerprints").files()]


def _attribute_batches(url: str, storage: StorageOptions) -> Iterator[pa.RecordBatch]:
    columns = ATTRIBUTES.names
    for batch in read_batches(FsspecStore(storage), Url.parse(url), columns, None, BATCH_BYTES):
        # Required fields and field ids are the table's, not the shuffle's.
        yield pa.RecordBatch.from_arrays(batch.columns, schema=ATTRIBUTES)


def _on_spark(context: StageContext, results: Sequence[ScanResult]) -> WrittenLedger:
    storage, target, spark = context.storage_options, _Target.of(context), context.spark()
    edge_urls = [result.url for result in results if result.url is not None]
    documents = _fingerprint_urls(context)

    def edges(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in _numbers(numbers):
            url = Url.parse(edge_urls[number])
            yield from read_batches(FsspecStore(storage), url, EDGE_SCHEMA.names, None, BATCH_BYTES)

    def attributes(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number in _numbers(numbers):
            yield from _attribute_batches(documents[number], storage)

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        part = target.write(batches, task_stem("dedup"))
        yield pa.RecordBatch.from_pydict({"part": [pickle.dumps(part)]})

    ledger = wide_ledger(
        spark.range(0, len(edge_urls), 1, len(edge_urls)).mapInArrow(
            edges, "a long, b long, similarity float, equal boolean"
        ),
        spark.range(0, len(documents), 1, max(1, len(documents))).mapInArrow(
            attributes, "doc_id long, n_bytes long, source string"
        ),
        context.settings.dedup.survivor,
    )
    sorted_rows = ledger.repartitionByRange("doc_id").sortWithinPartitions("doc_id")
    parts = sorted_rows.mapInArrow(write, "part binary").toArrow()["part"].to_pylist()
    written = WrittenLedger()
    for part in parts:
        written.add(pickle.loads(part))
    return written


def _numbers(batches: Iterator[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the ledger is written."""

    storage: StorageOptions
    folder: Url
    layout: ParquetLayout

    @classmethod
    def of(cls, context: StageContext) -> _Target:
        tier = tier_of_table(context.settings, "clusters")
        folder = tier.folder(context.settings.corpus, "clusters")
        return cls(context.storage_options, folder, tier.layout)

    def write(self, batches: Iterator[pa.RecordBatch], stem: str) -> WrittenLedger:
        """Write sorted rows of the ledger."""
        store, schema = MeteredStore(FsspecStore(self.storage)), SCHEMAS["clusters"]
        written = WrittenLedger()
        with TableWriter(store, self.folder, "clusters", self.layout, stem) as writer:
            for batch in batches:
                rows = pa.RecordBatch.from_arrays(
                    [batch.column(name) for name in schema.names], schema=schema
                )
                if rows.num_rows:
                    writer.write(rows)
                    written.count(rows)
            written.files = writer.close()
        written.bytes_written = store.meter.bytes_written
        return written
