"""Connected components on Spark, for more edges than the driver should hold.

Local contractions (Łącki, Mirrokni, Włodarczyk: "Connected Components at Scale via Local
Contractions", 2018, section 3): in a round every node joins the neighbour that comes first in a
random order, if it comes before the node itself, and the graph of the joined nodes is the next one.
It has about half of the nodes, so all rounds together cost twice the first; a graph small enough is
finished by the driver. Labels then flow back through the rounds.

Between one Spark job and the next, the pairs of 64-bit numbers are kept in files of the run's
staging folder: a local checkpoint is lost with its executor, and a reliable one needs a Hadoop
filesystem. These files are on the store of the warehouse, their row counts are known, and they are
deleted once they have been read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pyarrow as pa

from strata.errors import BalanceError
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.staging import StagedWriter
from strata.pipelines.execution.tasks import rows_of_tasks, run_on_partitions, task_stem
from strata.pipelines.kernels.columns import Columns
from strata.pipelines.kernels.components import components, scramble, unscramble
from strata.storage.contracts.store import Store
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Change", "ComponentLabels", "PairBatch", "PairFiles", "PairFolder", "spark_components"]

# A round halves the nodes: 2^64 nodes need no more rounds than this.
MAX_ROUNDS = 64
# This many edges of a partition are reduced to a forest at once, in some 60 bytes each.
FOREST_EDGES = 1_000_000
SCHEMA = pa.schema([("x", pa.int64()), ("y", pa.int64())])
BATCH_BYTES = 4_000_000
# A task that reads fewer pairs costs more to start than to run.
TASK_PAIRS = 1_000_000


@dataclass(frozen=True, slots=True)
class ComponentLabels:
    """Which nodes are connected.

    Attributes:
        files: pairs of a node and a node of its component, the same for the whole component.
        rounds: how many rounds Spark made before the driver took over.
    """

    files: PairFiles
    rounds: int


def spark_components(edges: DataFrame, folder: PairFolder, driver_edges: int) -> ComponentLabels:
    """Label the nodes of a graph by component.

    Args:
        edges: two long columns; direction, repetition and self loops do not matter.
        folder: where the graph of each round is kept.
        driver_edges: a graph with at most this many edges is finished by the driver.

    Raises:
        BalanceError: no convergence; a defect.
    """
    graph = folder.write(edges, _forests)
    joins: list[PairFiles] = []
    while graph.rows > driver_edges:
        if len(joins) == MAX_ROUNDS:
            raise BalanceError(
                f"connected components did not converge in {MAX_ROUNDS} rounds",
                hint="this is a defect, please report it",
            )
        joins.append(_join_neighbours(folder, graph, order=len(joins)))
        smaller = _contract(folder, graph, joins[-1])
        folder.delete(graph)
        graph = smaller
    labels = _finish_on_driver(folder, graph)
    folder.delete(graph)
    return ComponentLabels(_propagate_labels(folder, joins, labels), len(joins))


def _join_neighbours(folder: PairFolder, graph: PairFiles, order: int) -> PairFiles:
    """Pairs of a node and the node that it joins, which may be itself."""
    from pyspark.sql import functions as f

    edges = folder.read(graph, ("u", "v"), _scrambling(order))
    both = edges.union(edges.select("v", "u"))
    first = both.groupBy("u").agg(f.min("v").alias("v"))
    return folder.write(first.select("u", f.least("u", "v")), _unscrambling(order))


def _contract(folder: PairFolder, graph: PairFiles, joins: PairFiles) -> PairFiles:
    """The graph of the joined nodes."""
    edges = folder.read(graph, ("u", "v"))
    left = folder.read(joins, ("u", "a"))
    right = folder.read(joins, ("v", "b"))
    smaller = edges.join(left, "u").join(right, "v").select("a", "b").where("a <> b")
    return folder.write(smaller, _forests)


def _finish_on_driver(folder: PairFolder, graph: PairFiles) -> PairFiles:
    edges = folder.load(graph)
    found = components(edges.x, edges.y)
    return folder.save(PairBatch(found.nodes, found.root))


def _propagate_labels(folder: PairFolder, joins: list[PairFiles], labels: PairFiles) -> PairFiles:
    from pyspark.sql import functions as f

    known = folder.read(labels, ("node", "root"))
    for files in reversed(joins):
        joined = folder.read(files, ("node", "v"))
        above = known.select(f.col("node").alias("v"), "root")
        # A component that was contracted to one node is not in the next graph.
        known = joined.join(above, "v", "left").select(
            "node", f.coalesce("root", "v").alias("root")
        )
    result = folder.write(known) if joins else labels
    for files in joins:
        folder.delete(files)
    if joins:
        folder.delete(labels)
    return result


def _scrambling(order: int) -> Change:
    def change(parts: Iterator[PairBatch]) -> Iterator[PairBatch]:
        return (PairBatch(scramble(part.x, order), scramble(part.y, order)) for part in parts)

    return change


def _unscrambling(order: int) -> Change:
    def change(parts: Iterator[PairBatch]) -> Iterator[PairBatch]:
        return (PairBatch(unscramble(part.x, order), unscramble(part.y, order)) for part in parts)

    return change


def _forests(parts: Iterator[PairBatch]) -> Iterator[PairBatch]:
    """Fewer edges that connect the same nodes: stars, from a bounded number of edges at a time."""
    waiting: list[PairBatch] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part.x)
        if count >= FOREST_EDGES:
            yield _forest(waiting)
            waiting, count = [], 0
    if waiting:
        yield _forest(waiting)


def _forest(parts: list[PairBatch]) -> PairBatch:
    pairs = PairBatch.join(parts)
    found = components(pairs.x, pairs.y)
    # A node whose only edge is to itself keeps it, or it would be lost.
    leaf = found.nodes != found.root
    lonely = ~np.isin(found.nodes, found.root[leaf]) & ~leaf
    kept = leaf | lonely
    return PairBatch(found.nodes[kept], found.root[kept])


@dataclass(frozen=True, slots=True)
class PairBatch(Columns):
    """Some pairs: int64[n] and int64[n]."""

    x: np.ndarray
    y: np.ndarray


Change = Callable[[Iterator[PairBatch]], Iterator[PairBatch]]
"""What a worker does to pairs on their way from or to a file."""


def _unchanged(parts: Iterator[PairBatch]) -> Iterator[PairBatch]:
    return parts


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Files of pairs, and how many pairs they hold."""

    urls: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class PairFolder:
    """A folder for files of pairs, and the session whose workers read and write them.

    Attributes:
        spark: the session.
        store: where the folder is.
        folder: the folder.
        task_pairs: a task reads at least this many pairs, if there are as many.
    """

    spark: SparkSession
    store: Store
    folder: Url
    task_pairs: int = TASK_PAIRS

    @classmethod
    def of(cls, context: StageContext, name: str) -> PairFolder:
        """A folder of this name for the run."""
        return cls(context.spark(), context.store, context.staging / name)

    def write(self, pairs: DataFrame, change: Change = _unchanged) -> PairFiles:
        """Write the two columns of a DataFrame, changed; each partition becomes a file."""
        store, folder = self.store, self.folder

        def write(batches: Iterator[pa.RecordBatch]) -> tuple[str, int]:
            url = folder / f"{task_stem('pairs')}.parquet"
            return str(url), _write(store, url, change(_pairs(batches)))

        files = [(url, rows) for url, rows in run_on_partitions(pairs, write) if rows]
        return PairFiles(tuple(url for url, _ in files), sum(rows for _, rows in files))

    def read(
        self, files: PairFiles, names: tuple[str, str], change: Change = _unchanged
    ) -> DataFrame:
        """The pairs, changed, as two long columns."""
        store = self.store

        def read(url: str) -> Iterator[pa.RecordBatch]:
            for pairs in change(_load(store, url)):
                columns = [pa.array(pairs.x), pa.array(pairs.y)]
                yield pa.RecordBatch.from_arrays(columns, list(names))

        schema = ", ".join(f"{name} long" for name in names)
        partitions = max(1, min(len(files.urls), files.rows // self.task_pairs))
        return rows_of_tasks(self.spark, files.urls, read, schema, partitions)

    def load(self, files: PairFiles) -> PairBatch:
        """All pairs, on the driver."""
        found = [PairBatch(np.empty(0, np.int64), np.empty(0, np.int64))]
        found += [pairs for url in files.urls for pairs in _load(self.store, url)]
        return PairBatch.join(found)

    def save(self, pairs: PairBatch) -> PairFiles:
        """Write pairs from the driver, in files small enough to be read in parallel."""
        urls = []
        for start in range(0, len(pairs.x), TASK_PAIRS):
            some = slice(start, start + TASK_PAIRS)
            urls.append(self.folder / f"pairs-driver-{uuid4().hex}.parquet")
            _write(self.store, urls[-1], iter([PairBatch(pairs.x[some], pairs.y[some])]))
        return PairFiles(tuple(map(str, urls)), len(pairs.x))

    def delete(self, files: PairFiles) -> None:
        """Remove files that nobody reads any more."""
        for url in files.urls:
            self.store.delete(Url.parse(url))

    def clear(self) -> None:
        """Remove all files, those of failed attempts too."""
        for file in self.store.find(self.folder):
            self.store.delete(file.url)


def _pairs(batches: Iterator[pa.RecordBatch]) -> Iterator[PairBatch]:
    for batch in batches:
        if batch.num_rows:
            yield PairBatch(batch.column(0).to_numpy(), batch.column(1).to_numpy())


def _load(store: Store, url: str) -> Iterator[PairBatch]:
    return _pairs(read_batches(store, Url.parse(url), SCHEMA.names, None, BATCH_BYTES))


def _write(store: Store, url: Url, parts: Iterator[PairBatch]) -> int:
    """Write a file, unless there is nothing to write; returns the number of pairs."""
    with StagedWriter(store, url, SCHEMA) as file:
        for pairs in parts:
            file.write(pa.table([pa.array(pairs.x), pa.array(pairs.y)], schema=SCHEMA))
    return file.rows
