"""The tokenize stage: from the survivors of `documents` to `tokens` and `clean`, in one pass."""

from __future__ import annotations

from functools import partial

from strata.pipelines.execution.data_files import RemovedBy
from strata.pipelines.execution.details import TokenizeDetails
from strata.pipelines.execution.row_groups import token_parts
from strata.pipelines.execution.stage import StageContext, StageReport, StageStatus, Stopwatch
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.lineage.staleness import cut_files, ledger_files
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.tables.survivors import SurvivorFiles
from strata.pipelines.tokenization.identity import named_spec, tokens_key
from strata.pipelines.tokenization.spec import TokenizerSpec
from strata.pipelines.tokenization.task import TokenResult, TokenTask, run_token_task
from strata.pipelines.tokenization.training import trained_spec
from strata.storage.layout.properties import (
    TOKENIZER,
    TOKENIZER_FINGERPRINT,
    TOKENIZER_KIND,
    TOKENIZER_VOCAB_SIZE,
)
from strata.storage.tables.publish import PublishMode, publish
from strata.storage.writing.parquet import WrittenFile
from strata.storage.writing.tiers import tier_of_table

__all__ = ["run_tokenize"]


def run_tokenize(context: StageContext) -> StageReport[TokenizeDetails]:
    """Encode the survivors and publish them.

    Raises:
        ConflictError: the ledger does not belong to the present documents and settings.
        BalanceError: documents were lost, or the engine disagrees with the reference encoder.
    """
    watch = Stopwatch()
    guard = RetractionGuard.begin(context.corpus)
    upstream, settings = Upstream.of_tokenize(context), context.settings.tokenize
    loaded = named_spec(settings, context.store)
    key = tokens_key(upstream, settings, loaded)
    report = StageReport("tokenize", key, details=TokenizeDetails())
    if all(upstream.table(table).content_key == report.key for table in ("clean", "tokens")):
        report.status = StageStatus.SKIPPED
        return report
    watch.lap("plan")
    context.spark()
    watch.lap("wait for Spark")
    documents = upstream.table("documents").files()
    remaining = SurvivorFiles(
        tuple(token_parts(context, documents)), ledger_files(upstream), cut_files(upstream)
    )
    spec = loaded or _trained(context, upstream, remaining, report.details)
    watch.lap("train")
    results = _encode_all(context, remaining, spec)
    watch.lap("tasks")
    report.rows_in = sum(file.rows for file in documents)
    files = _fill_report(results, report)
    report.details.tokenizer, report.details.vocab_size = spec.fingerprint, spec.vocab_size
    report.details.engine = sorted({result.engine for result in results})
    report.check_balance()
    guard.check(["clean", "tokens"])
    for table in ("clean", "tokens"):
        publish(
            context.corpus.table(table),
            files.get(table, []),
            mode=PublishMode.OVERWRITE,
            content_key=report.key,
            run_id=context.run_id,
            extra={TOKENIZER: spec.fingerprint} if table == "tokens" else {},
        )
    _describe(context, spec)
    watch.lap("publish")
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def _trained(
    context: StageContext, upstream: Upstream, remaining: SurvivorFiles, details: TokenizeDetails
) -> TokenizerSpec:
    fingerprints = [file.url for file in upstream.own_fingerprints]
    trained = trained_spec(context, remaining, fingerprints, context.settings.tokenize)
    if trained.sample.cut:
        details.long_pieces = trained.sample.cut
        details.long_piece_bytes_left_out = trained.sample.left_out_bytes
    return trained.spec


def _encode_all(
    context: StageContext, remaining: SurvivorFiles, spec: TokenizerSpec
) -> list[TokenResult]:
    settings = context.settings
    tables = ("tokens", "clean") if settings.dedup.write_clean else ("tokens",)
    tiers = {table: tier_of_table(settings, table) for table in tables}
    tasks = [
        TokenTask(
            parts=parts,
            ledger=remaining.ledger,
            cuts=remaining.cuts,
            storage=context.storage_options,
            folders={name: tier.folder(settings.corpus, name) for name, tier in tiers.items()},
            layouts={name: tier.layout for name, tier in tiers.items()},
            check_documents=settings.tokenize.check_documents,
        )
        for parts in remaining.parts
    ]
    context.progress.start("tokenize", "encode, write tokens and clean", len(tasks))
    results = run_tasks(context.spark(), partial(run_token_task, spec=spec), tasks)
    context.progress.finish()
    return results


def _fill_report(
    results: list[TokenResult], report: StageReport[TokenizeDetails]
) -> dict[str, list[WrittenFile]]:
    files: dict[str, list[WrittenFile]] = {}
    for result in results:
        report.counters.add(result.counters)
        for file in result.files:
            files.setdefault(file.table, []).append(file)
    report.rows_out = sum(file.rows for file in files.get("tokens", []))
    removed = {
        str(RemovedBy.CLUSTERS): sum(result.survivors.removed for result in results),
        str(RemovedBy.CONTAINED): sum(result.survivors.contaminated for result in results),
        "all_repeated": sum(result.survivors.emptied for result in results),
    }
    report.removed = {reason: number for reason, number in removed.items() if number}
    if bytes_cut := sum(result.survivors.bytes_cut for result in results):
        report.details.bytes_cut = bytes_cut
    report.details.checked_documents = sum(result.checked for result in results)
    if encoding := sum(result.encode_cpu_seconds for result in results):
        rate = report.counters.text_bytes / 1e6 / encoding
        report.details.encode_mb_per_cpu_second = round(rate, 1)
    return files


def _describe(context: StageContext, spec: TokenizerSpec) -> None:
    context.corpus.table("tokens").set_properties(
        {
            TOKENIZER_FINGERPRINT: spec.fingerprint,
            TOKENIZER_KIND: str(spec.kind),
            TOKENIZER_VOCAB_SIZE: str(spec.vocab_size),
        }
    )
