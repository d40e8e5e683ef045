"""One set of facts, shown as a table to people and as JSON to machines."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from strata.jobs.runtime.output import OutputForm
from strata.jobs.runtime.summary import size

__all__ = ["Facts", "number", "show_facts"]

BYTES = "bytes"
# A URL is worth nothing when cut, so a table is as wide as it must be.
WIDE = 10_000


@dataclass(frozen=True, slots=True)
class Facts:
    """What a command found or did.

    Attributes:
        name: name of the rows, such as "snapshots".
        columns: keys of a row that the table shows; JSON has all.
        rows: one mapping a row.
        totals: facts about the whole; a sentence may be made of them with ``sentence``.
        sentence: format string over ``totals``, printed below the table.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    totals: Mapping[str, Any] = field(default_factory=dict)
    sentence: str = ""


def show_facts(facts: Facts, *, output: OutputForm) -> None:
    """Print to stdout."""
    if output is OutputForm.JSON:
        found = {**facts.totals, facts.name: facts.rows}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return
    out = Console(width=WIDE, highlight=False)
    if facts.rows:
        out.print(_table(facts))
    if facts.sentence:
        out.print(facts.sentence.format(**facts.totals), markup=False)


def number(value: float) -> str:
    """A figure with two digits behind the point, or two that count where it is small."""
    return f"{value:,.2f}" if value >= 1 or not value else f"{value:.2g}"


def _table(facts: Facts) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in facts.columns:
        numbers = all(isinstance(row[name], int | float | None) for row in facts.rows)
        heading = name.replace(BYTES, "MB").replace("_", " ")
        table.add_column(heading, justify="right" if numbers else "left", no_wrap=True)
    for row in facts.rows:
        table.add_row(*(_cell(name, row[name]) for name in facts.columns))
    return table


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return size(value) if name.endswith(BYTES) else f"{value:,}"
    if isinstance(value, float):
        return number(value)
    return escape(str(value))
