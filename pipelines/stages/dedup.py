"""The dedup stage: `fingerprints` to verified pairs, `edges`, and these to the ledger `clusters`.

Sorting in memory, or one shuffle, brings equal keys together: bands of similar documents, hashes of
equal ones, repeated ids. Each bucket is verified in place along star edges, connected components
join the edges, and a rule elects the survivor of each. What an earlier run compared is not compared
again; another survivor rule makes only the ledger anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from strata.keys import stage_key
from strata.pipelines.dedup.edges import write_edges
from strata.pipelines.dedup.ledger import WrittenLedger, displaced_survivors, write_ledger
from strata.pipelines.dedup.ledger_report import report_duplicates
from strata.pipelines.dedup.search import EdgeSearch, find_edges
from strata.pipelines.dedup.verify_texts import verified_by_text
from strata.pipelines.evaluation.audit import audit_unpublished
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
from strata.pipelines.lineage.keys import (
    LEDGER_VERSION,
    _election,
    _search_key,
    banding_of,
    dedup_key,
    edges_key,
)
from strata.pipelines.stages.passages import add_cuts
from strata.pipelines.tables.other_corpora import origins_json, reference_corpora
from strata.settings import VerifyMethod
from strata.storage.contracts.url import Url
from strata.storage.layout.properties import AGAINST
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import WrittenFile

__all__ = ["run_dedup"]


def run_dedup(context: StageContext) -> StageReport[DedupDetails]:
    """Publish the ledger of duplicates, and where it is asked for, what is cut from survivors.

    Raises:
        BalanceError: a document was lost or doubled.
    """
    return add_cuts(context, _make_ledger(context))


def _make_ledger(context: StageContext) -> StageReport[DedupDetails]:
    """Find duplicates, elect survivors and publish the ledger."""
    watch = Stopwatch()
    guard = RetractionGuard.begin(context.corpus)
    report = StageReport("dedup", dedup_key(context), details=DedupDetails())
    clusters = context.corpus.table("clusters")
    if clusters.content_key == report.key:
        report.status = StageStatus.SKIPPED
        return report
    watch.lap("plan")
    context.spark()
    watch.lap("wait for Spark")
    _publish_edges(context, guard, report, watch)
    ledger = write_ledger(context)
    watch.lap("ledger")
    _fill_report(context, ledger, report)
    report_duplicates(context, ledger.summary, report)
    watch.lap("summary")
    report.check_balance()
    rule_key = stage_key("ledger", LEDGER_VERSION, [_search_key(context)], _election(context))
    before = watermark_of(context.corpus, clusters, rule_key)
    replaced = displaced_survivors(context, ledger.files, before.last_doc_id)
    report.details.survivors_replaced = replaced.number
    report.details.first_replaced = replaced.first
    watch.lap("compare with the ledger before")
    report.details.audit = audit_unpublished(context, ledger, report)
    watch.lap("audit")
    guard.check(["clusters"])
    publish(
        clusters,
        ledger.files,
        mode=PublishMode.OVERWRITE,
        content_key=report.key,
        run_id=context.run_id,
        extra=_watermark_properties(context, rule_key),
    )
    report.counters.io.bytes_written += ledger.bytes_written
    report.counters.files_written += len(ledger.files)
    watch.lap("publish")
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def _watermark_properties(context: StageContext, settings_key: str) -> Mapping[str, str]:
    reached = watermark_properties(
        current_watermark(context.corpus),
        documents_key=context.corpus.table("documents").content_key or "",
        settings_key=settings_key,
    )
    return {**reached, AGAINST: origins_json(reference_corpora(context))}


def _publish_edges(
    context: StageContext,
    guard: RetractionGuard,
    report: StageReport[DedupDetails],
    watch: Stopwatch,
) -> None:
    """Bring `edges` up to date."""
    edges, search_key = context.corpus.table("edges"), _search_key(context)
    watermark = watermark_of(context.corpus, edges, search_key)
    search = _search(context, watermark)
    report.details.bands, report.details.rows = search.banding.bands, search.banding.rows
    report.details.new_documents = search.new_documents
    others = {corpus.origin.corpus: corpus.rows for corpus in reference_corpora(context)}
    report.details.against = others or None
    report.rows_in = current_watermark(context.corpus).documents
    if edges.content_key == edges_key(context):
        report.rows_out = watermark.documents
        return
    results = find_edges(context, search, report.counters)
    watch.lap("find edges")
    # Each new document sent exactly one row by its bytes, so the search is checked to be complete.
    report.rows_out = watermark.documents + sum(result.documents for result in results)
    report.check_balance()
    known = [file.url for file in edges.files()] if watermark.documents else []
    files = _verified_by_text(context, write_edges(context, results, known), report)
    guard.check(["edges"])
    publish(
        edges,
        files,
        mode=PublishMode.APPEND if known else PublishMode.OVERWRITE,
        content_key=edges_key(context),
        run_id=context.run_id,
        extra=_watermark_properties(context, search_key),
    )
    for result in results:
        report.counters.add(result.counters)
        if result.url is not None:
            context.store.delete(Url.parse(result.url))
    report.details.compared_rows = sum(result.rows for result in results)
    report.details.repeated_ids = sum(result.same_id for result in results)
    watch.lap("edges")


def _verified_by_text(
    context: StageContext, files: list[WrittenFile], report: StageReport[DedupDetails]
) -> list[WrittenFile]:
    if context.settings.dedup.verify is VerifyMethod.SKETCH:
        return files
    decided = verified_by_text(context, files)
    report.details.pairs_read, report.details.pairs_refuted = decided.read, decided.refuted
    report.details.kept_pairs = dict(decided.cached) or None
    return decided.files


def _search(context: StageContext, watermark: Watermark) -> EdgeSearch:
    own = tuple(context.corpus.table("fingerprints").files())
    others = reference_corpora(context)
    return EdgeSearch(
        banding=banding_of(context.settings.dedup),
        own=own,
        reference=tuple(file for corpus in others for file in corpus.files),
        documents=sum(file.rows for file in own) + sum(corpus.rows for corpus in others),
        watermark=watermark,
    )


def _fill_report(
    context: StageContext, ledger: WrittenLedger, report: StageReport[DedupDetails]
) -> None:
    report.removed = dict(sorted(ledger.removed.items()))
    report.rows_out -= sum(ledger.removed.values())
    details = report.details
    details.clusters, details.largest_cluster = ledger.clusters, ledger.largest
    details.component_rounds = ledger.rounds
    details.edges = sum(file.rows for file in context.corpus.table("edges").files())
    details.kept_stars = ledger.cached or None
