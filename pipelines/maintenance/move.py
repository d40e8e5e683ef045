"""Moving files between tiers, as the lifecycle rules and the capacities of tiers require.

Files are copied or recompressed, read back and compared, and published in one snapshot per batch,
which tags follow; old copies stay for a grace period. A run that dies leaves every table intact,
and the next one continues.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from strata.errors import BalanceError, ConcurrentChangeError, InputError
from strata.pipelines.execution.details import MoveDetails, MovedFiles, SettledMoves
from strata.pipelines.execution.stage import StageContext, StageReport, StageStatus, Stopwatch
from strata.pipelines.execution.tasks import run_tasks
from strata.pipelines.lineage.guard import RetractionGuard
from strata.pipelines.maintenance.move_task import MoveResult, MoveTask, run_move_task
from strata.storage.contracts.url import Url
from strata.storage.lifecycle.accesses import log_file_lineage
from strata.storage.lifecycle.journal import MovedFile, MoveIntent, MoveJournal, moves_folder
from strata.storage.lifecycle.move_cleanup import clean_up_moves, finish_moves
from strata.storage.lifecycle.plan import plan_of_corpus
from strata.storage.lifecycle.rules import PlannedMove
from strata.storage.tables.replace import Replacement, replace_everywhere
from strata.storage.writing.tiers import tiers_of

__all__ = ["run_move"]

# The most work that is lost when a run is killed; each batch costs one snapshot, and a wait for its
# slowest task.
BATCH_FILES = 256
BATCH_BYTES = 32_000_000_000


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files of one table that go to one tier."""

    table: str
    target: str
    moves: tuple[PlannedMove, ...]


@dataclass(slots=True)
class _RouteTotals:
    """What was moved from one tier to another; seconds are wall-clock time."""

    files: int = 0
    rows_before: int = 0
    rows_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    seconds: float = 0.0

    def add(self, other: _RouteTotals) -> None:
        """Add the totals of another batch."""
        self.files += other.files
        self.rows_before += other.rows_before
        self.rows_after += other.rows_after
        self.bytes_before += other.bytes_before
        self.bytes_after += other.bytes_after
        self.seconds += other.seconds


@dataclass(slots=True)
class _MoveTotals:
    """What a run has moved so far, and what it could not move."""

    report: StageReport[MoveDetails]
    pairs: defaultdict[tuple[str, str], _RouteTotals] = field(
        default_factory=lambda: defaultdict(_RouteTotals)
    )
    failures: list[InputError | BalanceError] = field(default_factory=list)
    superseded: int = 0

    def add(self, results: Sequence[MoveResult], superseded: int) -> None:
        """Count the cost of a batch, its failures, and files that other writers replaced first."""
        self.superseded += superseded
        for result in results:
            self.report.counters.add(result.counters)
            if result.failure is not None:
                self.failures.append(result.failure)

    def close(self) -> None:
        """Write the totals into the report.

        Raises:
            BalanceError: a new file did not hold the rows of the old one.
            InputError: an old file could not be read.
        """
        self.report.rows_in = sum(pair.rows_before for pair in self.pairs.values())
        self.report.rows_out = sum(pair.rows_after for pair in self.pairs.values())
        self.report.check_balance()
        self.report.details.overtaken = self.superseded
        self.report.details.moves = tuple(
            MovedFiles(source, target, **asdict(pair))
            for (source, target), pair in self.pairs.items()
        )
        if self.failures:
            first = next(
                (f for f in self.failures if isinstance(f, BalanceError)), self.failures[0]
            )
            raise type(first)(
                f"{len(self.failures):,} files were not moved, all others were; the first: "
                f"{first.reason}",
                hint=first.hint,
            )


def run_move(context: StageContext, grace: timedelta) -> StageReport[MoveDetails]:
    """Move files that are not where they belong, and delete old copies of earlier moves.

    Args:
        context: settings, tables and Spark.
        grace: how long old copies stay after their move, and so how long older snapshots stay
            readable.

    Raises:
        BalanceError: a new file does not hold the rows of the old one.
        ConflictError: a retraction is not finished, or was begun meanwhile; or the run was
            suspended, and another one discarded its copies.
        InputError: an old file cannot be read; all others were moved.
        MachineError: a tier cannot be written, or would hold more than its capacity.
    """
    watch = Stopwatch()
    guard = RetractionGuard.begin(context.corpus)
    report = StageReport("move", "", details=MoveDetails())
    followed = finish_moves(context.corpus, run_id=context.run_id)
    settled = clean_up_moves(context.corpus, grace)
    report.details.settled = SettledMoves(**asdict(settled), tags_followed=followed)
    watch.lap("settle")
    plan = plan_of_corpus(context.settings, context.corpus)
    watch.lap("plan")
    if plan.moves:
        # Rates measure the moves alone, without the start of a JVM.
        context.spark()
        watch.lap("session")
    totals = _MoveTotals(report)
    for batch in _batches(plan.moves):
        _move(context, guard, batch, totals)
    watch.lap("move")
    if not plan.moves and not settled.files and not followed:
        report.status = StageStatus.SKIPPED
    totals.close()
    report.seconds, report.phases = watch.seconds, watch.phases
    return report


def _batches(moves: Sequence[PlannedMove]) -> Iterator[_Batch]:
    routes: defaultdict[tuple[str, str], list[PlannedMove]] = defaultdict(list)
    for move in moves:
        routes[move.held.table, move.target].append(move)
    for (table, target), some in routes.items():
        current: list[PlannedMove] = []
        size = 0
        for move in some:
            if current and (len(current) == BATCH_FILES or size + move.n_bytes > BATCH_BYTES):
                yield _Batch(table, target, tuple(current))
                current, size = [], 0
            current.append(move)
            size += move.n_bytes
        yield _Batch(table, target, tuple(current))


def _move(
    context: StageContext, guard: RetractionGuard, batch: _Batch, totals: _MoveTotals
) -> None:
    began = time.monotonic()
    corpus = context.corpus
    journal = MoveJournal(corpus.store, moves_folder(corpus.warehouse, corpus.name))
    folder = tiers_of(context.settings)[batch.target].folder(corpus.name, batch.table)
    files = [move.held.file.url for move in batch.moves]
    intent = journal.begin(context.run_id, batch.table, batch.target, folder, files)
    results = _copies(context, batch, intent)
    made = [(r.task, r.file) for r in results if r.file is not None]
    replacements = [Replacement((task.file.url,), (file,)) for task, file in made]
    journal.copied(intent, [MovedFile(task.file.url, file.url) for task, file in made])
    log_file_lineage(corpus, context.run_id, [each.lineage for each in replacements])
    guard.check([batch.table])
    if journal.is_given_up(intent.batch):
        raise ConcurrentChangeError(
            f"a batch of {batch.table} took longer than any move may, so another run has deleted "
            "its copies",
            hint="nothing of it was published; run the same command again",
        )
    table = corpus.table(batch.table)
    moved = replace_everywhere(table, replacements, run_id=context.run_id)
    for task, file in made:
        if task.file.url not in moved:
            # Another writer removed the old file: nothing will ever refer to the copy.
            context.store.delete(Url.parse(file.url))
    pairs = _route_totals(results, moved, time.monotonic() - began)
    for source, pair in pairs.items():
        journal.rate(intent, source, pair.files, pair.bytes_before, pair.bytes_after, pair.seconds)
        totals.pairs[source, batch.target].add(pair)
    totals.add(results, len(made) - len(moved))


def _copies(context: StageContext, batch: _Batch, intent: MoveIntent) -> list[MoveResult]:
    layout = tiers_of(context.settings)[batch.target].layout
    # The largest first, so that none of them starts last.
    moves = sorted(batch.moves, key=lambda move: move.n_bytes, reverse=True)
    tasks = [
        MoveTask(
            batch.table,
            move.held.file,
            move.source,
            Url.parse(intent.folder),
            layout,
            intent.stem,
            context.storage_options,
        )
        for move in moves
    ]
    context.progress.start("move", f"move {batch.table} to {batch.target}", len(tasks))
    try:
        return run_tasks(context.spark(), run_move_task, tasks)
    finally:
        context.progress.finish()


def _route_totals(
    results: Sequence[MoveResult], moved: frozenset[str], seconds: float
) -> dict[str, _RouteTotals]:
    """What was moved, by source tier; the time is divided in proportion to bytes."""
    total = sum(result.task.file.n_bytes for result in results)
    pairs: defaultdict[str, _RouteTotals] = defaultdict(_RouteTotals)
    for result in results:
        old, new = result.task.file, result.file
        if new is not None and old.url in moved:
            share = seconds * old.n_bytes / max(total, 1)
            pairs[result.task.source].add(
                _RouteTotals(1, old.rows, new.rows, old.n_bytes, new.n_bytes, share)
            )
    return pairs
