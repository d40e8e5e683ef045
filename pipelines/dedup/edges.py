"""The table `edges`: every verified pair once, sorted; the ledger follows from it alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from strata.pipelines.dedup.verify_buckets import EDGE_SCHEMA, ScanResult, read_edges
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.execution.tasks import rows_of_tasks, run_on_partitions, task_stem
from strata.pipelines.kernels.runs import distinct_pairs
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.layout.records import TableFile
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import WrittenFile

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["EdgeFiles", "edge_frame", "load_edges", "write_edges", "write_frame"]

BATCH_BYTES = 4_000_000
EDGE_COLUMNS = "a long, b long, similarity float, equal boolean"
ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class EdgeFiles:
    """Files of the table, and how many pairs they hold."""

    urls: tuple[str, ...]
    rows: int

    @classmethod
    def of(cls, files: Iterable[TableFile | WrittenFile]) -> EdgeFiles:
        """Files that are in the table, or will be."""
        listed = list(files)
        return cls(tuple(file.url for file in listed), sum(file.rows for file in listed))

    def plus(self, files: Iterable[WrittenFile]) -> EdgeFiles:
        """These files and others."""
        more = EdgeFiles.of(files)
        return EdgeFiles(self.urls + more.urls, self.rows + more.rows)


def load_edges(store: Store, urls: Sequence[str]) -> pa.Table:
    """The rows of some files, as one table of EDGE_SCHEMA."""
    batches = [
        pa.RecordBatch.from_arrays(batch.columns, schema=EDGE_SCHEMA)
        for url in urls
        for batch in read_batches(store, Url.parse(url), EDGE_SCHEMA.names, None, BATCH_BYTES)
    ]
    return pa.Table.from_batches(batches, EDGE_SCHEMA)


def write_edges(
    context: StageContext, results: Sequence[ScanResult], known: EdgeFiles, driver_edges: int
) -> list[WrittenFile]:
    """Write the edges that were found, without those already known, as files of the table.

    Args:
        context: the corpus.
        results: the edges that the scans found; an edge may be in several of them.
        known: files of the table that stay in it.
        driver_edges: how many edges the driver may hold.
    """
    found = sum(result.edges for result in results)
    if found + known.rows <= driver_edges:
        return _on_driver(context, results, known.urls)
    return _on_spark(context, results, known.urls)


def _on_driver(
    context: StageContext, results: Sequence[ScanResult], known: Sequence[str]
) -> list[WrittenFile]:
    fresh = new_edges(read_edges(context.store, results), load_edges(context.store, known))
    batches = iter(fresh.to_batches(max_chunksize=ROWS))
    return TableTarget.of(context, "edges").write(batches, "edges-driver").files


def new_edges(found: pa.Table, known: pa.Table) -> pa.Table:
    """Every found pair once, in order of (a, b), without the known ones.

    A pair that was found both as similar and as equal counts as equal.
    """
    a, b = (np.concatenate([found[name].to_numpy(), known[name].to_numpy()]) for name in ("a", "b"))
    old = np.arange(len(a)) >= found.num_rows
    equal = np.concatenate(
        [each["equal"].to_numpy(zero_copy_only=False) for each in (found, known)]
    )
    rows = distinct_pairs(a, b, ~old, ~equal)
    return found.take(pa.array(rows[~old[rows]])).combine_chunks()


def _on_spark(
    context: StageContext, results: Sequence[ScanResult], known: Sequence[str]
) -> list[WrittenFile]:
    from pyspark.sql import functions as f

    found = edge_frame(context, [result.url for result in results if result.url is not None])
    fresh = found.groupBy("a", "b").agg(
        f.max("similarity").alias("similarity"), f.max("equal").alias("equal")
    )
    if known:
        before = edge_frame(context, known).select("a", "b")
        fresh = fresh.join(before, ["a", "b"], "left_anti")

    return write_frame(context, fresh)


def write_frame(context: StageContext, edges: DataFrame) -> list[WrittenFile]:
    """Write distinct edges as files of the table, sorted."""
    target = TableTarget.of(context, "edges")

    def write(batches: Iterator[pa.RecordBatch]) -> list[WrittenFile]:
        return target.write(batches, task_stem("edges")).files

    ordered = edges.repartitionByRange("a", "b").sortWithinPartitions("a", "b")
    return [file for files in run_on_partitions(ordered, write) for file in files]


def edge_frame(context: StageContext, urls: Sequence[str]) -> DataFrame:
    """Files of edges as a DataFrame: a, b (long), similarity (float), equal (boolean)."""
    storage = context.storage_options

    def read(url: str) -> Iterator[pa.RecordBatch]:
        yield from load_edges(open_store(storage), [url]).to_batches()

    return rows_of_tasks(context.spark(), urls, read, EDGE_COLUMNS)
