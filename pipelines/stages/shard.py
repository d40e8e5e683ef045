"""The shard stage: from inputs to `documents`, `fingerprints`, `rejects` and the input manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from strata.errors import RejectLimitError
from strata.pipelines.execution.details import ShardDetails
from strata.pipelines.execution.stage import (
    Counters,
    StageContext,
    StageReport,
    StageStatus,
    Stopwatch,
)
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.ingest.blocklist import Tombstones
from strata.pipelines.ingest.growth import NO_GROWTH, find_growth
from strata.pipelines.ingest.plan import Retractions, ShardPlan, pack_splits, plan_shard
from strata.pipelines.ingest.task import (
    WRITTEN,
    InputCount,
    ShardResult,
    ShardTask,
    manifest_rows,
    reject_rows,
    run_shard_task,
)
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.maintenance.rewrite_task import (
    RewriteTask,
    SourceFile,
    balance,
    run_rewrite_task,
)
from strata.pipelines.readers.listing import list_inputs
from strata.pipelines.readers.rejects import Reject, RejectReason
from strata.pipelines.readers.split import ReadLimits, Split, plan_splits
from strata.pipelines.stages.preflight import check_room
from strata.pipelines.tables.inputs import read_input_manifest
from strata.pipelines.tables.other_corpora import fingerprint_format
from strata.pipelines.tables.retractions import emptied_ordinals
from strata.pipelines.tables.state import Tables, TableStates
from strata.storage.contracts.url import Url
from strata.storage.layout.partitioning import Partition
from strata.storage.layout.properties import FINGERPRINT_FORMAT, SETTINGS_KEY
from strata.storage.tables.publish import publish
from strata.storage.transfer.metering import MeteredStore
from strata.storage.writing.parquet import WrittenFile
from strata.storage.writing.partitioned_writer import table_writer
from strata.storage.writing.tiers import Tier, landing_tier, tier_of_table

__all__ = ["PlannedInputs", "plan_inputs", "run_shard"]

# The input manifest comes last: after a crash before it, the next run finishes the pass.
PUBLISHED = ("documents", "fingerprints", "rejects", "inputs")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class PlannedInputs:
    """A shard plan, and how many files the listing skipped, by reason."""

    plan: ShardPlan
    skipped: Mapping[str, int]


@dataclass(slots=True)
class _ShardTotals:
    """What all tasks of the pass wrote and counted."""

    files: dict[str, list[WrittenFile]] = field(default_factory=dict)
    inputs: dict[int, InputCount] = field(default_factory=dict)
    broken: dict[int, Reject] = field(default_factory=dict)
    samples: list[Reject] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def add(self, result: ShardResult) -> None:
        """Add one finished task."""
        self.keep(result.files)
        for ordinal, count in result.inputs.items():
            self.inputs.setdefault(ordinal, InputCount()).add(count)
        self.samples.extend(result.samples[: SHOWN - len(self.samples)])
        self.counters.add(result.counters)

    def keep(self, files: list[WrittenFile]) -> None:
        """Add files that are to be published."""
        for file in files:
            self.files.setdefault(file.table, []).append(file)


def run_shard(context: StageContext) -> StageReport[ShardDetails]:
    """Read the new inputs and publish their documents.

    Raises:
        InputError: the inputs break the contract.
        RejectLimitError: too many records were unreadable.
        BalanceError: a record was lost or duplicated.
        MachineError: the disk of a local tier cannot hold the documents.
    """
    watch = Stopwatch()
    guard = RetractionGuard.begin(context.corpus)
    states = TableStates.load(context.corpus, PUBLISHED).by_name
    tables = TableStates({**states, "retractions": guard.retractions})
    context.progress.start("shard", "list inputs", 0)
    planned = plan_inputs(context, tables)
    context.progress.finish()
    plan = planned.plan
    details = ShardDetails(files_skipped=dict(planned.skipped))
    report = StageReport("shard", plan.key, details=details)
    if plan.done:
        report.status = StageStatus.SKIPPED
        return report
    watch.lap("plan")
    context.progress.start("shard", "start Spark", 0)
    context.spark()
    watch.lap("wait for Spark")
    totals = _read_all(context, plan, Tombstones.read(tables, context.store))
    watch.lap("tasks")
    _fill_report(plan, totals, report)
    report.check_balance()
    _check_reject_ratio(context, plan, totals, report)
    _rebalance(context, totals)
    watch.lap("balance files")
    _write_driver_rows(context, plan, totals)
    guard.check(PUBLISHED)
    for name in PUBLISHED:
        publish(
            context.corpus.table(name),
            totals.files.get(name, []),
            mode=plan.mode,
            content_key=plan.key,
            run_id=context.run_id,
            extra={
                SETTINGS_KEY: plan.settings_key,
                FINGERPRINT_FORMAT: fingerprint_format(context.settings.dedup.ngram),
            },
        )
    watch.lap("publish")
    report.counters = totals.counters
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def plan_inputs(context: StageContext, tables: Tables) -> PlannedInputs:
    """Compare the present input files with those that the corpus has read.

    Args:
        context: the corpus.
        tables: its tables, `retractions` among them.
    """
    listing = list_inputs(context.store, context.settings.inputs)
    published = [tables.table(name) for name in PUBLISHED]
    known = read_input_manifest(tables, context.store)
    wants_growth = context.settings.shard.changed_inputs == "append"
    plan = plan_shard(
        listing,
        known,
        context.settings,
        keys=tuple(table.content_key for table in published),
        settings_key=published[-1].latest_property(SETTINGS_KEY),
        retractions=Retractions(
            tables.table("retractions").content_key,
            emptied_ordinals(tables, context.store),
        ),
        growth=find_growth(context.store, listing.files, known) if wants_growth else NO_GROWTH,
    )
    return PlannedInputs(plan, listing.skipped)


def _read_all(context: StageContext, plan: ShardPlan, tombstones: Tombstones) -> _ShardTotals:
    totals = _ShardTotals()
    waiting = _tasks(context, plan)
    while waiting:
        context.progress.start("shard", "read, fingerprint, write", len(waiting))
        results = run_tasks(
            context.spark(), partial(run_shard_task, tombstones=tombstones), waiting
        )
        for result in results:
            totals.broken.update(result.broken)
        bad = frozenset(totals.broken)
        again = []
        for task, result in zip(waiting, results, strict=True):
            # A broken file loses all its documents, also those that another split of it yielded.
            if bad.isdisjoint(result.inputs):
                totals.add(result)
            else:
                again.append(task.without(bad))
        waiting = [task for task in again if task.splits]
    context.progress.finish()
    return totals


def _tasks(context: StageContext, plan: ShardPlan) -> list[ShardTask]:
    settings = context.settings
    splits = plan_splits(plan.files, context.store, int(settings.shard.split_mb * 1e6))
    check_room(settings, sum(split.weight for split in splits))
    tiers = {table: _tier(context, table) for table in WRITTEN}
    folders = {table: tier.folder(settings.corpus, table) for table, tier in tiers.items()}
    layouts = {table: tier.layout for table, tier in tiers.items()}
    limits = ReadLimits.of(settings.shard)
    target = layouts["documents"].target_file_bytes
    packed: list[list[Split]] = pack_splits(splits, _parallelism(context, splits), target)
    return [
        ShardTask(
            tuple(some), context.storage_options, folders, layouts, settings.dedup.ngram, limits
        )
        for some in packed
    ]


def _tier(context: StageContext, table: str) -> Tier:
    # Tables that compress does not handle are written straight to their final tier.
    if table in context.settings.compress.tables:
        return landing_tier(context.settings, table)
    return tier_of_table(context.settings, table)


def _parallelism(context: StageContext, splits: list[Split]) -> int:
    return context.spark().sparkContext.defaultParallelism if splits else 1


def _fill_report(plan: ShardPlan, totals: _ShardTotals, report: StageReport[ShardDetails]) -> None:
    for count in totals.inputs.values():
        report.rows_in += count.records
        for reason, number in count.rejected.items():
            report.rejected[str(reason)] = report.rejected.get(str(reason), 0) + number
    # A broken file counts as one record that could not be read.
    for reject in totals.broken.values():
        report.rows_in += 1
        reason = str(reject.reason)
        report.rejected[reason] = report.rejected.get(reason, 0) + 1
    report.rows_out = sum(file.rows for file in totals.files.get("documents", []))
    details = report.details
    details.input_files = len(plan.files)
    details.input_bytes = sum(file.size - file.start for file in plan.files)
    details.broken_files = len(totals.broken)
    details.dates_unread = sum(count.dates_unread for count in totals.inputs.values())
    details.nul_removed = sum(count.nul_removed for count in totals.inputs.values())
    details.mode = str(plan.mode)


def _check_reject_ratio(
    context: StageContext, plan: ShardPlan, totals: _ShardTotals, report: StageReport[ShardDetails]
) -> None:
    limit = context.settings.shard.max_reject_ratio
    harmful = {
        reason: number
        for reason, number in report.rejected.items()
        if not RejectReason(reason).harmless
    }
    sizes = {file.ordinal: file.size - file.start for file in plan.files}
    lost_bytes = sum(sizes[ordinal] for ordinal in totals.broken)
    ratio = max(
        sum(harmful.values()) / max(report.rows_in, 1), lost_bytes / max(sum(sizes.values()), 1)
    )
    report.details.reject_ratio = round(ratio, 6)
    if ratio > limit:
        seen = [*totals.broken.values(), *totals.samples]
        shown = [reject for reject in seen if not reject.reason.harmless][:SHOWN]
        places = "; ".join(_shown(one, totals) for one in shown)
        raise RejectLimitError(
            f"{ratio:.2%} of the input is unreadable ({_counts(harmful)}), and "
            f"shard.max_reject_ratio allows {limit:.2%}; for example {places}",
            hint="mend the inputs, or raise the limit with --set shard.max_reject_ratio=…",
        )


def _shown(one: Reject, totals: _ShardTotals) -> str:
    # What a broken file is, and the remedy, is in its excerpt; that of a record is its text.
    what = f" ({one.excerpt})" if totals.broken.get(one.ordinal) is one else ""
    return f"{one.reason} at {one.uri}:{one.position}{what}"


def _counts(rejected: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {number:,}" for reason, number in sorted(rejected.items()))


def _rebalance(context: StageContext, totals: _ShardTotals) -> None:
    by_url = {file.url: file for file in totals.files.get("documents", [])}
    by_partition: dict[Partition, list[SourceFile]] = {}
    for f in by_url.values():
        by_partition.setdefault(f.partition, []).append(SourceFile(f.url, f.rows, f.n_bytes))
    tier = _tier(context, "documents")
    folder = tier.folder(context.settings.corpus, "documents")
    storage = context.storage_options
    tasks = [
        RewriteTask("balance", "documents", sources, n, folder, tier.layout, storage, partition)
        for partition, files in by_partition.items()
        for sources, n in balance(files)
    ]
    context.progress.start("shard", "balance file sizes", len(tasks))
    for result in run_tasks(context.spark(), run_rewrite_task, tasks):
        for source in result.sources:
            totals.files["documents"].remove(by_url[source.url])
            context.store.delete(Url.parse(source.url))
        totals.keep(result.files)
        totals.counters.add(result.counters)
    context.progress.finish()


def _write_driver_rows(context: StageContext, plan: ShardPlan, totals: _ShardTotals) -> None:
    rows = {"inputs": manifest_rows(plan.files, totals.inputs, totals.broken)}
    if totals.broken:
        rows["rejects"] = reject_rows(list(totals.broken.values()))
    store = MeteredStore(context.store)
    for table, batch in rows.items():
        tier = tier_of_table(context.settings, table)
        folder = tier.folder(context.settings.corpus, table)
        writer = table_writer(store, folder, table, tier.layout, "shard-driver")
        writer.write(batch)
        totals.keep(writer.close())
    totals.counters.io.bytes_written += store.meter.bytes_written
