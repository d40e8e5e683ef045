"""Rewriting tables: into other partitions, in another order, in files of another size.

Each batch is one REPLACE snapshot, so a run that dies leaves every table intact, and the next one
continues with the rest. Other writers may append meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from strata.choices import PARTITIONABLE
from strata.partition_settings import PartitionField
from strata.pipelines.execution.details import RewriteDetails, RewriteStep, RewrittenTable
from strata.pipelines.execution.stage import StageContext, StageReport, StageStatus, Stopwatch
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.maintenance.packing import pack_files, target_file_count
from strata.pipelines.maintenance.rewrite_task import (
    RewriteResult,
    RewriteTask,
    SourceFile,
    run_verified_rewrite,
)
from strata.pipelines.maintenance.row_order import ledger_for
from strata.settings import RowOrder
from strata.storage.contracts.url import Url
from strata.storage.layout.file_names import order_of_name, ordered_stem
from strata.storage.layout.partitioning import Partition
from strata.storage.layout.records import TableFile
from strata.storage.lifecycle.accesses import log_file_lineage
from strata.storage.lifecycle.rules import MOVED, files_by_tier
from strata.storage.tables.replace import Replacement, replace_everywhere
from strata.storage.writing.parquet import ParquetLayout
from strata.storage.writing.tiers import Tier, layout_for, tiers_of

__all__ = ["Rewrite", "RewriteRequest", "plan_rewrites", "run_rewrite_tables"]

# The most work that is lost when a run is killed.
BATCH_BYTES = 16_000_000_000
# A task that sends rows to other partitions reads this many target files: more would make fewer and
# larger ones of each partition, fewer would keep more cores busy.
ROUTED_FILES = 4
# How often files are planned again because another writer removed some meanwhile.
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class RewriteRequest:
    """The tables to rewrite, and how.

    Attributes:
        tables: names of the tables, among those that can be partitioned.
        partition_by: partition fields of all of them; None for those of the settings.
        order: order of the rows; files that do not have it yet are sorted. None for the order of
            the settings, by which only files that are rewritten anyway are sorted.
        target_file_bytes: size of a file; None for that of its tier.
    """

    tables: tuple[str, ...] = tuple(PARTITIONABLE)
    partition_by: tuple[PartitionField, ...] | None = None
    order: RowOrder | None = None
    target_file_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Files that are rewritten together; ``partition`` is None where rows change partitions."""

    table: str
    tier: Tier
    files: tuple[TableFile, ...]
    partition: Partition | None
    file_count: int

    @property
    def n_bytes(self) -> int:
        """Size on disk before."""
        return sum(file.n_bytes for file in self.files)


def run_rewrite_tables(
    context: StageContext, request: RewriteRequest
) -> StageReport[RewriteDetails]:
    """Bring tables into the requested partitions, order and file sizes.

    Raises:
        BalanceError: the rows written differ from those read; earlier batches stay published.
        ConflictError: a retraction is not finished, or was begun meanwhile.
        InputError: a file cannot be read.
    """
    watch = Stopwatch()
    guard = RetractionGuard.begin(context.corpus)
    report = StageReport("rewrite", "", StageStatus.SKIPPED, details=RewriteDetails())
    for table in request.tables:
        # First rows go to their partitions, which leaves small files; those are then merged.
        for _ in range(_ROUNDS):
            rewrites = plan_rewrites(context, table, request)
            if not rewrites:
                break
            report.status = StageStatus.DONE
            for batch in _batches(rewrites):
                _run_batch(context, guard, batch, request, report)
    report.check_balance()
    watch.lap("rewrite")
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def plan_rewrites(context: StageContext, table: str, request: RewriteRequest) -> list[Rewrite]:
    """What would be rewritten of a table now; nothing where it is already as requested."""
    tiers, wanted = tiers_of(context.settings), _fields(context, table, request)
    routed: list[Rewrite] = []
    joined: list[Rewrite] = []
    for name, files in files_by_tier(
        context.settings, table, context.corpus.table(table).files()
    ).items():
        tier = replace(tiers[name], layout=_layout(context, tiers[name], table, request))
        elsewhere = [file for file in files if file.partition.fields != wanted]
        routed += _repartitions(table, tier, elsewhere)
        joined += _compactions(
            table, tier, [file for file in files if file not in elsewhere], request
        )
    # Files from other partitions are merged together with those that are already there.
    return routed or joined


def _fields(
    context: StageContext, table: str, request: RewriteRequest
) -> tuple[PartitionField, ...]:
    named = request.partition_by
    return context.settings.partition_by(table) if named is None else named


def _layout(
    context: StageContext, tier: Tier, table: str, request: RewriteRequest
) -> ParquetLayout:
    layout = layout_for(context.settings, tier, table)
    target = request.target_file_bytes or layout.target_file_bytes
    fields = _fields(context, table, request)
    return replace(layout, target_file_bytes=target, partition_by=fields)


def _repartitions(table: str, tier: Tier, files: Sequence[TableFile]) -> Iterator[Rewrite]:
    share = ROUTED_FILES * tier.layout.target_file_bytes
    current: list[TableFile] = []
    size = 0
    for file in sorted(files, key=lambda file: file.min_doc_id):
        if current and size + file.n_bytes > share:
            yield Rewrite(table, tier, tuple(current), None, 1)
            current, size = [], 0
        current.append(file)
        size += file.n_bytes
    if current:
        yield Rewrite(table, tier, tuple(current), None, 1)


def _compactions(
    table: str, tier: Tier, files: Sequence[TableFile], request: RewriteRequest
) -> Iterator[Rewrite]:
    target = tier.layout.target_file_bytes
    partitions: dict[Partition, list[TableFile]] = {}
    for file in files:
        partitions.setdefault(file.partition, []).append(file)
    for partition, some in partitions.items():
        for each in pack_files(
            [file for file in some if _needs_rewrite(file, target, request)], target
        ):
            file_count = target_file_count(each, target)
            # A single small file has none to be merged with.
            if len(each) > 1 or file_count > 1 or _is_unsorted(each[0], request):
                yield Rewrite(table, tier, each, partition, file_count)


def _needs_rewrite(file: TableFile, target: int, request: RewriteRequest) -> bool:
    is_sized = target / 2 <= file.n_bytes <= 2 * target
    return not is_sized or _is_unsorted(file, request)


def _is_unsorted(file: TableFile, request: RewriteRequest) -> bool:
    return request.order is not None and order_of_name(file.location.name) != request.order


def _batches(rewrites: Sequence[Rewrite]) -> Iterator[list[Rewrite]]:
    batch: list[Rewrite] = []
    size = 0
    for rewrite in rewrites:
        if batch and size + rewrite.n_bytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(rewrite)
        size += rewrite.n_bytes
    yield batch


def _run_batch(
    context: StageContext,
    guard: RetractionGuard,
    batch: Sequence[Rewrite],
    request: RewriteRequest,
    report: StageReport[RewriteDetails],
) -> None:
    table = batch[0].table
    order = request.order or context.settings.compress.order.get(table, RowOrder.DOC_ID)
    ledger, home = ledger_for(context.corpus, order), context.settings.tier_of(table)
    tasks = [
        RewriteTask(
            # Files outside of the table's own tier keep names that mark them as moved.
            stage=ordered_stem("rewrite" if each.tier.name == home else MOVED, order),
            table=table,
            sources=tuple(SourceFile(file.url, file.rows, file.n_bytes) for file in each.files),
            file_count=each.file_count,
            folder=each.tier.folder(context.settings.corpus, table),
            layout=each.tier.layout,
            storage=context.storage_options,
            partition=each.partition,
            order=order,
            ledger=ledger,
        )
        for each in batch
    ]
    what = "join files of" if batch[0].partition is not None else "send rows to partitions of"
    context.progress.start("rewrite", f"{what} {table}", len(tasks))
    results = run_tasks(context.spark(), run_verified_rewrite, tasks)
    context.progress.finish()
    guard.check([table])
    _fill_report(table, results, _publish(context, table, results), report)


def _publish(context: StageContext, table: str, results: Sequence[RewriteResult]) -> frozenset[str]:
    """Replace the old files by the new ones; returns the URLs of those that were still there."""
    replacements = [
        Replacement(tuple(source.url for source in result.sources), tuple(result.files))
        for result in results
    ]
    log_file_lineage(context.corpus, context.run_id, [each.lineage for each in replacements])
    done = replace_everywhere(context.corpus.table(table), replacements, run_id=context.run_id)
    for replacement in replacements:
        if replacement.old[0] not in done:
            # Another writer removed an old file: nothing will ever refer to the new ones.
            for file in replacement.new:
                context.store.delete(Url.parse(file.url))
    return done


def _fill_report(
    table: str,
    results: Sequence[RewriteResult],
    done: frozenset[str],
    report: StageReport[RewriteDetails],
) -> None:
    ours = [result for result in results if result.sources[0].url in done]
    before = [source for result in ours for source in result.sources]
    after = [file for result in ours for file in result.files]
    report.rows_in += sum(source.rows for source in before)
    report.rows_out += sum(file.rows for file in after)
    for result in results:
        report.counters.add(result.counters)
    rewritten = report.details.tables.setdefault(table, RewrittenTable())
    rewritten.overtaken += len(results) - len(ours)
    rewritten.steps.append(
        RewriteStep(
            files_before=len(before),
            files_after=len(after),
            bytes_before=sum(source.n_bytes for source in before),
            bytes_after=sum(file.n_bytes for file in after),
            partitions=len({file.partition for file in after}),
        )
    )
