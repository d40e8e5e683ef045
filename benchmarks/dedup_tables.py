"""Runs of dedup alone as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from benchmarks.dedup_scale import Deduped
from benchmarks.tables import table

__all__ = ["growth_text", "runs_table"]

HEAD = (
    *("way", "documents", "s", "CPU s", "edges a document", "shuffled bytes a document"),
    *("largest scan task / mean, rows", "rounds", "driver MB", "JVM MB", "worker MB"),
)


def runs_table(title: str, runs: Iterable[Deduped]) -> str:
    """What each run took, and what it held."""
    return table([title, *HEAD], [_row(run) for run in runs])


def _row(run: Deduped) -> Sequence[object]:
    scan = run.scan_stage
    return (
        run.name,
        run.way,
        f"{run.documents:,}",
        f"{run.seconds:.1f}",
        f"{run.cpu_seconds:.1f}",
        f"{run.edges / run.documents:.2f}",
        f"{run.shuffle_bytes / run.documents:,.0f}",
        f"{scan.skew:.2f}" if scan else "",
        run.report["details"]["component_rounds"],
        *(f"{run.peak_mb.get(role, 0):,.0f}" for role in ("driver", "jvm", "worker")),
    )


def growth_text(runs: Sequence[Deduped]) -> str:
    """What a further document takes from one size to the next, each way."""
    told = []
    for way in dict.fromkeys(run.way for run in runs):
        steps = [
            f"{_further(less, more):.0f} from {less.name} to {more.name}"
            for less, more in pairwise(run for run in runs if run.way == way)
        ]
        told.append(f"{way}: {', '.join(steps)}")
    return f"Processor time of a further document, µs. {'; '.join(told)}.\n\n"


def _further(less: Deduped, more: Deduped) -> float:
    return (more.cpu_seconds - less.cpu_seconds) / (more.documents - less.documents) * 1e6
