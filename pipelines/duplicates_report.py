"""What the report of dedup tells of the ledger: cluster sizes, largest clusters, sources."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass

import numpy as np

from strata.pipelines.ledger_summary import LedgerSummary
from strata.pipelines.sources import read_sources
from strata.pipelines.stage import Counters, StageContext, StageReport
from strata.pipelines.tasks import TaskCost, run_tasks
from strata.storage.row_lookup import find_rows
from strata.storage.store import FsspecStore, MeteredStore, StorageOptions
from strata.storage.url import Url

__all__ = ["first_line", "report_duplicates"]

COLUMNS = ["doc_id", "id", "source", "text"]
LINE = 120
# The first line with a word in it is sought in so many characters.
HEAD = 4096


@dataclass(frozen=True, slots=True)
class _Survivor:
    doc_id: int
    id: str
    source: str
    sample: str


@dataclass(frozen=True, slots=True)
class _SampleTask:
    url: str
    doc_ids: tuple[int, ...]
    storage: StorageOptions


@dataclass(frozen=True, slots=True)
class _Samples:
    survivors: tuple[_Survivor, ...]
    counters: Counters


def report_duplicates(context: StageContext, summary: LedgerSummary, report: StageReport) -> None:
    """Add the summary of a ledger to the report of dedup, as ``details["duplicates"]``."""
    found = {}
    for samples in run_tasks(context.spark(), _sample, _tasks(context, summary)):
        found |= {survivor.doc_id: survivor for survivor in samples.survivors}
        report.counters.add(samples.counters)
    sources = read_sources(context.corpus, context.store)
    report.details["duplicates"] = {
        "sizes": [asdict(each) for each in summary.sizes()],
        "largest": [{"size": size, **asdict(found[doc_id])} for size, doc_id in summary.largest],
        "sources": asdict(summary.matrix(sources)),
    }


def _tasks(context: StageContext, summary: LedgerSummary) -> list[_SampleTask]:
    """A task for each file that may hold a survivor; text is read by workers alone."""
    doc_ids = [doc_id for _, doc_id in summary.largest]
    wanted: dict[str, list[int]] = defaultdict(list)
    for file in context.corpus.table("documents").files() if doc_ids else ():
        for doc_id in doc_ids:
            if file.min_doc_id <= doc_id <= file.max_doc_id:
                wanted[file.url].append(doc_id)
    return [_SampleTask(url, tuple(ids), context.storage_options) for url, ids in wanted.items()]


def _sample(task: _SampleTask) -> _Samples:
    cost, store = TaskCost(), MeteredStore(FsspecStore(task.storage))
    wanted = np.array(sorted(task.doc_ids), np.int64)
    survivors = tuple(
        _Survivor(row["doc_id"], row["id"], row["source"], first_line(row["text"]))
        for batch in find_rows(store, Url.parse(task.url), "doc_id", COLUMNS, wanted)
        for row in batch.to_pylist()
    )
    return _Samples(survivors, cost.counters(store.meter))


def first_line(text: str) -> str:
    """The first line of a text that has a letter or digit, shortened, its white space single."""
    lines = (" ".join(line.split()) for line in text[:HEAD].splitlines())
    worded = (line for line in lines if any(map(str.isalnum, line)))
    return next(worded, " ".join(text[:HEAD].split()))[:LINE]
