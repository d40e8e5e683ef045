"""What a report shows of duplicates on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strata.jobs.runtime.report_duplicates import Duplicates
from strata.jobs.runtime.report_figures import compact
from strata.jobs.runtime.summary import WIDTH

__all__ = ["show_duplicates"]

BAR = 32
NAME = 24
ID = 36
SAMPLE = 16
BORDERS = 12
# A label, and thirteen sources with a figure of seven characters each.
MATRIX_WIDTH = 180


def show_duplicates(duplicates: Duplicates, console: Console | None = None) -> None:
    """Print clusters by size, who duplicates whom, and the largest clusters."""
    out = console or Console(width=max(WIDTH, Console().width))
    out.print()
    out.print(_sizes(duplicates))
    # A narrower terminal wraps the lines; cut figures would be worth nothing.
    wide = Console(file=out.file, width=max(MATRIX_WIDTH, out.width), force_terminal=False)
    wide.print(_matrix(duplicates))
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


def _matrix(duplicates: Duplicates) -> Table:
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
    # Only the sample may be cut; it gets what the others leave of a line.
    room = width - max(len("documents"), len(sizes[0])) - id_width - source_width - BORDERS
    table.add_column("begins with", no_wrap=True, overflow="ellipsis", max_width=max(SAMPLE, room))
    for size, each in zip(sizes, duplicates.largest, strict=True):
        table.add_row(size, Text(each.id), Text(each.source), Text(each.sample))
    return table
