"""`strata report`: the account of a run, on the terminal, as JSON or as one HTML page."""

from __future__ import annotations

import sys

from rich.console import Console

from strata.jobs.report.duplicates import duplicates_of, show_duplicates
from strata.jobs.report.files import ReportFiles
from strata.jobs.report.page import render_page
from strata.jobs.report.summary import show_summary
from strata.jobs.runner.options import OutputForm
from strata.jobs.runner.output import print_json
from strata.jobs.runner.run import RunReport
from strata.settings import Settings
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import LOCAL, Url
from strata.storage.stores.opening import open_store

__all__ = ["HISTORY", "show_report"]

HISTORY = 10


def show_report(
    settings: Settings, run_id: str | None = None, *, html: str | None, output: OutputForm
) -> None:
    """Show the report of a run.

    Args:
        settings: the corpus.
        run_id: the run; the newest one where it is None.
        html: file for an HTML page, instead of the table on the terminal.
        output: JSON prints the report as it is stored.

    Raises:
        InputMissingError: the corpus has no report, or none of that run.
        InputError: a report is damaged, or of a newer version.
    """
    store = open_store(StorageOptions.of(settings))
    reports = ReportFiles.of(settings, store)
    history = reports.newest(HISTORY)
    report = reports.run(run_id)
    if html is not None:
        page = Url.parse(html)
        store.write_bytes(page, render_page(report, history).encode())
    if output is OutputForm.JSON:
        print_json(report.to_json())
    elif html is not None:
        sys.stdout.write(f"page: {page.path if page.scheme == LOCAL else page}\n")
    else:
        _print(report)


def _print(report: RunReport) -> None:
    show_summary(report)
    if duplicates := duplicates_of(report):
        show_duplicates(duplicates)
    if report.error is None:
        return
    console = Console(soft_wrap=True)
    reason = report.error.get("reason") or report.error.get("type", "")
    console.print(f"{report.status}: {reason}", style="red", markup=False, highlight=False)
    if hint := report.error.get("hint"):
        console.print(f"hint: {hint}", markup=False, highlight=False)
