"""Statistics of a ledger for dedup's report: cluster sizes, largest clusters, sources.

They are counted while the ledger is written, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from strata.pipelines.execution.details import (
    DedupDetails,
    DuplicateFacts,
    LargeCluster,
    SizeClass,
    SourceMatrix,
)
from strata.pipelines.execution.stage import Counters, StageContext, StageReport
from strata.pipelines.execution.tasks import TaskCost, run_tasks
from strata.pipelines.tables.inputs import SourceIndex
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.layout.records import TableFile
from strata.storage.reading.row_lookup import find_rows
from strata.storage.stores.opening import open_store
from strata.storage.transfer.metering import MeteredStore

__all__ = ["LedgerSummary", "first_line", "report_duplicates"]

MAX_LARGEST_CLUSTERS = 10
# A cluster of at most 2^63 documents: its size has a power of two below 64.
POWERS = 64
MAX_REPORTED_SOURCES = 12
OTHER = "other sources"
REFERENCE_CORPORA = "another corpus"
COLUMNS = ["doc_id", "id", "source", "text"]
LINE = 120
# The first line with a word in it is looked for in this many leading characters.
HEAD = 4096


@dataclass(slots=True)
class LedgerSummary:
    """Counts of the rows of a ledger; the counts of its parts add up to those of the whole.

    Attributes:
        clusters: int64[64], clusters by the power of two that their size reaches.
        removed: int64[64], removed documents by the same power of two of their cluster's size.
        pairs: int64[s, s], removed documents by their source and that of the survivor; s sources.
        largest: the largest clusters, as (size, doc_id of the survivor); the smaller id first
            where sizes are equal.
    """

    clusters: np.ndarray
    removed: np.ndarray
    pairs: np.ndarray
    largest: list[tuple[int, int]]

    @classmethod
    def of(cls, sources: SourceIndex) -> LedgerSummary:
        """The summary of no rows."""
        powers, places = (POWERS,), (sources.places, sources.places)
        return cls(np.zeros(powers, int), np.zeros(powers, int), np.zeros(places, int), [])

    def count(self, rows: pa.RecordBatch, sources: SourceIndex) -> None:
        """Count some rows of `clusters`."""
        kept = rows.column("kept").to_numpy(zero_copy_only=False)
        size, kept_id = rows.column("cluster_size").to_numpy(), rows.column("kept_id").to_numpy()
        power = np.frexp(size.astype(float))[1] - 1
        self.clusters += np.bincount(power[kept], minlength=POWERS)
        self.removed += np.bincount(power[~kept], minlength=POWERS)
        own = sources.of(rows.column("doc_id").to_numpy()[~kept])
        pair = own.astype(np.int64) * sources.places + sources.of(kept_id[~kept])
        self.pairs += np.bincount(pair, minlength=sources.places**2).reshape(self.pairs.shape)
        self.largest = _largest_first([*self.largest, *_largest(size[kept], kept_id[kept])])

    def add(self, other: LedgerSummary) -> None:
        """Add the summary of another part of the ledger."""
        self.clusters += other.clusters
        self.removed += other.removed
        self.pairs += other.pairs
        self.largest = _largest_first([*self.largest, *other.largest])

    def sizes(self) -> list[SizeClass]:
        """Clusters by size, up to the largest there is."""
        filled = np.flatnonzero(self.clusters + self.removed)
        powers = range(min(1, *filled), max(filled) + 1) if len(filled) else ()
        return [
            SizeClass(1 << p, (2 << p) - 1, int(self.clusters[p]), int(self.removed[p]))
            for p in powers
        ]

    def matrix(self, sources: SourceIndex) -> SourceMatrix:
        """The sources with the most removed documents and survivors; all others as one."""
        weight = self.pairs.sum(axis=0) + self.pairs.sum(axis=1)
        named = [place for place in np.flatnonzero(weight).tolist() if place != sources.other]
        named.sort(key=lambda place: (-weight[place], place))
        shown, rest = named[:MAX_REPORTED_SOURCES], [*named[MAX_REPORTED_SOURCES:], sources.other]
        groups = [[place] for place in shown] + ([rest] if weight[rest].any() else [])
        names = [REFERENCE_CORPORA if p == sources.reference else sources.names[p] for p in shown]
        return SourceMatrix(
            names=(*names, OTHER)[: len(groups)],
            removed=tuple(
                tuple(int(self.pairs[np.ix_(mine, theirs)].sum()) for theirs in groups)
                for mine in groups
            ),
        )


def _largest_first(clusters: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The largest ten of clusters given as (size, doc_id of the survivor)."""
    return sorted(clusters, key=lambda cluster: (-cluster[0], cluster[1]))[:MAX_LARGEST_CLUSTERS]


def _largest(size: np.ndarray, kept_id: np.ndarray) -> list[tuple[int, int]]:
    if len(size) > MAX_LARGEST_CLUSTERS:
        least = np.partition(size, -MAX_LARGEST_CLUSTERS)[-MAX_LARGEST_CLUSTERS]
        # Most clusters have two members: among those of the smallest size only the first matter.
        equal = np.sort(kept_id[size == least])[:MAX_LARGEST_CLUSTERS]
        larger = size > least
        size = np.concatenate([size[larger], np.full(len(equal), least)])
        kept_id = np.concatenate([kept_id[larger], equal])
    return list(zip(size.tolist(), kept_id.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class _SampleTask:
    url: str
    sizes: Mapping[int, int]
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class _Samples:
    clusters: tuple[LargeCluster, ...]
    counters: Counters


def report_duplicates(
    context: StageContext,
    summary: LedgerSummary,
    documents: Sequence[TableFile],
    sources: SourceIndex,
    report: StageReport[DedupDetails],
) -> None:
    """Add the facts of a ledger to the details of dedup's report.

    Args:
        context: the corpus.
        summary: the ledger.
        documents: the files of `documents`, from which the survivors of large clusters are shown.
        sources: the sources by which it was counted.
        report: the report to add to.
    """
    largest: list[LargeCluster] = []
    for samples in run_tasks(context.spark(), _sample, _tasks(context, summary, documents)):
        largest += samples.clusters
        report.counters.add(samples.counters)
    facts = DuplicateFacts(
        sizes=tuple(summary.sizes()),
        largest=tuple(sorted(largest, key=lambda cluster: (-cluster.size, cluster.doc_id))),
        sources=summary.matrix(sources),
    )
    report.details.duplicates = facts


def _tasks(
    context: StageContext, summary: LedgerSummary, documents: Sequence[TableFile]
) -> list[_SampleTask]:
    """A task for each file that may hold a survivor; text is read by workers alone."""
    tasks = []
    for file in documents if summary.largest else ():
        inside = {
            doc_id: size
            for size, doc_id in summary.largest
            if file.min_doc_id <= doc_id <= file.max_doc_id
        }
        if inside:
            tasks.append(_SampleTask(file.url, inside, context.storage_options))
    return tasks


def _sample(task: _SampleTask) -> _Samples:
    cost, store = TaskCost(), MeteredStore(open_store(task.storage))
    wanted = np.array(sorted(task.sizes), np.int64)
    clusters = tuple(
        LargeCluster(
            size=task.sizes[row["doc_id"]],
            doc_id=row["doc_id"],
            id=row["id"],
            source=row["source"],
            sample=first_line(row["text"]),
        )
        for batch in find_rows(store, Url.parse(task.url), "doc_id", COLUMNS, wanted)
        for row in batch.to_pylist()
    )
    return _Samples(clusters, cost.counters(store.meter))


def first_line(text: str) -> str:
    """The first line of a text that has a letter or digit, shortened, its white space single."""
    lines = (" ".join(line.split()) for line in text[:HEAD].splitlines())
    worded = (line for line in lines if any(map(str.isalnum, line)))
    return next(worded, " ".join(text[:HEAD].split()))[:LINE]
