"""What the report of dedup tells of the ledger: cluster sizes, largest clusters, sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from strata.pipelines.ledger_summary import LedgerSummary, SizeClass, SourceMatrix
from strata.pipelines.sources import read_sources
from strata.pipelines.stage import Counters, StageContext, StageReport
from strata.pipelines.tasks import TaskCost, run_tasks
from strata.storage.row_lookup import find_rows
from strata.storage.store import MeteredStore, StorageOptions, open_store
from strata.storage.url import Url

__all__ = ["DUPLICATES", "DuplicateFacts", "LargeCluster", "first_line", "report_duplicates"]

# The name of the facts in the details of a stage.
DUPLICATES = "duplicates"

COLUMNS = ["doc_id", "id", "source", "text"]
LINE = 120
# The first line with a word in it is sought in so many characters.
HEAD = 4096


@dataclass(frozen=True, slots=True)
class LargeCluster:
    """A cluster: its size, its survivor, and a line of the survivor's text."""

    size: int
    doc_id: int
    id: str
    source: str
    sample: str


@dataclass(frozen=True, slots=True)
class DuplicateFacts:
    """What a ledger looks like: clusters by size, the ten largest ones, who duplicates whom."""

    sizes: tuple[SizeClass, ...]
    largest: tuple[LargeCluster, ...]
    sources: SourceMatrix


@dataclass(frozen=True, slots=True)
class _SampleTask:
    url: str
    sizes: Mapping[int, int]
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class _Samples:
    clusters: tuple[LargeCluster, ...]
    counters: Counters


def report_duplicates(context: StageContext, summary: LedgerSummary, report: StageReport) -> None:
    """Add the facts of a ledger to the details of dedup's report."""
    largest: list[LargeCluster] = []
    for samples in run_tasks(context.spark(), _sample, _tasks(context, summary)):
        largest += samples.clusters
        report.counters.add(samples.counters)
    sources = read_sources(context.corpus, context.store)
    facts = DuplicateFacts(
        sizes=tuple(summary.sizes()),
        largest=tuple(sorted(largest, key=lambda cluster: (-cluster.size, cluster.doc_id))),
        sources=summary.matrix(sources),
    )
    report.details[DUPLICATES] = asdict(facts)


def _tasks(context: StageContext, summary: LedgerSummary) -> list[_SampleTask]:
    """A task for each file that may hold a survivor; text is read by workers alone."""
    tasks = []
    for file in context.corpus.table("documents").files() if summary.largest else ():
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
