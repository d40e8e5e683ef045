"""Passage deduplication in the dedup stage: passages that repeat earlier ones, as `cuts`.

Lines, paragraphs and runs of words are found in passes over the texts of the survivors and compared
by their hashes. The first occurrence stays, in the order of documents and of places in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from strata.pipelines.execution.data_files import DataFile, RemovedBy, RowGroups, data_files
from strata.pipelines.execution.details import DedupDetails, PassageCounts
from strata.pipelines.execution.row_groups import token_parts
from strata.pipelines.execution.stage import StageContext, StageReport, StageStatus, Stopwatch
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.lineage.keys import wants_cuts
from strata.pipelines.lineage.staleness import contained_files, cuts_are_current
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.passages.collectors import (
    AnchorCollector,
    CollectedRows,
    Collector,
    RunCollector,
    UnitCollector,
)
from strata.pipelines.passages.regroup import regroup
from strata.pipelines.passages.rows import PassageKind, PassageRows, PassageTask, find_passage_rows
from strata.settings import DedupSettings, Passage
from strata.storage.contracts.url import Url
from strata.storage.layout.properties import CUT_CONTAINED, CUT_DOCUMENTS, CUT_LEDGER
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.tiers import tier_of_table

__all__ = ["add_cuts"]

SUBSTRING = "substring"


@dataclass(frozen=True, slots=True)
class _Survivors:
    """The documents whose passages are compared.

    Attributes:
        documents: number of documents before any is removed.
        parts: their row groups, by task.
        ledger: the files that say which of them are removed.
    """

    documents: int
    parts: Sequence[tuple[RowGroups, ...]]
    ledger: tuple[DataFile, ...]


def add_cuts(
    context: StageContext,
    upstream: Upstream,
    guard: RetractionGuard,
    report: StageReport[DedupDetails],
    clusters: tuple[DataFile, ...] | None = None,
) -> StageReport[DedupDetails]:
    """Bring `cuts` up to date with the ledger that the dedup stage has just made.

    Args:
        context: the corpus.
        upstream: the upstream state of the dedup stage.
        guard: the retraction guard with which it began.
        report: the report of the ledger; its key is the ledger's.
        clusters: the files of the ledger where this run made it; None where it was there already.

    Raises:
        BalanceError: a pass did not see every document.
        ConflictError: documents were retracted meanwhile.
    """
    if cuts_are_current(upstream):
        return report
    watch = Stopwatch()
    collected = _find(context, upstream, clusters, report, watch)
    files = [file for each in collected for file in each.cuts]
    guard.check(["cuts"])
    publish(
        context.corpus.table("cuts"),
        files,
        mode=PublishMode.OVERWRITE,
        content_key=upstream.cuts_key,
        run_id=context.run_id,
        extra={
            CUT_DOCUMENTS: upstream.documents_key,
            CUT_LEDGER: report.key,
            CUT_CONTAINED: upstream.table("contained").content_key or "",
        },
    )
    watch.lap("publish cuts")
    report.status = StageStatus.DONE
    report.counters.files_written += len(files)
    report.seconds += watch.seconds
    for phase, seconds in watch.phases.items():
        report.phases[phase] = report.phases.get(phase, 0.0) + seconds
    return report


def _find(
    context: StageContext,
    upstream: Upstream,
    clusters: tuple[DataFile, ...] | None,
    report: StageReport[DedupDetails],
    watch: Stopwatch,
) -> list[CollectedRows]:
    settings = upstream.settings
    if not wants_cuts(settings):
        return []
    context.spark()
    watch.lap("wait for Spark")
    if clusters is None:
        clusters = data_files(upstream.table("clusters").files(), reason=RemovedBy.CLUSTERS)
    documents = upstream.table("documents").files()
    remaining = _Survivors(
        sum(file.rows for file in documents),
        token_parts(context, documents),
        (*clusters, *contained_files(upstream)),
    )
    collected: list[CollectedRows] = []
    if settings.passages is not Passage.NONE:
        collected += _units(context, remaining, settings, report)
        watch.lap(f"find repeated {settings.passages}s")
    if settings.substring_words is not None:
        collected += _runs(context, remaining, settings.substring_words, report)
        watch.lap("find repeated runs of words")
    return collected


def _units(
    context: StageContext,
    remaining: _Survivors,
    settings: DedupSettings,
    report: StageReport[DedupDetails],
) -> list[CollectedRows]:
    tier = tier_of_table(context.settings, "cuts")
    folder = tier.folder(context.settings.corpus, "cuts")
    granularity = settings.passages
    kind, words = PassageKind(granularity), settings.passage_words
    found = _scan(context, remaining, kind, words, (), report)
    return _compare(context, found, UnitCollector(str(granularity), folder, tier.layout), report)


def _runs(
    context: StageContext, remaining: _Survivors, width: int, report: StageReport[DedupDetails]
) -> list[CollectedRows]:
    tier = tier_of_table(context.settings, "cuts")
    folder = tier.folder(context.settings.corpus, "cuts")
    anchors = _scan(context, remaining, PassageKind.ANCHOR, width, (), report)
    places = _compare(context, anchors, AnchorCollector(context.staging), report)
    shared = tuple(each.anchors.file for each in places if each.anchors is not None)
    found = _scan(context, remaining, PassageKind.RUN, width, shared, report)
    for file in shared:
        context.store.delete(Url.parse(file.url))
    collector = RunCollector(SUBSTRING, folder, tier.layout, width)
    return _compare(context, found, collector, report)


def _scan(
    context: StageContext,
    remaining: _Survivors,
    kind: PassageKind,
    words: int,
    anchors: tuple[DataFile, ...],
    report: StageReport[DedupDetails],
) -> list[PassageRows]:
    """Read the survivors, and check that no document was missed."""
    folder, storage = context.staging, context.storage_options
    tasks = [
        PassageTask(parts, remaining.ledger, kind, words, anchors, folder, storage)
        for parts in remaining.parts
    ]
    context.progress.start("dedup", f"read survivors, find {kind}s", len(tasks))
    found = run_tasks(context.spark(), find_passage_rows, tasks)
    context.progress.finish()
    _fill_report(found, remaining.documents, report)
    return found


def _fill_report(
    found: Sequence[PassageRows], documents: int, report: StageReport[DedupDetails]
) -> None:
    read = sum(each.documents for each in found)
    removed = sum(each.removed for each in found)
    for each in found:
        report.counters.add(each.counters)
    if report.status is StageStatus.SKIPPED:
        # The ledger was there already: its removals are not known by method here.
        report.rows_in = documents
        report.rows_out = read - removed
        report.removed = {"duplicate": removed} if removed else {}
    replace(report, rows_out=read, rejected={}, removed={}).check_balance()


def _compare(
    context: StageContext,
    found: Sequence[PassageRows],
    collector: Collector,
    report: StageReport[DedupDetails],
) -> list[CollectedRows]:
    files = [each.file for each in found if each.file is not None]
    context.progress.start("dedup", "compare passages", 0)
    done = regroup(context, files, collector)
    context.progress.finish()
    for each in done:
        report.counters.add(each.counters)
    if isinstance(collector, UnitCollector):
        counts = PassageCounts(
            compared=sum(file.rows for file in files),
            cut=sum(file.rows for each in done for file in each.cuts),
            bytes_cut=sum(each.bytes_cut for each in done),
        )
        before = report.details.passages or {}
        report.details.passages = before | {collector.granularity: counts}
    return done
