"""The compress stage: rewrites each table into its tier, with the tier's codec and file size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from strata.pipelines.execution.details import CompressDetails, CompressedTable
from strata.pipelines.execution.stage import StageContext, StageReport, StageStatus, Stopwatch
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.maintenance.packing import pack_files, target_file_count
from strata.pipelines.maintenance.rewrite_task import (
    RewriteResult,
    RewriteTask,
    SourceFile,
    run_rewrite_task,
)
from strata.pipelines.maintenance.row_order import ledger_for
from strata.pipelines.tables.state import Tables, TableStates
from strata.settings import CompressSettings, RowOrder, Settings
from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import ordered_stem
from strata.storage.layout.partitioning import Partition
from strata.storage.layout.records import TableFile
from strata.storage.lifecycle.accesses import log_file_lineage
from strata.storage.lifecycle.rules import MOVED, files_by_tier
from strata.storage.tables.replace import Replacement, replace_files
from strata.storage.writing.tiers import Tier, tier_of_table, tiers_of

__all__ = ["RewriteGroup", "plan_compress", "plan_table", "run_compress"]


@dataclass(frozen=True, slots=True)
class RewriteGroup:
    """Files of one partition that are rewritten together, and the number of files they become."""

    files: tuple[TableFile, ...]
    file_count: int
    tier: Tier

    @property
    def partition(self) -> Partition:
        """The partition of all the files."""
        return self.files[0].partition


def run_compress(context: StageContext) -> StageReport[CompressDetails]:
    """Compact and rewrite files that do not match their tier yet, and publish table by table.

    Raises:
        ConflictError: another writer removed one of the files.
        BalanceError: a rewritten file does not hold the rows of the files it replaces.
    """
    watch = Stopwatch()
    # At publish, rewritten files must still be in the table, so no retracted row can come back.
    RetractionGuard.begin(context.corpus)
    report = StageReport("compress", "", details=CompressDetails())
    tables = TableStates.load(context.corpus, _tables_read(context.settings.compress))
    plans = plan_compress(context.settings, tables)
    if not any(plans.values()):
        report.status = StageStatus.SKIPPED
        return report
    for table, groups in plans.items():
        if groups:
            _rewrite(context, tables, table, groups, report)
    report.check_balance()
    watch.lap("rewrite")
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def _tables_read(settings: CompressSettings) -> list[str]:
    ordered = {table for table, order in settings.order.items() if order is RowOrder.CLUSTER}
    by_cluster = ordered & set(settings.tables)
    return list(dict.fromkeys([*settings.tables, *(["clusters"] if by_cluster else [])]))


def plan_compress(settings: Settings, tables: Tables) -> dict[str, list[RewriteGroup]]:
    """What would be rewritten now, by table."""
    return {
        table: _plan(settings, table, tables.table(table).files())
        for table in settings.compress.tables
    }


def _plan(settings: Settings, table: str, present: Sequence[TableFile]) -> list[RewriteGroup]:
    tiers = tiers_of(settings)
    files = files_by_tier(settings, table, present)
    return [
        group
        for name, some in files.items()
        for group in plan_table(
            some, tiers[name], settings.compress, tiers[name].folder(settings.corpus, table)
        )
    ]


def plan_table(
    files: Sequence[TableFile], tier: Tier, settings: CompressSettings, folder: Url
) -> list[RewriteGroup]:
    """Choose the files of one table that are rewritten.

    Args:
        files: files of the table.
        tier: the tier that they belong in.
        settings: ``[compress]``.
        folder: the table's folder in the tier; one tier may be inside of another.

    A file is rewritten when it is outside its tier or has another codec, and when enough files of
    its partition are small. Files with neighbouring document ids are rewritten together, files of
    different partitions never.
    """
    by_partition: dict[Partition, list[TableFile]] = {}
    for file in files:
        by_partition.setdefault(file.partition, []).append(file)
    return [
        group
        for some in by_partition.values()
        for group in _plan_partition(some, tier, settings, folder)
    ]


def _plan_partition(
    files: Sequence[TableFile], tier: Tier, settings: CompressSettings, folder: Url
) -> list[RewriteGroup]:
    misplaced = [file for file in files if not _fits(file, tier, folder)]
    least = settings.min_fill * tier.layout.target_file_bytes
    small = [file for file in files if _fits(file, tier, folder) and file.n_bytes < least]
    # A few small files are cheaper to read than to rewrite after every run.
    chosen = misplaced + (small if misplaced or len(small) >= settings.min_files else [])
    target = tier.layout.target_file_bytes
    return [
        RewriteGroup(some, target_file_count(some, target), tier)
        for some in pack_files(chosen, target)
    ]


def _fits(file: TableFile, tier: Tier, folder: Url) -> bool:
    return tier.layout.holds(file.codec, file.level) and file.location.is_below(folder)


def _rewrite(
    context: StageContext,
    tables: Tables,
    table: str,
    groups: list[RewriteGroup],
    report: StageReport[CompressDetails],
) -> None:
    tier = tier_of_table(context.settings, table)
    order = context.settings.compress.order.get(table, RowOrder.DOC_ID)
    ledger = ledger_for(tables, order)
    tasks = [
        RewriteTask(
            # Files outside of the table's own tier keep names that mark them as moved.
            ordered_stem("compress" if group.tier.name == tier.name else MOVED, order),
            table,
            tuple(SourceFile(file.url, file.rows, file.n_bytes) for file in group.files),
            group.file_count,
            group.tier.folder(context.settings.corpus, table),
            group.tier.layout,
            context.storage_options,
            group.partition,
            order,
            ledger,
        )
        for group in groups
    ]
    context.progress.start("compress", f"rewrite {table} into {tier.name}", len(tasks))
    results = run_tasks(context.spark(), run_rewrite_task, tasks)
    context.progress.finish()
    _publish(context, table, results)
    _fill_report(table, tier, results, report)


def _publish(context: StageContext, table: str, results: Sequence[RewriteResult]) -> None:
    replacements = [
        Replacement(tuple(source.url for source in result.sources), tuple(result.files))
        for result in results
    ]
    log_file_lineage(context.corpus, context.run_id, [each.lineage for each in replacements])
    replace_files(context.corpus.table(table), replacements, run_id=context.run_id)


def _fill_report(
    table: str, tier: Tier, results: Sequence[RewriteResult], report: StageReport[CompressDetails]
) -> None:
    before = [source for result in results for source in result.sources]
    after = [file for result in results for file in result.files]
    report.rows_in += sum(source.rows for source in before)
    report.rows_out += sum(file.rows for file in after)
    for result in results:
        report.counters.add(result.counters)
    rewritten = CompressedTable(
        tier=tier.name,
        files_before=len(before),
        files_after=len(after),
        bytes_before=sum(source.n_bytes for source in before),
        bytes_after=sum(file.n_bytes for file in after),
    )
    report.details.tables = (report.details.tables or {}) | {table: rewritten}
