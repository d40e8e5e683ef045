"""The table that ends a run: what every stage did, and where the results are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from strata.jobs.display.text import MB, size
from strata.jobs.report.figures import compact, megabytes, per
from strata.jobs.report.notes import audit_lines, move_lines, store_lines
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import (
    DecontaminateDetails,
    DedupDetails,
    ShardDetails,
    StageDetails,
)
from strata.pipelines.execution.stage import StageReport, StageStatus
from strata.storage.transfer.metering import IoMeter

__all__ = ["compression_ratio", "show_summary"]

WIDTH = 80
# Wider than any table, to find out how wide one would be.
WIDEST = 1_000
COLUMNS = ("in", "out", "rejected", "removed", "MB read", "written", "Mtok", "s")


def show_summary(report: RunReport, console: Console | None = None) -> None:
    """Print the stages, the tables and the places of a finished run."""
    # A narrower terminal wraps the lines; truncated figures would be useless.
    out = console or Console(width=max(WIDTH, Console().width))
    if report.stages:
        out.print(_fitting_stage_table(report, out))
    if report.tables:
        out.print(_table_table(report.tables))
    for line in _notes(report):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _fitting_stage_table(report: RunReport, console: Console) -> Table:
    """The table with all digits or, where that is too wide, with large figures in short."""
    table = _stage_table(report, "{:,.0f}".format, gap=2)
    natural = Measurement.get(console, console.options.update_width(WIDEST), table).maximum
    return table if natural <= console.width else _stage_table(report, compact, gap=1)


def _stage_table(report: RunReport, write: Callable[[float], str], gap: int) -> Table:
    table = Table(
        title=f"run {report.run_id} · corpus {report.corpus}",
        box=box.SIMPLE_HEAD,
        # The box itself separates columns by a space.
        padding=(0, gap - 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("stage", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for stage in report.stages:
        table.add_row(*_stage_row(stage, write))
    return table


def _stage_row(stage: StageReport[StageDetails], write: Callable[[float], str]) -> tuple[str, ...]:
    if stage.status is StageStatus.SKIPPED:
        return (stage.stage, "up to date", *([""] * (len(COLUMNS) - 1)))
    cost = stage.counters
    rows = (
        *(stage.rows_in, stage.rows_out),
        *(sum(stage.rejected.values()), sum(stage.removed.values())),
    )
    millions = (cost.io.bytes_read / MB, cost.io.bytes_written / MB, cost.tokens / 1e6 or None)
    figures = ("" if n is None else f"{n:,.1f}" if n < 1000 else write(n) for n in millions)
    return (stage.stage, *map(write, rows), *figures, f"{stage.seconds:,.1f}")


def _table_table(tables: Mapping[str, Mapping[str, object]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("table", no_wrap=True)
    for name in ("rows", "files", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("tier", no_wrap=True)
    for name, facts in tables.items():
        rows, files, n_bytes = (int(str(facts[key])) for key in ("rows", "files", "bytes"))
        table.add_row(name, f"{rows:,}", str(files), size(n_bytes), str(facts["tier"]))
    return table


def _notes(report: RunReport) -> list[str]:
    lines = []
    ratio = compression_ratio(report)
    if ratio:
        lines.append(f"compression: {ratio:.2f} to 1 (text of `documents` to its files on disk)")
    shard = report.details_of(ShardDetails) or ShardDetails()
    for reason, number in (shard.files_skipped or {}).items():
        lines.append(f"note: {number:,} input files passed over ({reason})")
    if shard.dates_unread:
        lines.append(
            f"note: {shard.dates_unread:,} dates could not be read; `created` is null there"
        )
    if shard.nul_removed:
        lines.append(f"note: NUL characters were removed from {shard.nul_removed:,} documents")
    dedup = report.details_of(DedupDetails) or DedupDetails()
    if dedup.repeated_ids:
        lines.append(
            f"note: {dedup.repeated_ids:,} documents repeat an id; their doc_ids tell them apart"
        )
    lines += _rates(report)
    lines += audit_lines(report)
    lines += store_lines(report)
    lines += move_lines(report)
    lines += _contamination(report)
    start = report.session_seconds
    session = f", {start:.1f} s of it the start of Spark" if start else ""
    lines.append(f"total: {report.seconds:.1f} s{session}")
    folders = [str(facts["location"]) for facts in report.tables.values()]
    places = {folder.removesuffix("/data").rpartition("/")[0] for folder in folders}
    lines += [f"tables: {place.removeprefix('file://')}" for place in sorted(places - {""})]
    lines.append(f"report: {report.location.removeprefix('file://')}")
    return lines


def _rates(report: RunReport) -> Iterator[str]:
    """How fast reads and writes were while they lasted, of one task on average."""
    total = sum((stage.counters.io for stage in report.stages), IoMeter())
    read = per(total.bytes_read, total.read_seconds)
    written = per(total.bytes_written, total.write_seconds)
    rates = [
        f"{megabytes(rate)} MB/s {verb}"
        for rate, verb in ((read, "in reads"), (written, "in writes"))
        if rate
    ]
    if rates:
        yield f"I/O of a task: {', '.join(rates)}"


def _contamination(report: RunReport) -> Iterator[str]:
    stage, details = report.stage("decontaminate"), report.details_of(DecontaminateDetails)
    if stage is None or details is None or not stage.removed:
        return
    items = (details.items_found or {}).items()
    found = ", ".join(f"{number:,} items of {corpus}" for corpus, number in items)
    yield f"note: {sum(stage.removed.values()):,} documents contain {found}"


def compression_ratio(report: RunReport) -> float:
    """Bytes of text that this run read, per byte of `documents` on disk; 0 where unknown."""
    shard, details = report.stage("shard"), report.details_of(ShardDetails)
    disk = int(report.tables.get("documents", {}).get("bytes", 0))
    if shard is None or details is None or details.mode != "overwrite" or not disk:
        return 0.0
    return shard.counters.text_bytes / disk
