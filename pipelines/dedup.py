"""The dedup stage: `fingerprints` to the ledger `clusters`.

Sorting in memory, or one shuffle, brings equal keys together: bands of similar documents, hashes of
equal ones, repeated ids. Each bucket is verified in place along star edges, connected components
join the edges, and a rule elects the survivor of each.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pyarrow as pa

from strata.keys import stage_key
from strata.pipelines.dedup_rows import RowTask, band_rows, group_files
from strata.pipelines.dedup_scan import ScanResult, ScanTask, scan_partition
from strata.pipelines.dedup_share import scan_share, share_tasks
from strata.pipelines.kernels.banding import Banding, choose_banding
from strata.pipelines.ledger_writer import WrittenLedger, write_ledger
from strata.pipelines.stage import Counters, StageContext, StageReport, StageStatus, Stopwatch
from strata.pipelines.tasks import run_tasks
from strata.settings import DedupSettings
from strata.storage.maintenance import STAGING
from strata.storage.publish import PublishMode, publish
from strata.storage.store import FsspecStore, MeteredStore
from strata.storage.url import Url

__all__ = ["dedup_key", "run_dedup"]

# Raise it when the code changes which documents are removed, or the rows of the ledger.
VERSION = 1


def dedup_key(context: StageContext) -> str:
    """Key of the ledger that the present documents and settings give."""
    settings = context.settings.dedup
    banding = _banding(settings)
    decisive = {
        "threshold": settings.threshold,
        "bands": banding.bands,
        "rows": banding.rows,
        "survivor": list(settings.survivor),
    }
    documents = context.corpus.table("documents").content_key or ""
    return stage_key("dedup", VERSION, [documents], decisive)


def run_dedup(context: StageContext) -> StageReport:
    """Find duplicates, elect survivors and publish the ledger.

    Raises:
        BalanceError: a document was lost or doubled.
    """
    watch = Stopwatch()
    report = StageReport("dedup", dedup_key(context))
    clusters = context.corpus.table("clusters")
    if clusters.content_key == report.key:
        report.status = StageStatus.SKIPPED
        return report
    banding = _banding(context.settings.dedup)
    watch.lap("plan")
    context.spark()
    watch.lap("wait for Spark")
    results = _scan(context, banding, report.counters)
    watch.lap("find edges")
    ledger = write_ledger(context, results)
    watch.lap("ledger")
    _account(context, results, ledger, report)
    report.details |= {"bands": banding.bands, "rows": banding.rows}
    report.check_balance()
    publish(
        clusters,
        ledger.files,
        mode=PublishMode.OVERWRITE,
        content_key=report.key,
        run_id=context.run_id,
    )
    for result in results:
        report.counters.add(result.counters)
        if result.url is not None:
            context.store.delete(Url.parse(result.url))
    report.counters.add(
        Counters(bytes_written=ledger.bytes_written, files_written=len(ledger.files))
    )
    watch.lap("publish")
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def _banding(settings: DedupSettings) -> Banding:
    if settings.bands is not None and settings.rows is not None:
        return Banding(settings.bands, settings.rows)
    return choose_banding(settings.threshold)


def _scan(context: StageContext, banding: Banding, counters: Counters) -> list[ScanResult]:
    """Find the edges: in memory while all fingerprints fit there, else through a shuffle."""
    files = context.corpus.table("fingerprints").files()
    folder = Url.parse(context.settings.warehouse) / STAGING / context.run_id
    scan = ScanTask(context.settings.dedup.threshold, folder, context.storage_options)
    urls = [file.url for file in files]
    if sum(file.rows for file in files) > context.settings.dedup.memory_documents:
        return _shuffle(context, urls, banding, scan, counters)
    parallelism = context.spark().sparkContext.defaultParallelism if urls else 1
    tasks = share_tasks(urls, banding, scan, parallelism)
    context.progress.start("dedup", "sort bands, verify buckets", len(tasks))
    results = run_tasks(context.spark(), scan_share, tasks)
    context.progress.finish()
    return results


def _shuffle(
    context: StageContext, urls: list[str], banding: Banding, scan: ScanTask, counters: Counters
) -> list[ScanResult]:
    spark, storage = context.spark(), context.storage_options
    tasks = [
        RowTask(some, banding)
        for some in group_files(urls, max(len(urls), spark.sparkContext.defaultParallelism))
    ]
    # Rows stream through the shuffle, so what the readers cost comes back beside them.
    read = spark.sparkContext.accumulator(0)
    requests = spark.sparkContext.accumulator(0)

    def make_rows(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        store = MeteredStore(FsspecStore(storage))
        for batch in numbers:
            for number in batch.column(0).to_pylist():
                yield from band_rows(tasks[number], store)
        read.add(store.meter.bytes_read)
        requests.add(store.meter.read_requests)

    def scan_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return scan_partition(batches, scan)

    context.progress.start("dedup", "shuffle bands, verify buckets", 0)
    rows = spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(
        make_rows, "key long, doc_id long, sketch binary"
    )
    grouped = rows.repartition("key").sortWithinPartitions("key", "doc_id")
    # One small row a partition: the description of its edge file.
    results = grouped.mapInArrow(scan_rows, "result binary").toArrow()
    context.progress.finish()
    counters.add(Counters(bytes_read=int(read.value), read_requests=int(requests.value)))
    return [pickle.loads(value) for value in results["result"].to_pylist()]


def _account(
    context: StageContext,
    results: list[ScanResult],
    ledger: WrittenLedger,
    report: StageReport,
) -> None:
    report.rows_in = sum(file.rows for file in context.corpus.table("documents").files())
    # Each document sent exactly one row by its bytes, so the shuffle is checked to be complete.
    seen = sum(result.documents for result in results)
    report.removed = dict(sorted(ledger.removed.items()))
    report.rows_out = seen - sum(ledger.removed.values())
    report.details |= {
        "clusters": ledger.clusters,
        "largest_cluster": ledger.largest,
        "edges": sum(result.edges for result in results),
        "compared_rows": sum(result.rows for result in results),
        "repeated_ids": sum(result.same_id for result in results),
    }
