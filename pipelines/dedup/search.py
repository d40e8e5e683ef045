"""Finding the edges of new documents: in memory while all fingerprints fit, else by a shuffle.

A run after an earlier one compares only what is new: new documents with each other, and with those
old documents that share a key with one of them. A bucket is scanned whole or not at all, in the
order of the document ids, and new documents have higher ids than old ones; so its edges are those
that a run from the start would find.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from strata.pipelines.dedup.band_rows import RowTask, band_rows, new_keys
from strata.pipelines.dedup.in_memory import band_tasks, scan_bands
from strata.pipelines.dedup.skewed_keys import SkewPolicy, find_hubs
from strata.pipelines.dedup.verify_buckets import ScanResult, ScanTask, scan_partition
from strata.pipelines.execution.data_files import DataFile, data_files, group_files
from strata.pipelines.execution.stage import Counters, StageContext
from strata.pipelines.execution.tasks import rows_of_tasks, run_on_partitions, run_tasks
from strata.pipelines.kernels.banding import Banding
from strata.pipelines.kernels.key_filter import MAX_BITS, KeyFilter, filter_bits
from strata.pipelines.lineage.coverage import Watermark
from strata.settings import DedupSettings
from strata.storage.contracts.url import Url
from strata.storage.layout.records import TableFile
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import FileReads, IoMeter, MeteredStore

__all__ = ["EdgeSearch", "find_edges"]

# Each task of this step holds a key filter, and the driver unites them.
MAX_FILTER_TASKS = 8
SKEW_POLICY = SkewPolicy()


@dataclass(frozen=True, slots=True)
class EdgeSearch:
    """The documents that a search compares, and how.

    Attributes:
        banding: bands and rows.
        own: the files of our `fingerprints`.
        reference: those of the reference corpora.
        documents: rows of all these files.
        watermark: the documents that an earlier run compared with each other and with the
            reference corpora.
    """

    banding: Banding
    own: tuple[TableFile, ...]
    reference: tuple[DataFile, ...]
    documents: int
    watermark: Watermark

    @property
    def files(self) -> list[DataFile]:
        """All files, those of reference corpora first."""
        return [*self.reference, *data_files(self.own)]

    @property
    def new_files(self) -> list[DataFile]:
        """The files that may hold a new document."""
        last = self.watermark.last_doc_id
        return [DataFile.of(file) for file in self.own if file.max_doc_id > last]

    @property
    def new_documents(self) -> int:
        """Documents that no earlier run compared."""
        return sum(file.rows for file in self.own) - self.watermark.documents

    @property
    def new_keys(self) -> int:
        """Keys of the new documents."""
        return self.new_documents * (self.banding.bands + 2)

    @property
    def can_filter(self) -> bool:
        """Whether rows can be dropped because no new document has their key."""
        whole = not self.reference and self.watermark.last_doc_id < 0
        return not whole and self.new_keys < MAX_BITS


def find_edges(
    context: StageContext, search: EdgeSearch, settings: DedupSettings, counters: Counters
) -> list[ScanResult]:
    """Compare the new documents; the edges are in files of the staging folder."""
    folder, last = context.staging, search.watermark.last_doc_id
    scan = ScanTask(settings.threshold, folder, context.storage_options, last)
    if search.documents > settings.memory_documents:
        return _shuffle(context, search, scan, counters)
    files = search.files
    parallelism = context.spark().sparkContext.defaultParallelism if files else 1
    tasks = band_tasks(files, search.banding, scan, parallelism)
    context.progress.start("dedup", "sort bands, verify buckets", len(tasks))
    results = run_tasks(context.spark(), scan_bands, tasks)
    context.progress.finish()
    return results


def _shuffle(
    context: StageContext, search: EdgeSearch, scan: ScanTask, counters: Counters
) -> list[ScanResult]:
    spark, storage = context.spark(), context.storage_options
    tasks = _row_tasks(context, search, search.files)
    candidate_filter = spark.sparkContext.broadcast(
        _candidate_filter(context, search) if search.can_filter else None
    )
    hubs = spark.sparkContext.broadcast(
        find_hubs(context, tasks, search.documents, scan.threshold, SKEW_POLICY)
    )
    # Rows stream through the shuffle, so the cost of the readers is returned separately.
    read = spark.sparkContext.accumulator(0)
    counters.add(Counters(IoMeter(files=_reads_per_file(tasks))))
    requests = spark.sparkContext.accumulator(0)

    def make_rows(task: RowTask) -> Iterator[pa.RecordBatch]:
        store = MeteredStore(open_store(storage))
        yield from band_rows(task, store, candidate_filter.value, hubs.value)
        read.add(store.meter.bytes_read)
        requests.add(store.meter.read_requests)

    context.progress.start("dedup", "shuffle bands, verify buckets", 0)
    rows = rows_of_tasks(spark, tasks, make_rows, "key long, doc_id long, sketch binary")
    grouped = rows.repartition("key").sortWithinPartitions("key", "doc_id")
    results = run_on_partitions(grouped, partial(scan_partition, task=scan))
    context.progress.finish()
    io = IoMeter(bytes_read=int(read.value), read_requests=int(requests.value))
    counters.add(Counters(io))
    return results


def _reads_per_file(tasks: Sequence[RowTask]) -> dict[str, FileReads]:
    files = [file for task in tasks for file in task.files]
    return {Url.parse(file.url).name: FileReads(1) for file in files}


def _row_tasks(
    context: StageContext, search: EdgeSearch, files: Sequence[DataFile]
) -> list[RowTask]:
    number = max(len(files), context.spark().sparkContext.defaultParallelism)
    last = search.watermark.last_doc_id
    return [RowTask(some, search.banding, last) for some in group_files(files, number)]


def _candidate_filter(context: StageContext, search: EdgeSearch) -> KeyFilter:
    storage = context.storage_options
    n_bits = filter_bits(search.new_keys)

    def collect(task: RowTask) -> KeyFilter:
        return new_keys(task, open_store(storage), n_bits)

    groups = group_files(search.new_files, MAX_FILTER_TASKS)
    tasks = [RowTask(some, search.banding, search.watermark.last_doc_id) for some in groups]
    context.progress.start("dedup", "gather the keys of new documents", len(tasks))
    candidate_filter = KeyFilter.empty(n_bits)
    for found in run_tasks(context.spark(), collect, tasks):
        candidate_filter.merge(found)
    context.progress.finish()
    return candidate_filter
