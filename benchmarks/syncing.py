"""What `transfer.sync` costs: runs of all stages with it and without, in turn.

The disk decides: a machine with a battery-backed cache syncs in microseconds, a laptop in tens of
milliseconds a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.corpus import Corpus
from benchmarks.whole_run import Bench, WholeRun

__all__ = ["SyncFigure", "measure_syncing", "syncing_table"]


@dataclass(frozen=True, slots=True)
class SyncFigure:
    """Medians of some runs on one corpus: seconds of command to exit, without the start of Spark.

    Attributes:
        text_mb: MB (10^6 bytes) of text.
        files: data files that a run wrote.
        left: seconds where the system writes when it likes.
        synced: seconds with ``transfer.sync``.
    """

    text_mb: float
    files: int
    left: float
    synced: float


def measure_syncing(bench: Bench, corpora: list[Corpus], rounds: int) -> Iterator[SyncFigure]:
    """Run all stages on each corpus in both ways, one after the other."""
    for corpus in corpora:
        here = replace(bench, corpus=corpus)
        here.run()
        left: list[WholeRun] = []
        synced: list[WholeRun] = []
        for _ in range(rounds):
            left.append(here.run("--set", "transfer.sync=false"))
            synced.append(here.run())
        files = sum(stage["counters"]["files_written"] for stage in synced[0].report["stages"])
        yield SyncFigure(synced[0].text_mb, files, _seconds(left), _seconds(synced))


def _seconds(runs: list[WholeRun]) -> float:
    return median(run.working_seconds for run in runs)


def syncing_table(figures: list[SyncFigure]) -> Iterator[tuple[str, ...]]:
    """Rows of the table of results."""
    for each in figures:
        yield (
            f"{each.text_mb:,.0f} MB, {each.files} files",
            f"{each.left:.1f}",
            f"{each.synced:.1f}",
            f"{each.synced / each.left - 1:+.1%}",
        )
