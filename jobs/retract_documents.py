"""`strata retract`: take documents out of every table, and print a receipt.

Under Spark: `spark-submit jobs/retract_documents.py --conf-file FILE --id ID`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from strata.jobs.command.arguments import (
    add_retract,
    all_overrides,
    request_of,
    stage_parser,
    verbosity,
)
from strata.jobs.command.entry import check_report, write_report
from strata.jobs.display.receipt import show_preview, show_receipt
from strata.jobs.runner.failures import guarded
from strata.jobs.runner.launch import new_run_id
from strata.jobs.runner.options import OutputForm, RunOptions
from strata.jobs.runner.progress import spark_progress
from strata.jobs.runner.run import run_stages
from strata.jobs.session.spark import LazySession
from strata.layers import load_settings
from strata.pipelines.execution.stage import StageContext
from strata.pipelines.retraction.run import preview_retraction, run_retract
from strata.storage.tables.catalog import open_corpus

__all__ = ["main", "retract_documents"]


def retract_documents(arguments: argparse.Namespace) -> int:
    """Run the parsed command; returns the exit code."""
    run_id = arguments.run_id or new_run_id()
    return guarded(lambda: _run(arguments, run_id), run_id)


def _run(arguments: argparse.Namespace, run_id: str) -> int:
    settings = load_settings(arguments.file, all_overrides(arguments)).settings
    request = request_of(arguments)
    if arguments.report:
        check_report(settings, arguments.report)
    options = RunOptions("retract", run_id, arguments.master, verbosity(arguments))
    session = LazySession(settings, options.master, run_id, options.log_level)
    try:
        if arguments.dry_run:
            progress = spark_progress(session, options)
            context = StageContext(settings, open_corpus(settings), run_id, session, progress)
            show_preview(preview_retraction(context, request), output=arguments.output)
            return 0
        report = run_stages(settings, [partial(run_retract, request=request)], options, session)
    finally:
        session.stop()
    if arguments.report:
        write_report(settings, arguments.report, report.to_json())
    if verbosity(arguments) >= 0 or arguments.output is OutputForm.JSON:
        show_receipt(report, output=arguments.output)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    parser = stage_parser("retract", "take documents out of every table")
    add_retract(parser)
    return retract_documents(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
