"""Building and writing the ledger: on the driver while the edges fit a bound, else on Spark.

A new ledger is compared with the previous one, to report documents that survived in that one and
are removed now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.dedup.direct_links import direct_edges, gather_members
from strata.pipelines.dedup.edges import EdgeFiles, edge_frame, load_edges
from strata.pipelines.dedup.election import Attributes, ledger_rows, needs_attributes
from strata.pipelines.dedup.ledger_report import LedgerSummary
from strata.pipelines.dedup.spark_components import PairFolder
from strata.pipelines.dedup.spark_ledger import (
    MEMBER_COLUMNS,
    plain_members,
    spark_direct_edges,
    spark_ledger,
)
from strata.pipelines.execution.cached_frames import cached
from strata.pipelines.execution.data_files import DataFile, RemovedBy
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.execution.tasks import (
    rows_of_tasks,
    run_on_partitions,
    run_tasks,
    task_stem,
)
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.tables.inputs import SourceIndex
from strata.pipelines.tables.removals import removed_ids
from strata.settings import LinkRule
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.reading.scan import read_batches
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import WrittenFile

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = [
    "DisplacedSurvivors",
    "WrittenLedger",
    "displaced_survivors",
    "ledger_of",
    "write_ledger",
]

ATTRIBUTES = pa.schema([("doc_id", pa.int64()), ("n_bytes", pa.int64()), ("source", pa.string())])
BATCH_BYTES = 4_000_000
# Two 64-bit ids, a similarity, and whether the texts are equal.
_EDGE_BYTES = 21
# A reason for removal, beside the methods of the ledger.
IN_OTHER_CORPUS = "in_other_corpus"
SHOWN = 10


@dataclass(slots=True)
class WrittenLedger:
    """The files of a ledger, and what they hold: documents removed by method, clusters.

    ``rounds`` is how many rounds of Spark the connected components took; 0 where the driver found
    them alone. ``cached`` says where Spark cached the edges that it made.
    """

    summary: LedgerSummary
    files: list[WrittenFile] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    clusters: int = 0
    largest: int = 0
    bytes_written: int = 0
    rounds: int = 0
    cached: dict[str, object] = field(default_factory=dict)

    @property
    def removing(self) -> tuple[DataFile, ...]:
        """The files, as the data files that say which documents are removed."""
        return tuple(DataFile.of_written(file, RemovedBy.CLUSTERS) for file in self.files)

    def count(self, rows: pa.RecordBatch, sources: SourceIndex) -> None:
        """Count some rows of the ledger."""
        self.summary.count(rows, sources)
        cached, ours = rows.column("kept"), pc.greater_equal(rows.column("kept_id"), 0)
        reasons = pc.if_else(ours, rows.column("method"), IN_OTHER_CORPUS).filter(pc.invert(cached))
        for name, number in zip(*reasons.value_counts().flatten(), strict=True):
            self.removed[name.as_py()] = self.removed.get(name.as_py(), 0) + number.as_py()
        self.clusters += cached.true_count
        sizes = rows.column("cluster_size").to_numpy()
        self.largest = max(self.largest, int(sizes.max(initial=0)))

    def add(self, other: WrittenLedger) -> None:
        """Add the part of another task."""
        self.summary.add(other.summary)
        self.files += other.files
        for name, number in other.removed.items():
            self.removed[name] = self.removed.get(name, 0) + number
        self.clusters += other.clusters
        self.largest = max(self.largest, other.largest)
        self.bytes_written += other.bytes_written


def write_ledger(
    context: StageContext, upstream: Upstream, edges: EdgeFiles, sources: SourceIndex
) -> WrittenLedger:
    """Turn the table `edges` into the files of `clusters`, sorted by document id.

    Both ways give the same rows; ``dedup.driver_edges`` chooses.

    Args:
        context: the corpus.
        upstream: what the stage stands on.
        edges: the table `edges`, up to date with it.
        sources: the sources by which the ledger is counted.
    """
    if edges.rows <= upstream.settings.driver_edges:
        return _on_driver(context, upstream, edges, sources)
    return _on_spark(context, upstream, edges, sources)


def _on_driver(
    context: StageContext, upstream: Upstream, edges: EdgeFiles, sources: SourceIndex
) -> WrittenLedger:
    rows = ledger_of(context, upstream, load_edges(context.store, edges.urls))
    return _write(TableTarget.of(context, "clusters"), sources, iter([rows]), "dedup-driver")


def ledger_of(context: StageContext, upstream: Upstream, edges: pa.Table) -> pa.RecordBatch:
    """The rows of `clusters` that follow from pairs of EDGE_SCHEMA, sorted by document.

    Clusters are made independently, so the pairs may be those of some of them.
    """
    settings = upstream.settings
    if settings.link is LinkRule.DIRECT:
        members = gather_members(context, edges, upstream.fingerprints)
        edges = direct_edges(edges, members, settings.survivor, settings.threshold)
    attributes = None
    if needs_attributes(settings.survivor):
        attributes = _attributes(context, edges, upstream.own_fingerprints)
    return ledger_rows(edges, settings.survivor, attributes)


def _attributes(
    context: StageContext, edges: pa.Table, fingerprints: Sequence[DataFile]
) -> Attributes:
    nodes = np.unique(np.concatenate([edges["a"].to_numpy(), edges["b"].to_numpy()]))
    storage = context.storage_options
    wanted = context.spark().sparkContext.broadcast(nodes)

    def gather(file: DataFile) -> pa.Table:
        found = [_only(batch, wanted.value) for batch in _attribute_batches(file.url, storage)]
        return pa.Table.from_batches(found, ATTRIBUTES)

    tables = run_tasks(context.spark(), gather, fingerprints)
    table = pa.concat_tables([ATTRIBUTES.empty_table(), *tables]).sort_by("doc_id")
    source = table["source"].to_numpy(zero_copy_only=False)
    return Attributes(table["doc_id"].to_numpy(), table["n_bytes"].to_numpy(), source)


def _only(batch: pa.RecordBatch, wanted: np.ndarray) -> pa.RecordBatch:
    return batch.filter(pa.array(np.isin(batch.column("doc_id").to_numpy(), wanted)))


def _attribute_batches(url: str, storage: StorageOptions) -> Iterator[pa.RecordBatch]:
    columns = ATTRIBUTES.names
    for batch in read_batches(open_store(storage), Url.parse(url), columns, None, BATCH_BYTES):
        # Required fields and field ids are the table's, not the shuffle's.
        yield pa.RecordBatch.from_arrays(batch.columns, schema=ATTRIBUTES)


def _on_spark(
    context: StageContext, upstream: Upstream, edges: EdgeFiles, sources: SourceIndex
) -> WrittenLedger:
    settings = upstream.settings
    storage, target, spark = (
        context.storage_options,
        TableTarget.of(context, "clusters"),
        context.spark(),
    )

    def write(batches: Iterator[pa.RecordBatch]) -> WrittenLedger:
        return _write(target, sources, batches, task_stem("dedup"))

    folder = PairFolder.of(context, "components")
    with ExitStack() as stack:
        frame = _spark_edges(context, upstream, edges, folder)
        kept_facts: dict[str, object] = {}
        if settings.link is LinkRule.DIRECT:
            # The ledger uses the stars several times; edges of a table are simply read again.
            stars = stack.enter_context(cached(frame, edges.rows, _EDGE_BYTES))
            frame, kept_facts = stars.frame, stars.facts
        ledger = spark_ledger(
            frame,
            rows_of_tasks(
                spark,
                [file.url for file in upstream.own_fingerprints],
                partial(_attribute_batches, storage=storage),
                "doc_id long, n_bytes long, source string",
            ),
            settings.survivor,
            folder,
            settings.driver_edges,
        )
        sorted_rows = ledger.rows.repartitionByRange("doc_id").sortWithinPartitions("doc_id")
        parts = run_on_partitions(sorted_rows, write)
    folder.clear()
    written = WrittenLedger(LedgerSummary.of(sources), rounds=ledger.rounds, cached=kept_facts)
    for part in parts:
        written.add(part)
    return written


def _spark_edges(
    context: StageContext, upstream: Upstream, edges: EdgeFiles, folder: PairFolder
) -> DataFrame:
    frame, settings = edge_frame(context, edges.urls), upstream.settings
    if settings.link is LinkRule.CLUSTER:
        return frame
    members = partial(plain_members, storage=context.storage_options)
    return spark_direct_edges(
        frame,
        rows_of_tasks(context.spark(), upstream.fingerprints, members, MEMBER_COLUMNS),
        settings.survivor,
        settings.threshold,
        folder,
        settings.driver_edges,
    )


def _write(
    target: TableTarget, sources: SourceIndex, batches: Iterator[pa.RecordBatch], stem: str
) -> WrittenLedger:
    """Write and count sorted rows of the ledger."""
    written = WrittenLedger(LedgerSummary.of(sources))

    def counted() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                written.count(batch, sources)
            yield batch

    rows = target.write(counted(), stem)
    written.files, written.bytes_written = rows.files, rows.bytes_written
    return written


@dataclass(frozen=True, slots=True)
class DisplacedSurvivors:
    """Survivors of the previous ledger that do not survive in the new one.

    Attributes:
        number: how many.
        first: the ``doc_id`` of the first few, ascending.
    """

    number: int
    first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Task:
    new: DataFile
    old: tuple[DataFile, ...]
    last_doc_id: int
    storage: StorageOptions


def displaced_survivors(
    context: StageContext,
    files: Sequence[WrittenFile],
    before: tuple[DataFile, ...],
    last_doc_id: int,
) -> DisplacedSurvivors:
    """Compare a written ledger with the previous one.

    New documents that link two clusters leave one survivor where there were two, and under rules
    other than "first" a new document may be the better survivor.

    Args:
        context: the corpus.
        files: the new ledger, not yet published.
        before: the files of the published one.
        last_doc_id: the largest document that the published ledger knows.
    """
    storage = context.storage_options
    tasks = [
        _Task(DataFile(file.url, reason=RemovedBy.CLUSTERS), before, last_doc_id, storage)
        for file in files
        if last_doc_id >= 0
    ]
    found = run_tasks(context.spark(), _compare, tasks)
    first = sorted(doc_id for each in found for doc_id in each.first)
    return DisplacedSurvivors(sum(each.number for each in found), tuple(first[:SHOWN]))


def _compare(task: _Task) -> DisplacedSurvivors:
    store = open_store(task.storage)
    removed = removed_ids([task.new], 0, task.last_doc_id, store)
    if not len(removed):
        return DisplacedSurvivors(0, ())
    before = removed_ids(task.old, int(removed[0]), int(removed[-1]), store)
    lost = np.setdiff1d(removed, before, assume_unique=True)
    return DisplacedSurvivors(len(lost), tuple(lost[:SHOWN].tolist()))
