"""What the commands that run stages have in common, from the command line or spark-submit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from strata.errors import StrataError
from strata.jobs.command.arguments import all_overrides, stage_parser, verbosity
from strata.jobs.runner.failures import guarded
from strata.jobs.runner.launch import launch, new_run_id, stages_of
from strata.jobs.runner.options import OutputForm, RunOptions
from strata.jobs.runner.output import print_json
from strata.layers import load_settings
from strata.stages import STAGE_COMMANDS
from strata.storage.contracts.options import StorageOptions
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store

if TYPE_CHECKING:
    from strata.jobs.runner.run import RunReport, Stage
    from strata.settings import Settings
    from strata.storage.contracts.store import Store

__all__ = [
    "RunOutcome",
    "check_report",
    "deliver",
    "job_main",
    "reporting_failures",
    "run_command",
    "write_report",
]


def job_main(command: str, argv: Sequence[str] | None) -> int:
    """The ``main`` of a script that runs the stages of a command."""
    _, summary = STAGE_COMMANDS[command]
    arguments = stage_parser(command, summary).parse_args(argv)
    return run_command(command, partial(stages_of, command), arguments)


def run_command(
    command: str, stages: Callable[[], Sequence[Stage]], arguments: argparse.Namespace
) -> int:
    """Run stages as the parsed arguments say, and show the outcome.

    ``stages`` is called only once the settings are known to be valid.

    Returns:
        The exit code.
    """
    run_id = arguments.run_id or new_run_id()
    return guarded(lambda: _run(command, stages, arguments, run_id), run_id)


def _run(
    command: str,
    stages: Callable[[], Sequence[Stage]],
    arguments: argparse.Namespace,
    run_id: str,
) -> int:
    if arguments.dry_run:
        from strata.jobs.planning.dry_run import show_plan

        settings = load_settings(arguments.file, all_overrides(arguments)).settings
        show_plan(settings, output=arguments.output, command=command)
        return 0
    with reporting_failures(arguments, command, run_id) as outcome:
        settings = outcome.settings = load_settings(
            arguments.file, all_overrides(arguments)
        ).settings
        if arguments.report:
            check_report(settings, arguments.report)
        options = RunOptions(command, run_id, arguments.master, verbosity(arguments))
        report = launch(settings, stages, options, outcome.keep)
    deliver(settings, arguments, report.to_json())
    if arguments.output is OutputForm.TEXT and verbosity(arguments) >= 0:
        from strata.jobs.report.summary import show_summary

        show_summary(report)
    return 0


@dataclass(slots=True)
class RunOutcome:
    """What is known of a run: its settings once they are read, its report once it has ended."""

    settings: Settings | None = None
    report: RunReport | None = None

    def keep(self, report: RunReport) -> None:
        """Keep the report."""
        self.report = report


@contextmanager
def reporting_failures(
    arguments: argparse.Namespace, command: str, run_id: str
) -> Iterator[RunOutcome]:
    """Write what ``--report`` and ``--json`` ask for, also where a run fails or is interrupted."""
    outcome = RunOutcome()
    try:
        yield outcome
    except BaseException as error:
        if arguments.report or arguments.output is OutputForm.JSON:
            _deliver_failure(arguments, outcome, command, run_id, error)
        raise


def _deliver_failure(
    arguments: argparse.Namespace,
    outcome: RunOutcome,
    command: str,
    run_id: str,
    error: BaseException,
) -> None:
    from strata.jobs.runner.run import failed_report

    corpus = outcome.settings.corpus if outcome.settings else ""
    report = outcome.report or failed_report(command, run_id, corpus, error)
    try:
        deliver(outcome.settings, arguments, report.to_json())
    except (OSError, StrataError) as other:
        # The failure of the run is what the command ends with.
        sys.stderr.write(f"strata: the report of this run could not be written: {other}\n")


def deliver(settings: Settings | None, arguments: argparse.Namespace, data: bytes) -> None:
    """Write a result to the file of ``--report``, and with ``--json`` to stdout."""
    try:
        if arguments.report:
            write_report(settings, arguments.report, data)
    finally:
        if arguments.output is OutputForm.JSON:
            print_json(data)


def check_report(settings: Settings, place: str) -> None:
    """Make sure, before any work is done, that a report can be written to a place.

    Raises:
        StrataError: it cannot.
    """
    _store_of(settings).create(Url.parse(place)).discard()


def write_report(settings: Settings | None, place: str, data: bytes) -> None:
    """Write a report where the user wants it, completely or not at all.

    Without settings, as where they are wrong, there are no credentials for remote places.
    """
    _store_of(settings).write_bytes(Url.parse(place), data)


def _store_of(settings: Settings | None) -> Store:
    return open_store(StorageOptions.of(settings) if settings else None)
