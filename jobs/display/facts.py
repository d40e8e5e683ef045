"""One set of facts, shown as a table to people and as JSON to machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strata.jobs.display.text import escape_control_chars, size
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.output import print_json

__all__ = ["CommandResult", "number", "print_result"]

BYTES = "bytes"
ROWS = "rows"
COUNT = "files"
# A truncated URL is useless, so a table is as wide as it has to be.
WIDE = 10_000
# Space between columns; a column is at least as wide as its heading.
GAP = 3
INDENT = " " * 6
# Lines above the first row: an empty one, the headings, and the rule.
HEAD = 3


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command found or did.

    Attributes:
        name: name of the rows, such as "snapshots".
        columns: keys of a row that the table shows; JSON has all.
        rows: one mapping per row.
        totals: facts about all rows, which ``sentence`` can turn into a sentence.
        sentence: format string over ``totals``, printed below the table.
        by: columns that the rows are counted by; a terminal then shows these counts first, with
            the sums of columns of bytes and rows, and the rows themselves only where it is asked.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    totals: Mapping[str, Any] = field(default_factory=dict)
    sentence: str = ""
    by: tuple[str, ...] = ()

    def counted(self) -> CommandResult:
        """The rows counted by the columns ``by``, in the order in which their values appear."""
        sums = [name for name in self.columns if name == ROWS or _is_bytes(name)]
        groups: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.rows:
            key = tuple(row[name] for name in self.by)
            new = dict(zip(self.by, key, strict=True)) | dict.fromkeys((COUNT, *sums), 0)
            group = groups.setdefault(key, new)
            group[COUNT] += 1
            for name in sums:
                group[name] += row[name] or 0
        return CommandResult(self.name, (*self.by, COUNT, *sums), list(groups.values()))


def print_result(facts: CommandResult, *, output: OutputForm, listed: bool = False) -> None:
    """Print to stdout.

    Args:
        facts: what to print.
        output: for people or for machines.
        listed: whether a result that has counts shows its rows to people too.
    """
    if output is OutputForm.JSON:
        found = {**facts.totals, facts.name: facts.rows}
        print_json(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    out = Console(width=WIDE, highlight=False)
    if facts.rows and facts.by:
        _print_rows(facts.counted(), out)
    if facts.rows and (listed or not facts.by):
        _print_rows(facts, out)
    if facts.sentence:
        out.print(facts.sentence.format(**facts.totals), markup=False)


def number(value: float) -> str:
    """A figure with two decimals or, where it is small, two significant digits."""
    return f"{value:,.2f}" if value >= 1 or not value else f"{value:.2g}"


def _print_rows(facts: CommandResult, out: Console) -> None:
    """Print the table; on a terminal too narrow for it, long cells go below their rows."""
    room = Console().width
    below = _long_columns(facts, room) if out.is_terminal else []
    table = _table(facts, [name for name in facts.columns if name not in below])
    if not below:
        out.print(table)
        return
    with out.capture() as shown:
        out.print(table)
    lines = shown.get().splitlines()
    told = lines[:HEAD]
    for row, line in zip(facts.rows, lines[HEAD:], strict=False):
        told += [line, *_below(row, below, room)]
    out.print("\n".join(told) + "\n", markup=False, soft_wrap=True)


def _below(row: Mapping[str, object], names: Sequence[str], room: int) -> list[str]:
    """Cells with their headings, on one line where they fit."""
    cells = [f"{_heading(name)}: {cell}" for name in names if (cell := _cell(name, row[name]))]
    together = INDENT + "   ".join(cells)
    return [together] if cells and len(together) <= room else [INDENT + cell for cell in cells]


def _long_columns(facts: CommandResult, room: int) -> list[str]:
    """The widest columns of text, as many as must go to make room for the others."""
    widths = {
        name: GAP + max(len(_heading(name)), *(len(_cell(name, row[name])) for row in facts.rows))
        for name in facts.columns
    }
    texts = [name for name in facts.columns[1:] if not _is_number(facts, name)]
    below: list[str] = []
    for name in sorted(texts, key=widths.__getitem__, reverse=True):
        if sum(widths.values()) <= room:
            break
        del widths[name]
        below.append(name)
    return [name for name in facts.columns if name in below]


def _table(facts: CommandResult, columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        justify: Literal["left", "right"] = "right" if _is_number(facts, name) else "left"
        table.add_column(_heading(name), justify=justify, no_wrap=True)
    for row in facts.rows:
        table.add_row(*(Text(_cell(name, row[name])) for name in columns))
    return table


def _is_number(facts: CommandResult, name: str) -> bool:
    return all(isinstance(row[name], int | float | None) for row in facts.rows)


def _is_bytes(name: str) -> bool:
    return BYTES in name.split("_")


def _heading(name: str) -> str:
    return name.replace(BYTES, "MB").replace("_", " ")


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return size(value) if _is_bytes(name) else f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return escape_control_chars(str(value))
