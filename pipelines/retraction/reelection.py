"""What a retraction changes in `edges` and `clusters`: pairs, clusters, survivors.

Pairs with a retracted document are replaced. A bucket is verified along star edges, so documents
that are similar to each other may be linked only through a retracted one that was the first of
their bucket. The buckets of retracted documents are therefore scanned again without them.

Only the clusters that lose a document, and those that a new pair links to them, are computed again.
The ledger is a function of the pairs, so the rows of all other clusters stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from strata.pipelines.dedup.band_rows import ROW_SCHEMA, RowTask, band_rows
from strata.pipelines.dedup.edges import new_edges
from strata.pipelines.dedup.ledger import ledger_of
from strata.pipelines.dedup.search import MAX_FILTER_TASKS
from strata.pipelines.dedup.verify_buckets import (
    EDGE_SCHEMA,
    ScanResult,
    ScanTask,
    read_edges,
    scan_partition,
)
from strata.pipelines.dedup.verify_texts import verified_on_driver
from strata.pipelines.execution.data_files import data_files, group_files
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.tasks import run_tasks, task_stem
from strata.pipelines.kernels.banding import Banding
from strata.pipelines.kernels.key_filter import KeyFilter, filter_bits
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.tables.doc_set import DocumentSet, RowFilter, matching_rows
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.schemas import SCHEMAS
from strata.storage.stores.opening import open_store

__all__ = ["Reelection", "fits_driver", "new_pairs", "reelect", "replaced_pairs"]

MEMBER_COLUMNS = ("doc_id", "kept_id", "cluster_size", "kept")
# A search that only looks into known buckets has no new documents.
NOTHING_NEW = (1 << 63) - 1
KINDS_BESIDE_BANDS = 2
ROWS_PER_SCAN = 4_000_000
MAX_SCANS = 64


@dataclass(frozen=True, slots=True)
class Reelection:
    """The change of the ledger.

    Attributes:
        clusters: int64[c], `kept_id` of the clusters whose rows are dropped.
        rows: the rows that replace them, sorted by document.
        promoted: int64[p], documents that survive now and did not before, ascending.
        demoted: int64[d], documents that survived before and no longer do, ascending.
    """

    clusters: NDArray[np.int64]
    rows: pa.RecordBatch
    promoted: NDArray[np.int64]
    demoted: NDArray[np.int64]

    @classmethod
    def none(cls) -> Reelection:
        """No change."""
        empty = np.empty(0, np.int64)
        return cls(empty, _no_rows(), empty, empty)


def _no_rows() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=SCHEMAS["clusters"])


def replaced_pairs(
    context: StageContext, upstream: Upstream, retracted: DocumentSet, banding: Banding
) -> pa.Table:
    """The pairs that replace those that `edges` loses, in order of (a, b)."""
    lost = matching_rows(context, "edges", ("a", "b"), RowFilter(("a", "b"), retracted))
    ends = _ends(lost)
    return new_pairs(context, upstream, retracted, ends[retracted.contains(ends)], banding)


def fits_driver(context: StageContext, retracted: DocumentSet) -> bool:
    """Whether the clusters that lose a document have few enough members to fit the driver."""
    rows = matching_rows(
        context, "clusters", ("kept_id", "cluster_size"), RowFilter(("doc_id",), retracted)
    )
    first = np.unique(rows["kept_id"].to_numpy(), return_index=True)[1]
    members = int(rows["cluster_size"].to_numpy()[first].sum())
    return members <= context.settings.dedup.driver_edges


def reelect(
    context: StageContext, upstream: Upstream, retracted: DocumentSet, added_pairs: pa.Table
) -> Reelection:
    """Compute the affected clusters again.

    Args:
        context: the corpus, still with the ledger from before the retraction.
        upstream: what that ledger was made from.
        retracted: the documents that are taken out.
        added_pairs: pairs that `edges` does not have yet.
    """
    touched = matching_rows(context, "clusters", ("kept_id",), RowFilter(("doc_id",), retracted))
    lost = matching_rows(context, "edges", ("a", "b"), RowFilter(("a", "b"), retracted))
    near = _ends(lost)
    # With direct links a document can be in a pair, and in no cluster.
    start = _Start(
        np.unique(touched["kept_id"].to_numpy()), near[~retracted.contains(near)], added_pairs
    )
    part = _connected_part(context, retracted, start)
    rows = ledger_of(context, upstream, part.edges) if part.edges.num_rows else _no_rows()
    removed = rows.column("doc_id").to_numpy()[~_flags(rows.column("kept"))]
    survivors = np.setdiff1d(part.members[~retracted.contains(part.members)], removed)
    # Documents of reference corpora are survivors in the ledger, but are in none of our tables.
    return Reelection(
        clusters=part.clusters,
        rows=rows,
        promoted=_own_ids(np.setdiff1d(survivors, part.survivors)),
        demoted=_own_ids(np.intersect1d(removed, part.survivors)),
    )


def _ends(pairs: pa.Table) -> NDArray[np.int64]:
    ends: NDArray[np.int64] = np.union1d(pairs["a"].to_numpy(), pairs["b"].to_numpy())
    return ends


def _own_ids(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    return ids[ids >= 0]


def _flags(column: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = np.asarray(column.to_numpy(zero_copy_only=False), bool)
    return flags


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the graph that no pair links to the rest.

    Attributes:
        clusters: int64[c], its clusters in the previous ledger.
        members: int64[m], all of its documents, ascending, retracted ones included.
        survivors: int64[s], the members that survived before.
        edges: its pairs, of EDGE_SCHEMA, without those of retracted documents.
    """

    clusters: NDArray[np.int64]
    members: NDArray[np.int64]
    survivors: NDArray[np.int64]
    edges: pa.Table


@dataclass(frozen=True, slots=True)
class _Start:
    """What a part is grown from: clusters of the ledger, documents, and pairs."""

    clusters: NDArray[np.int64]
    near: NDArray[np.int64]
    added_pairs: pa.Table


def _connected_part(context: StageContext, retracted: DocumentSet, start: _Start) -> _Part:
    """Everything that pairs connect to a start."""
    clusters, alone = start.clusters, np.empty(0, np.int64)
    while True:
        ledger = matching_rows(
            context, "clusters", MEMBER_COLUMNS, RowFilter(("kept_id",), DocumentSet.of(clusters))
        )
        members = np.union1d(ledger["doc_id"].to_numpy(), alone)
        edges = pa.concat_tables([_pairs_of(context, members, retracted), start.added_pairs])
        outside = np.setdiff1d(np.union1d(_ends(edges), start.near), members)
        if not len(outside):
            survivors = ledger["doc_id"].to_numpy()[_flags(ledger["kept"])]
            return _Part(clusters, members, np.union1d(survivors, alone), edges)
        linked = matching_rows(
            context,
            "clusters",
            ("doc_id", "kept_id"),
            RowFilter(("doc_id",), DocumentSet.of(outside)),
        )
        clusters = np.union1d(clusters, linked["kept_id"].to_numpy())
        alone = np.union1d(alone, np.setdiff1d(outside, linked["doc_id"].to_numpy()))


def _pairs_of(
    context: StageContext, members: NDArray[np.int64], retracted: DocumentSet
) -> pa.Table:
    rows = matching_rows(
        context, "edges", EDGE_SCHEMA.names, RowFilter(("a", "b"), DocumentSet.of(members))
    )
    lost = retracted.contains(rows["a"].to_numpy()) | retracted.contains(rows["b"].to_numpy())
    return pa.table(rows.filter(pa.array(~lost)).columns, schema=EDGE_SCHEMA)


def new_pairs(
    context: StageContext,
    upstream: Upstream,
    retracted: DocumentSet,
    linked: np.ndarray,
    banding: Banding,
) -> pa.Table:
    """Scan the buckets of retracted documents again.

    Args:
        context: the corpus.
        upstream: what its tables were made from; its `fingerprints` still have the documents.
        retracted: all documents that are taken out.
        linked: int64[n], those of them that are in a pair.
        banding: bands and rows of the search.

    Returns:
        Verified pairs that `edges` does not have, in order of (a, b).
    """
    if not len(linked):
        return EDGE_SCHEMA.empty_table()
    files = upstream.fingerprints
    groups = group_files(files, max(len(files), context.spark().sparkContext.defaultParallelism))
    tasks = [RowTask(some, banding, NOTHING_NEW) for some in groups]
    keys = _keys(context, upstream, linked, banding)
    folder = context.staging
    gather = _GatherTarget(keys, retracted, folder, open_store(context.storage_options))
    context.progress.start("retract", "gather the buckets of what goes", len(tasks))
    staged = run_tasks(context.spark(), partial(_gather, to=gather), tasks)
    context.progress.finish()
    filled = [each for each in staged if each.rows]
    results = _scan(context, upstream.settings.threshold, folder, filled)
    found = read_edges(context.store, results)
    for url in [*(each.url for each in staged), *(r.url for r in results if r.url is not None)]:
        context.store.delete(Url.parse(url))
    known = matching_rows(
        context, "edges", EDGE_SCHEMA.names, RowFilter(("a",), DocumentSet.of(_edge_ends(found)))
    )
    added_pairs = new_edges(found, pa.table(known.columns, schema=EDGE_SCHEMA))
    return verified_on_driver(context, upstream, added_pairs)


def _edge_ends(edges: pa.Table) -> list[int]:
    ends: list[int] = edges["a"].unique().to_pylist()
    return ends


def _keys(
    context: StageContext, upstream: Upstream, linked: np.ndarray, banding: Banding
) -> KeyFilter:
    """The keys of the documents whose pairs are dropped."""
    row_filter = RowFilter(("doc_id",), DocumentSet.of(linked))
    files = row_filter.files("fingerprints", upstream.table("fingerprints").files())
    n_bits = filter_bits(len(linked) * (banding.bands + KINDS_BESIDE_BANDS))
    storage = context.storage_options

    def collect(task: RowTask) -> KeyFilter:
        found = KeyFilter.empty(n_bits)
        for batch in band_rows(task, open_store(storage), None):
            found.add(batch.column("key").to_numpy()[row_filter.rows(batch)])
        return found

    groups = group_files(data_files(files), MAX_FILTER_TASKS)
    keys = KeyFilter.empty(n_bits)
    context.progress.start("retract", "gather the keys of what goes", len(groups))
    for found in run_tasks(context.spark(), collect, [RowTask(some, banding) for some in groups]):
        keys.merge(found)
    context.progress.finish()
    return keys


@dataclass(frozen=True, slots=True)
class _GatherTarget:
    """Which rows are gathered, and the folder that they are written to."""

    keys: KeyFilter
    retracted: DocumentSet
    folder: Url
    store: Store


@dataclass(frozen=True, slots=True)
class _StagedRows:
    url: str
    rows: int


def _gather(task: RowTask, to: _GatherTarget) -> _StagedRows:
    url, rows = to.folder / f"{task_stem('buckets')}-{uuid4().hex}.parquet", 0
    with (
        to.store.create(url) as sink,
        pq.ParquetWriter(sink, ROW_SCHEMA, compression="zstd", compression_level=1) as writer,
    ):
        for batch in band_rows(task, to.store, to.keys):
            stays = ~to.retracted.contains(batch.column("doc_id").to_numpy())
            if stays.any():
                writer.write_batch(batch.filter(pa.array(stays)))
                rows += int(stays.sum())
    return _StagedRows(str(url), rows)


@dataclass(frozen=True, slots=True)
class _ScanPart:
    """One of n parts of the keys, to be scanned by one task."""

    part: int
    parts: int
    urls: tuple[str, ...]
    scan: ScanTask


def _scan(
    context: StageContext, threshold: float, folder: Url, staged: list[_StagedRows]
) -> list[ScanResult]:
    parts = min(MAX_SCANS, -(-sum(each.rows for each in staged) // ROWS_PER_SCAN))
    scan = ScanTask(threshold, folder, context.storage_options, NOTHING_NEW)
    urls = tuple(each.url for each in staged)
    tasks = [_ScanPart(part, parts, urls, scan) for part in range(parts)]
    context.progress.start("retract", "verify their buckets without it", len(tasks))
    results = run_tasks(context.spark(), _scan_part, tasks)
    context.progress.finish()
    return results


def _scan_part(task: _ScanPart) -> ScanResult:
    store, tables = open_store(task.scan.storage), [ROW_SCHEMA.empty_table()]
    for url in task.urls:
        with store.open_input(Url.parse(url)) as source:
            rows = pq.ParquetFile(source).read()
        mine = (rows["key"].to_numpy().view(np.uint64) >> np.uint64(2)) % np.uint64(task.parts)
        tables.append(rows.filter(pa.array(mine == task.part)).cast(ROW_SCHEMA))
    ordered = pa.concat_tables(tables).sort_by([("key", "ascending"), ("doc_id", "ascending")])
    return scan_partition(ordered.combine_chunks().to_batches(), task.scan)
