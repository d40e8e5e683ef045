"""What the commands that run stages have in common, from the command line or spark-submit."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

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

__all__ = ["check_report", "job_main", "run_command", "write_report"]


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
    settings = load_settings(arguments.file, all_overrides(arguments)).settings
    if arguments.dry_run:
        from strata.jobs.planning.dry_run import show_plan

        show_plan(settings, output=arguments.output, command=command)
        return 0
    if arguments.report:
        check_report(settings, arguments.report)
    options = RunOptions(command, run_id, arguments.master, verbosity(arguments))
    _deliver(settings, launch(settings, stages, options), arguments)
    return 0


def _deliver(settings: Settings, report: RunReport, arguments: argparse.Namespace) -> None:
    if arguments.report:
        write_report(settings, arguments.report, report.to_json())
    if arguments.output is OutputForm.JSON:
        print_json(report.to_json())
    elif verbosity(arguments) >= 0:
        from strata.jobs.report.summary import show_summary

        show_summary(report)


def check_report(settings: Settings, place: str) -> None:
    """Make sure, before any work is done, that a report can be written to a place.

    Raises:
        StrataError: it cannot.
    """
    _store_of(settings).create(Url.parse(place)).discard()


def write_report(settings: Settings, place: str, data: bytes) -> None:
    """Write a report where the user wants it, completely or not at all."""
    _store_of(settings).write_bytes(Url.parse(place), data)


def _store_of(settings: Settings) -> Store:
    return open_store(StorageOptions.of(settings))
