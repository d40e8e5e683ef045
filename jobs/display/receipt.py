"""The receipt of a retraction on the terminal, and what a retraction would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from rich.console import Console

from strata.jobs.display.facts import CommandResult, print_result
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.output import print_json
from strata.jobs.runner.run import RunReport
from strata.pipelines.execution.details import Receipt, RetractDetails
from strata.pipelines.retraction.run import Preview

__all__ = ["show_preview", "show_receipt"]

COLUMNS = (
    *("table", "rows_removed", "rows_added", "files_replaced", "files_written"),
    *("bytes_written", "snapshot_before", "snapshot_after"),
)
PLANNED = ("table", "rows_removed", "rows_added", "files_replaced")
# The age up to which `strata storage expire` keeps snapshots by default.
USUAL_AGE = timedelta(hours=24)


def show_receipt(report: RunReport, *, output: OutputForm) -> None:
    """Print the receipt of a finished run of `strata retract`."""
    details = report.details_of(RetractDetails) or RetractDetails()
    receipt = details.receipt
    if output is OutputForm.JSON:
        facts: dict[str, Any] = msgspec.to_builtins(receipt or details)
        told = {"run_id": report.run_id, "corpus": report.corpus, **facts}
        told["report"] = report.location
        print_json(msgspec.json.format(msgspec.json.encode(told), indent=2))
        return
    out = Console(soft_wrap=True, highlight=False)
    for line in _head(report, receipt) if receipt else _repeated(details):
        out.print(line, markup=False)
    if receipt:
        print_result(
            CommandResult("tables", COLUMNS, list(map(asdict, receipt.tables))), output=output
        )
        for line in _notes(receipt):
            out.print(line, markup=False)
    out.print(f"report: {report.location.removeprefix('file://')}", markup=False)


def show_preview(preview: Preview, *, output: OutputForm) -> None:
    """Print what a retraction would do."""
    rows = [
        {
            "table": edit.table,
            "rows_removed": edit.rows_dropped,
            "rows_added": len(edit.added_ids),
            "files_replaced": len(edit.dropped),
        }
        for edit in preview.edits
    ]
    totals = {
        "dry_run": True,
        "asked": [{"kind": str(ask.kind), "value": ask.value} for ask in preview.selectors],
        "documents": preview.documents,
        "new_survivors": preview.new_survivors,
    }
    sentence = (
        "documents that would go: {documents:,}, new survivors: {new_survivors:,}; rows that come "
        "may touch more files"
    )
    print_result(CommandResult("tables", PLANNED, rows, totals, sentence), output=output)


def _repeated(details: RetractDetails) -> Iterator[str]:
    yield "all of this was retracted before; no table was changed"
    if deleted := details.deleted:
        yield _deleted(deleted.files, deleted.n_bytes)


def _head(report: RunReport, receipt: Receipt) -> Iterator[str]:
    yield f"retraction {receipt.retraction} from corpus {report.corpus}"
    for each in receipt.asked:
        files = each.input_files
        found = f"documents: {each.documents:,}" if files is None else f"input files: {files:,}"
        yield f"  {each.kind} {each.value!r}  {found}"
    if receipt.reason:
        yield f"reason: {receipt.reason}"
    survivors = receipt.new_survivors
    elected = "" if survivors is None else f", new survivors: {survivors:,}"
    yield f"documents removed: {receipt.documents:,}{elected}"


def _notes(receipt: Receipt) -> Iterator[str]:
    if receipt.stale:
        yield f"note: the next `strata run` makes anew: {', '.join(receipt.stale)}"
    if receipt.tokenizer:
        yield f"note: the tokenizer {receipt.tokenizer} stays as it was trained or given"
    yield "note: rejects that quote the beginning of a record are no documents, and stay"
    if receipt.files_deleted:
        yield _deleted(receipt.files_deleted, receipt.bytes_deleted)
    held = receipt.held
    if held.snapshots:
        since = datetime.fromtimestamp(held.since_ms / 1e3, UTC) + USUAL_AGE
        tables = ", ".join(f"{name} {number}" for name, number in held.snapshots.items())
        yield f"note: older snapshots still hold the documents ({tables})"
        yield (
            f"note: `strata storage expire`, then `gc`, delete them from {since:%Y-%m-%d %H:%M} "
            "UTC on with their usual 24 hours; the same command with --expire-now at once"
        )
    for table, names in held.tagged.items():
        yield f"note: of {table}, {', '.join(names)} keeps a snapshot that no expiry forgets"


def _deleted(files: int, n_bytes: int) -> str:
    return f"files deleted: {files:,}, with {n_bytes:,} bytes"
