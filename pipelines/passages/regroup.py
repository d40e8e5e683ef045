"""Grouping passages twice: first by their words, then the repeated ones by document.

Tasks sort shares of the rows in memory, or Spark shuffles them; the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.staging import StagedFile, read_staged, write_staged
from strata.pipelines.execution.tasks import (
    TaskCost,
    rows_of_tasks,
    run_on_partitions,
    run_tasks,
    task_stem,
)
from strata.pipelines.passages.collectors import CollectedRows, Collector
from strata.pipelines.passages.rows import ROW_SCHEMA, Columns, RepeatScanner
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

__all__ = ["regroup"]

# Each task reads all rows: more tasks would read them more often, each for less work.
MAX_PARTITIONS = 8


def regroup(
    context: StageContext, files: Sequence[StagedFile], collector: Collector
) -> list[CollectedRows]:
    """Find the passages that repeat an earlier one, and hand them to a collector by document.

    Args:
        context: the corpus.
        files: rows of passages; the files are deleted in the end.
        collector: what turns repetitions into rows.
    """
    if not files:
        return []
    rows = sum(each.rows for each in files)
    if rows <= context.settings.dedup.memory_passages:
        done = _in_memory(context, files, collector)
    else:
        done = _on_spark(context, [each.file.url for each in files], collector)
    for each in files:
        context.store.delete(Url.parse(each.file.url))
    return done


@dataclass(frozen=True, slots=True)
class PartitionTask:
    """All files of rows, and the share of the keys that one task compares."""

    urls: tuple[str, ...]
    partition: int
    partitions: int
    collector: Collector
    folder: Url
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class CollectTask:
    """All files of repetitions, and the documents, from low to below high, that one collects."""

    urls: tuple[str, ...]
    low: int
    high: int
    collector: Collector
    storage: StorageOptions


def _in_memory(
    context: StageContext, files: Sequence[StagedFile], collector: Collector
) -> list[CollectedRows]:
    storage, folder = context.storage_options, context.staging
    partitions = min(context.spark().sparkContext.defaultParallelism, MAX_PARTITIONS)
    urls = tuple(each.file.url for each in files)
    tasks = [
        PartitionTask(urls, n, partitions, collector, folder, storage) for n in range(partitions)
    ]
    found = run_tasks(context.spark(), _compare_partition, tasks)
    repeats = tuple(each.file.url for each in found if each is not None)
    if not repeats:
        return []
    bounds = _bounds(files, partitions)
    done = run_tasks(
        context.spark(),
        _collect_range,
        [CollectTask(repeats, low, high, collector, storage) for low, high in pairwise(bounds)],
    )
    for url in repeats:
        context.store.delete(Url.parse(url))
    return done


def _bounds(files: Sequence[StagedFile], ranges: int) -> list[int]:
    """Bounds of ranges of documents with about equally many rows; files are in document order."""
    starts = np.sort([each.file.min_doc_id for each in files])
    before = np.cumsum([0, *[each.rows for each in files]])
    partitions = np.arange(1, ranges) * before[-1] // ranges
    inner = starts[np.clip(np.searchsorted(before, partitions), 0, len(files) - 1)]
    limits = np.iinfo(np.int64)
    return [int(limits.min), *sorted({int(bound) for bound in inner}), int(limits.max)]


def _compare_partition(task: PartitionTask) -> StagedFile | None:
    store = open_store(task.storage)
    rows = _sorted_rows(task, store)
    selected = task.collector.select(RepeatScanner(task.collector.reach).feed(rows))
    return write_staged(store, task.folder, task_stem("repeats"), task.collector.schema, [selected])


def _sorted_rows(task: PartitionTask, store: Store) -> Columns:
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ROW_SCHEMA.names}
    for batch in read_staged(store, task.urls, ROW_SCHEMA.names):
        own = (
            batch.column("key").to_numpy().view(np.uint64) % np.uint64(task.partitions)
            == task.partition
        )
        for name in parts:
            parts[name].append(batch.column(name).to_numpy()[own])
    rows = {name: np.concatenate(parts.pop(name)) for name in list(parts)}
    # Documents are in order, except where files of the table overlap.
    order = np.lexsort((rows["place"], rows["doc_id"]))
    order = order[np.argsort(rows["key"][order], kind="stable")]
    return {name: values[order] for name, values in rows.items()}


def _collect_range(task: CollectTask) -> CollectedRows:
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    names = task.collector.schema.names
    parts = []
    for batch in read_staged(store, task.urls, names):
        doc_ids = batch.column("doc_id").to_numpy()
        parts.append(batch.filter(pa.array((doc_ids >= task.low) & (doc_ids < task.high))))
    table = pa.Table.from_batches(parts)
    order = np.lexsort((table["place"].to_numpy(), table["doc_id"].to_numpy()))
    batches = table.take(pa.array(order)).combine_chunks().to_batches()
    done = task.collector.collect(batches, store, task_stem("cuts"))
    done.counters = cost.counters(store.meter)
    return done


def _on_spark(
    context: StageContext, urls: Sequence[str], collector: Collector
) -> list[CollectedRows]:
    storage = context.storage_options

    def read(url: str) -> Iterator[pa.RecordBatch]:
        return read_staged(open_store(storage), [url], ROW_SCHEMA.names)

    def compare(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        scanner = RepeatScanner(collector.reach)
        for batch in batches:
            rows = {name: batch.column(name).to_numpy() for name in ROW_SCHEMA.names}
            yield collector.select(scanner.feed(rows))

    def collect(batches: Iterator[pa.RecordBatch]) -> CollectedRows:
        cost, store = TaskCost(), MeteredStore(open_store(storage))
        done = collector.collect(batches, store, task_stem("cuts"))
        done.counters = cost.counters(store.meter)
        return done

    columns = "key long, check int, doc_id long, place int, start int, stop int"
    rows = rows_of_tasks(context.spark(), urls, read, columns)
    grouped = rows.repartition("key").sortWithinPartitions("key", "doc_id", "place")
    repeats = grouped.mapInArrow(
        compare, ", ".join(f"{name} long" for name in collector.schema.names)
    )
    ordered = repeats.repartitionByRange("doc_id").sortWithinPartitions("doc_id", "place")
    return run_on_partitions(ordered, collect)
