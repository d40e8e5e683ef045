"""What a report shows of duplicates: bars by cluster size, a matrix of sources, large clusters.

The page and the terminal show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strata.jobs.display.text import escape_control_chars
from strata.jobs.report.figures import compact, per
from strata.jobs.report.summary import WIDTH
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import DedupDetails, LargeCluster, SourceMatrix

__all__ = ["Duplicates", "MatrixRow", "SizeBar", "duplicates_of", "show_duplicates"]

LABEL = 40
BAR = 32
NAME = 24
ID = 36
SAMPLE = 16
BORDERS = 12
# A label, and thirteen sources with a figure of seven characters each.
MATRIX_WIDTH = 180


@dataclass(frozen=True, slots=True)
class SizeBar:
    """Clusters of about the same size; ``share`` is that of the class with the most removed."""

    label: str
    clusters: int
    removed: int
    share: float


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """Removed documents of one source, by the source of their survivors.

    Attributes:
        name: the source of the removed documents.
        label: its name, shortened in the middle where it is long.
        removed: documents, in the order of the rows' own sources.
        strengths: colour intensity of each, 0 to 1.
        total: all removed documents of the source.
    """

    name: str
    label: str
    removed: tuple[int, ...]
    strengths: tuple[float, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The charts, and the largest clusters; all text is safe to display."""

    sizes: tuple[SizeBar, ...]
    matrix: tuple[MatrixRow, ...]
    largest: tuple[LargeCluster, ...]


def duplicates_of(report: RunReport) -> Duplicates | None:
    """What the dedup stage of a run reports; None where it did not run, or found nothing."""
    dedup = report.details_of(DedupDetails)
    if dedup is None or dedup.duplicates is None:
        return None
    facts = dedup.duplicates
    most = max((each.removed for each in facts.sizes), default=0)
    bars = (
        SizeBar(_span(e.least, e.most), e.clusters, e.removed, per(e.removed, most) or 0.0)
        for e in facts.sizes
    )
    largest = (_printable(cluster) for cluster in facts.largest)
    return Duplicates(tuple(bars), _matrix(facts.sources), tuple(largest)) if most else None


def _span(least: int, most: int) -> str:
    return compact(least) if least == most else f"{compact(least)}–{compact(most)}"


def _matrix(sources: SourceMatrix) -> tuple[MatrixRow, ...]:
    most = max(map(max, sources.removed))
    return tuple(
        MatrixRow(name, _label(name), row, _strengths(row, most), sum(row))
        for name, row in zip(map(escape_control_chars, sources.names), sources.removed, strict=True)
    )


def _label(name: str) -> str:
    return name if len(name) <= LABEL else f"{name[: LABEL // 2]}…{name[1 - LABEL // 2 :]}"


def _strengths(row: Sequence[int], most: int) -> tuple[float, ...]:
    # The root keeps a pair of sources with a hundredth of the maximum visible.
    return tuple(sqrt(per(number, most) or 0.0) for number in row)


def _printable(cluster: LargeCluster) -> LargeCluster:
    return LargeCluster(
        size=cluster.size,
        doc_id=cluster.doc_id,
        id=escape_control_chars(cluster.id),
        source=escape_control_chars(cluster.source),
        sample=escape_control_chars(cluster.sample),
    )


def show_duplicates(duplicates: Duplicates, console: Console | None = None) -> None:
    """Print clusters by size, who duplicates whom, and the largest clusters."""
    out = console or Console(width=max(WIDTH, Console().width))
    out.print()
    out.print(_sizes(duplicates))
    # A narrower terminal wraps the lines; truncated figures would be useless.
    wide = Console(file=out.file, width=max(MATRIX_WIDTH, out.width), force_terminal=False)
    wide.print(_matrix_table(duplicates))
    out.print(_largest(duplicates, out.width))


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _sizes(duplicates: Duplicates) -> Table:
    table = _table("duplicates by size of their cluster")
    for name in ("documents", "clusters", "removed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for each in duplicates.sizes:
        bar = "█" * round(each.share * BAR) or ("▏" if each.removed else "")
        table.add_row(each.label, f"{each.clusters:,}", f"{each.removed:,}", Text(bar, "blue"))
    return table


def _matrix_table(duplicates: Duplicates) -> Table:
    table = _table("removed documents: their source, and that of their survivor")
    table.add_column("source", no_wrap=True)
    for number in range(1, len(duplicates.matrix) + 1):
        table.add_column(str(number), justify="right", no_wrap=True)
    table.add_column("all", justify="right", no_wrap=True)
    for number, row in enumerate(duplicates.matrix, 1):
        cells = [compact(each) if each else "·" for each in row.removed]
        table.add_row(Text(f"{number} {row.label}"), *cells, compact(row.total))
    return table


def _largest(duplicates: Duplicates, width: int) -> Table:
    sizes = [f"{each.size:,}" for each in duplicates.largest]
    id_width = min(ID, max(len(each.id) for each in duplicates.largest))
    source_width = min(NAME, max(len(each.source) for each in duplicates.largest))
    table = _table("largest clusters")
    table.add_column("documents", justify="right", no_wrap=True, min_width=len(sizes[0]))
    table.add_column("survivor", max_width=ID, overflow="fold")
    table.add_column("source", max_width=NAME, overflow="fold")
    # Only the sample may be truncated; it gets the rest of the line.
    room = width - max(len("documents"), len(sizes[0])) - id_width - source_width - BORDERS
    table.add_column("begins with", no_wrap=True, overflow="ellipsis", max_width=max(SAMPLE, room))
    for size, each in zip(sizes, duplicates.largest, strict=True):
        table.add_row(size, Text(each.id), Text(each.source), Text(each.sample))
    return table
