"""The pairs that take the place of those with a retracted document.

A bucket is verified along star edges, so documents that are similar to each other may be linked by
nothing but a retracted one that was the first of their bucket. The buckets of such documents are
scanned again without them.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strata.pipelines.dedup_rows import ROW_SCHEMA, FingerprintFile, RowTask, band_rows, group_files
from strata.pipelines.dedup_scan import (
    EDGE_SCHEMA,
    ScanResult,
    ScanTask,
    read_edges,
    scan_partition,
)
from strata.pipelines.edge_search import MAX_FILTER_TASKS
from strata.pipelines.edge_table import new_edges
from strata.pipelines.exact_edges import verified_on_driver
from strata.pipelines.foreign import reference_corpora
from strata.pipelines.kernels.banding import Banding
from strata.pipelines.key_filter import KeyFilter, filter_bits
from strata.pipelines.retraction.gone import DocumentSet
from strata.pipelines.retraction.select import RowFilter, matching_rows
from strata.pipelines.stage import StageContext
from strata.pipelines.tasks import run_tasks, task_stem
from strata.storage.maintenance import STAGING
from strata.storage.store import Store, open_store
from strata.storage.url import Url

__all__ = ["new_pairs"]

# No document is new to a search that only looks into known buckets.
NOTHING_NEW = (1 << 63) - 1
KINDS_BESIDE_BANDS = 2
ROWS_PER_SCAN = 4_000_000
MAX_SCANS = 64


def new_pairs(
    context: StageContext, retracted: DocumentSet, linked: np.ndarray, banding: Banding
) -> pa.Table:
    """Scan the buckets of retracted documents again.

    Args:
        context: the corpus, whose `fingerprints` still have the documents.
        retracted: all documents that go.
        linked: int64[n], those of them that are in a pair.
        banding: bands and rows of the search.

    Returns:
        Verified pairs that `edges` does not have, in order of (a, b).
    """
    if not len(linked):
        return EDGE_SCHEMA.empty_table()
    files = [file for corpus in reference_corpora(context) for file in corpus.files]
    files += [FingerprintFile(file.url) for file in context.corpus.table("fingerprints").files()]
    groups = group_files(files, max(len(files), context.spark().sparkContext.defaultParallelism))
    tasks = [RowTask(some, banding, NOTHING_NEW) for some in groups]
    keys = _keys(context, linked, banding)
    folder = Url.parse(context.settings.warehouse) / STAGING / context.run_id
    gather = _GatherTarget(keys, retracted, folder, open_store(context.storage_options))
    context.progress.start("retract", "gather the buckets of what goes", len(tasks))
    staged = run_tasks(context.spark(), partial(_gather, to=gather), tasks)
    context.progress.finish()
    results = _scan(context, folder, [each for each in staged if each.rows])
    found = read_edges(context.store, results)
    for url in [*(each.url for each in staged), *(r.url for r in results if r.url is not None)]:
        context.store.delete(Url.parse(url))
    known = matching_rows(
        context, "edges", EDGE_SCHEMA.names, RowFilter(("a",), DocumentSet.of(_ends(found)))
    )
    added_pairs = new_edges(found, pa.table(known.columns, schema=EDGE_SCHEMA))
    return verified_on_driver(context, added_pairs)


def _ends(edges: pa.Table) -> list[int]:
    ends: list[int] = edges["a"].unique().to_pylist()
    return ends


def _keys(context: StageContext, linked: np.ndarray, banding: Banding) -> KeyFilter:
    """The keys of the documents whose pairs go."""
    row_filter = RowFilter(("doc_id",), DocumentSet.of(linked))
    files = row_filter.files("fingerprints", context.corpus.table("fingerprints").files())
    n_bits = filter_bits(len(linked) * (banding.bands + KINDS_BESIDE_BANDS))
    storage = context.storage_options

    def collect(task: RowTask) -> KeyFilter:
        found = KeyFilter.empty(n_bits)
        for batch in band_rows(task, open_store(storage), None):
            found.add(batch.column("key").to_numpy()[row_filter.rows(batch)])
        return found

    groups = group_files([FingerprintFile(file.url) for file in files], MAX_FILTER_TASKS)
    keys = KeyFilter.empty(n_bits)
    context.progress.start("retract", "gather the keys of what goes", len(groups))
    for found in run_tasks(context.spark(), collect, [RowTask(some, banding) for some in groups]):
        keys.merge(found)
    context.progress.finish()
    return keys


@dataclass(frozen=True, slots=True)
class _GatherTarget:
    """Which rows are gathered, and where to."""

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
    """One of so many parts of the keys."""

    part: int
    parts: int
    urls: tuple[str, ...]
    scan: ScanTask


def _scan(context: StageContext, folder: Url, staged: list[_StagedRows]) -> list[ScanResult]:
    parts = min(MAX_SCANS, -(-sum(each.rows for each in staged) // ROWS_PER_SCAN))
    scan = ScanTask(context.settings.dedup.threshold, folder, context.storage_options, NOTHING_NEW)
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
    batches: Iterator[pa.RecordBatch] = iter(ordered.combine_chunks().to_batches())
    (answer,) = scan_partition(batches, task.scan)
    result: ScanResult = pickle.loads(answer.column("result")[0].as_py())
    return result
