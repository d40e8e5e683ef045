"""The decontamination stage: finds the documents that contain benchmark items, for `contained`.

An item is a document of a benchmark corpus in the same catalog. Documents that an earlier run
searched for the same items are not read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from strata.pipelines.decontamination.items import (
    IndexCounts,
    IndexFile,
    IndexTask,
    write_item_index,
)
from strata.pipelines.decontamination.matches import Contamination, summarize
from strata.pipelines.decontamination.search import (
    ContainmentResult,
    ContainmentTask,
    find_contained,
)
from strata.pipelines.execution.details import DecontaminateDetails
from strata.pipelines.execution.row_groups import deal_parts
from strata.pipelines.execution.stage import (
    Counters,
    StageContext,
    StageReport,
    StageStatus,
    Stopwatch,
)
from strata.pipelines.execution.table_target import TableTarget
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.lineage.coverage import (
    Watermark,
    current_watermark,
    watermark_of,
    watermark_properties,
)
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.lineage.keys import contained_key, item_key
from strata.pipelines.lineage.staleness import is_contained_current
from strata.pipelines.tables.other_corpora import BenchmarkCorpus, benchmark_corpora
from strata.pipelines.tables.state import TableStates
from strata.storage.layout.records import TableFile
from strata.storage.tables.publish import PublishMode, publish

__all__ = ["run_decontaminate"]


@dataclass(frozen=True, slots=True)
class _Search:
    """What a search found, and how it is published.

    Attributes:
        counts: the counts of the items that were looked for.
        results: the results of the tasks.
        documents: documents that were searched, including those of earlier runs.
        mode: whether the rows are appended to those of earlier runs.
        properties: those of the snapshot.
    """

    counts: IndexCounts
    results: list[ContainmentResult]
    documents: int
    mode: PublishMode
    properties: Mapping[str, str]


_NOTHING = _Search(IndexCounts(0, 0, 0, Counters()), [], 0, PublishMode.OVERWRITE, {})


def run_decontaminate(context: StageContext) -> StageReport[DecontaminateDetails] | None:
    """Search the documents for benchmark items and publish which document contains which item.

    Returns:
        None where the settings name no benchmark corpus, and named none before.

    Raises:
        SettingsError: a benchmark corpus does not exist, or there are too many items.
        InputMissingError: a benchmark corpus has no documents.
        BalanceError: a document was not searched, or twice.
        ConflictError: a retraction is in progress.
    """
    watch = Stopwatch()
    guard = RetractionGuard.begin(context.corpus)
    settings = context.settings.dedup
    tables = TableStates.load(context.corpus, ("documents", "contained"))
    corpora = benchmark_corpora(context.corpus, settings)
    documents_key = tables.table("documents").content_key or ""
    key = contained_key(documents_key, settings, corpora)
    report = StageReport("decontaminate", key, details=DecontaminateDetails())
    if is_contained_current(tables.table("contained"), report.key):
        report.status = StageStatus.SKIPPED
        return report if corpora else None
    watch.lap("plan")
    # Without benchmark corpora, matches of an earlier run must no longer remove anything.
    search = _search(context, tables, corpora, watch) if corpora else _NOTHING
    report.rows_in = current_watermark(tables.table("documents").files()).documents
    report.rows_out = search.documents if corpora else report.rows_in
    report.check_balance()
    guard.check(["contained"])
    written = [file for result in search.results for file in result.files]
    publish(
        context.corpus.table("contained"),
        written,
        mode=search.mode,
        content_key=report.key,
        run_id=context.run_id,
        extra=search.properties,
    )
    kept = search.mode is PublishMode.APPEND
    before = tables.table("contained").files() if kept else []
    urls = [*(file.url for file in before), *(file.url for file in written)]
    _fill_report(summarize(tables, corpora, urls, context.store), search, report)
    watch.lap("publish")
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def _search(
    context: StageContext,
    tables: TableStates,
    corpora: Sequence[BenchmarkCorpus],
    watch: Stopwatch,
) -> _Search:
    """Search the documents that no earlier run searched for the same items."""
    documents, settings_key = tables.table("documents"), item_key(context.settings.dedup, corpora)
    watermark = watermark_of(documents, tables.table("contained"), settings_key)
    files = documents.files()
    context.spark()
    watch.lap("wait for Spark")
    folder = context.staging
    items = IndexFile(folder / "items.npz", context.storage_options)
    counts = _make_item_index(context, corpora, items)
    watch.lap("index the items")
    results = _scan(context, files, corpora, items, watermark)
    context.store.delete(items.url)
    watch.lap("search the documents")
    return _Search(
        counts=counts,
        results=results,
        documents=watermark.documents + sum(result.documents for result in results),
        mode=PublishMode.APPEND if watermark.documents else PublishMode.OVERWRITE,
        properties=watermark_properties(
            current_watermark(files),
            documents_key=documents.content_key or "",
            settings_key=settings_key,
        ),
    )


def _make_item_index(
    context: StageContext, corpora: Sequence[BenchmarkCorpus], target: IndexFile
) -> IndexCounts:
    settings = context.settings.dedup
    task = IndexTask(
        corpora=tuple(corpus.urls for corpus in corpora),
        ngram=settings.contain_ngram,
        least_words=settings.contain_words,
        share=settings.containment,
        limit=settings.contain_limit,
        target=target,
    )
    context.progress.start("decontaminate", "index the items", 1)
    (counts,) = run_tasks(context.spark(), write_item_index, [task])
    context.progress.finish()
    return counts


def _scan(
    context: StageContext,
    files: Sequence[TableFile],
    corpora: Sequence[BenchmarkCorpus],
    items: IndexFile,
    watermark: Watermark,
) -> list[ContainmentResult]:
    new = [file for file in files if file.max_doc_id > watermark.last_doc_id]
    target = TableTarget.of(context, "contained")
    names = tuple(corpus.name for corpus in corpora)
    tasks = [
        ContainmentTask(parts, watermark.last_doc_id, items, names, target)
        for parts in deal_parts(context, new, target.layout)
    ]
    context.progress.start("decontaminate", "search the documents", len(tasks))
    results = run_tasks(context.spark(), find_contained, tasks)
    context.progress.finish()
    return results


def _fill_report(
    found: Contamination, search: _Search, report: StageReport[DecontaminateDetails]
) -> None:
    report.removed = {"contaminated": found.documents} if found.documents else {}
    report.rows_out -= found.documents
    report.check_balance()
    report.details = DecontaminateDetails(
        items=search.counts.items,
        items_too_short=search.counts.too_short,
        ngrams=search.counts.ngrams,
        searched_documents=sum(result.documents for result in search.results),
        documents_by_corpus=dict(found.documents_by_corpus),
        items_found=dict(found.items_found),
        top_items=dict(found.top_items),
        top_documents=dict(found.top_documents),
    )
    for counters in (search.counts.counters, *(result.counters for result in search.results)):
        report.counters.add(counters)
