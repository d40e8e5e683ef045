"""The dedup stage: from `fingerprints` to verified pairs, `edges`, and to the ledger, `clusters`.

Sorting in memory, or one shuffle, brings equal keys together: bands of similar documents, hashes of
equal ones, repeated ids. Each bucket is verified in place along star edges, connected components
join the edges, and the rules elect the survivor of each. Documents that an earlier run compared are
not compared again; a change of the survivor rules rebuilds only the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping

from strata.pipelines.dedup.edges import EdgeFiles, write_edges
from strata.pipelines.dedup.ledger import WrittenLedger, displaced_survivors, write_ledger
from strata.pipelines.dedup.ledger_report import report_duplicates
from strata.pipelines.dedup.search import EdgeSearch, find_edges
from strata.pipelines.dedup.verify_texts import verified_by_text
from strata.pipelines.evaluation.audit import audit_unpublished
from strata.pipelines.execution.data_files import RemovedBy, data_files
from strata.pipelines.execution.details import DedupDetails
from strata.pipelines.execution.stage import (
    StageContext,
    StageReport,
    StageStatus,
    Stopwatch,
)
from strata.pipelines.lineage.coverage import (
    Watermark,
    current_watermark,
    watermark_of,
    watermark_properties,
)
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.lineage.keys import banding_of
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.stages.passages import add_cuts
from strata.pipelines.tables.inputs import read_sources
from strata.pipelines.tables.other_corpora import origins_json
from strata.settings import VerifyMethod
from strata.storage.contracts.url import Url
from strata.storage.layout.properties import AGAINST
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import WrittenFile

__all__ = ["run_dedup"]


def run_dedup(context: StageContext) -> StageReport[DedupDetails]:
    """Publish the ledger of duplicates and, where the settings ask for it, the survivors' cuts.

    Raises:
        BalanceError: a document was lost or duplicated.
        ConflictError: a retraction is in progress, or documents were retracted meanwhile.
    """
    watch = Stopwatch()
    guard = RetractionGuard.begin(context.corpus)
    upstream = Upstream.of_dedup(context)
    report = StageReport("dedup", upstream.ledger_key, details=DedupDetails())
    if upstream.table("clusters").content_key == report.key:
        report.status = StageStatus.SKIPPED
        return add_cuts(context, upstream, guard, report)
    watch.lap("plan")
    ledger = _make_ledger(context, upstream, guard, report, watch)
    report.seconds, report.phases = watch.seconds, watch.phases
    return add_cuts(context, upstream, guard, report, ledger.removing)


def _make_ledger(
    context: StageContext,
    upstream: Upstream,
    guard: RetractionGuard,
    report: StageReport[DedupDetails],
    watch: Stopwatch,
) -> WrittenLedger:
    """Find duplicates, elect survivors and publish the ledger."""
    context.spark()
    watch.lap("wait for Spark")
    edges = _publish_edges(context, upstream, guard, report, watch)
    sources = read_sources(upstream, context.store)
    ledger = write_ledger(context, upstream, edges, sources)
    watch.lap("ledger")
    _fill_report(ledger, edges, report)
    documents = upstream.table("documents").files()
    report_duplicates(context, ledger.summary, documents, sources, report)
    watch.lap("summary")
    report.check_balance()
    _report_displaced(context, upstream, ledger, report)
    watch.lap("compare with the ledger before")
    report.details.audit = audit_unpublished(context, upstream, ledger, report)
    watch.lap("audit")
    guard.check(["clusters"])
    publish(
        context.corpus.table("clusters"),
        ledger.files,
        mode=PublishMode.OVERWRITE,
        content_key=report.key,
        run_id=context.run_id,
        extra=_snapshot_properties(upstream, upstream.ledger_settings_key),
    )
    report.counters.io.bytes_written += ledger.bytes_written
    report.counters.files_written += len(ledger.files)
    watch.lap("publish")
    return ledger


def _report_displaced(
    context: StageContext,
    upstream: Upstream,
    ledger: WrittenLedger,
    report: StageReport[DedupDetails],
) -> None:
    clusters, documents = upstream.table("clusters"), upstream.table("documents")
    known = watermark_of(documents, clusters, upstream.ledger_settings_key)
    before = data_files(clusters.files(), reason=RemovedBy.CLUSTERS)
    displaced = displaced_survivors(context, ledger.files, before, known.last_doc_id)
    report.details.survivors_replaced = displaced.number
    report.details.first_replaced = displaced.first


def _snapshot_properties(upstream: Upstream, settings_key: str) -> Mapping[str, str]:
    reached = watermark_properties(
        current_watermark(upstream.table("documents").files()),
        documents_key=upstream.documents_key,
        settings_key=settings_key,
    )
    return {**reached, AGAINST: origins_json(upstream.references)}


def _publish_edges(
    context: StageContext,
    upstream: Upstream,
    guard: RetractionGuard,
    report: StageReport[DedupDetails],
    watch: Stopwatch,
) -> EdgeFiles:
    """Bring `edges` up to date and return its files."""
    table, documents = upstream.table("edges"), upstream.table("documents")
    watermark = watermark_of(documents, table, upstream.search_key)
    search = _search(upstream, watermark)
    report.details.bands, report.details.rows = search.banding.bands, search.banding.rows
    report.details.new_documents = search.new_documents
    others = {corpus.origin.corpus: corpus.rows for corpus in upstream.references}
    report.details.against = others or None
    report.rows_in = current_watermark(documents.files()).documents
    if table.content_key == upstream.edges_key:
        report.rows_out = watermark.documents
        return EdgeFiles.of(table.files())
    results = find_edges(context, search, upstream.settings, report.counters)
    watch.lap("find edges")
    # Each new document sends exactly one row keyed by its content hash, which shows that the search
    # was complete.
    report.rows_out = watermark.documents + sum(result.documents for result in results)
    report.check_balance()
    known = EdgeFiles.of(table.files() if watermark.documents else [])
    found = write_edges(context, results, known, upstream.settings.driver_edges)
    files = _verified_by_text(context, upstream, found, report)
    guard.check(["edges"])
    publish(
        context.corpus.table("edges"),
        files,
        mode=PublishMode.APPEND if known.urls else PublishMode.OVERWRITE,
        content_key=upstream.edges_key,
        run_id=context.run_id,
        extra=_snapshot_properties(upstream, upstream.search_key),
    )
    for result in results:
        report.counters.add(result.counters)
        if result.url is not None:
            context.store.delete(Url.parse(result.url))
    report.details.compared_rows = sum(result.rows for result in results)
    report.details.repeated_ids = sum(result.same_id for result in results)
    watch.lap("edges")
    return known.plus(files)


def _verified_by_text(
    context: StageContext,
    upstream: Upstream,
    files: list[WrittenFile],
    report: StageReport[DedupDetails],
) -> list[WrittenFile]:
    if upstream.settings.verify is VerifyMethod.SKETCH:
        return files
    decided = verified_by_text(context, upstream, files)
    report.details.pairs_read, report.details.pairs_refuted = decided.read, decided.refuted
    report.details.kept_pairs = dict(decided.cached) or None
    return decided.files


def _search(upstream: Upstream, watermark: Watermark) -> EdgeSearch:
    own = tuple(upstream.table("fingerprints").files())
    return EdgeSearch(
        banding=banding_of(upstream.settings),
        own=own,
        reference=tuple(upstream.reference_fingerprints),
        documents=sum(file.rows for file in own) + sum(each.rows for each in upstream.references),
        watermark=watermark,
    )


def _fill_report(
    ledger: WrittenLedger, edges: EdgeFiles, report: StageReport[DedupDetails]
) -> None:
    report.removed = dict(sorted(ledger.removed.items()))
    report.rows_out -= sum(ledger.removed.values())
    details = report.details
    details.clusters, details.largest_cluster = ledger.clusters, ledger.largest
    details.component_rounds, details.edges = ledger.rounds, edges.rows
    details.kept_stars = ledger.cached or None
